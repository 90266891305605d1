"""A deleted account is gone: at once for everybody, and soon from every table, file and key."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis
from sqlalchemy import func, select, text, update

from app.models import (
    Base,
    Document,
    EventRow,
    Identity,
    Login,
    MailPurpose,
    MailToken,
    Message,
    Project,
    RegistrationInvite,
    Session,
    Task,
)
from app.models import User as Account
from app.permissions import Principal
from app.resources import Resources
from app.schemas.auth import UserCreate
from app.schemas.sessions import SessionCreate
from app.schemas.users import AccountDeletion
from app.services.chat import ANSWER_MESSAGE, Answer
from app.services.erasure import DELETE_ACCOUNT, ERASED_TEXT, FORMER_MEMBER, ErasureService
from app.services.execution import TaskExecution
from tests.factories import PASSWORD, User, execute, login, make_key, make_project, make_user, register, share
from tests.processes import environment_of, start_process
from tests.tasks.probes import lease_one, until
from tests.tasks.test_ingest_document import Killed, mortal
from tests.work import run_queued_tasks

V1 = "/api/v1"
ME = f"{V1}/users/me"
CANARY = "xylophoniscus"
NAME = "Ottilie Wunderkammer"


@dataclass
class Home:
    """Somebody with something in every table; `friend` shares one project with them and has a room of their own."""

    client: AsyncClient
    person: User
    friend: User
    key: str
    project_id: str
    shared_id: str
    friends_room: str
    files: list[Path]


async def upload(client: AsyncClient, user: User, said: str, project_id: str | None = None) -> dict:
    fields = {"text": said, "title": "Notes", "project_id": project_id}
    response = await client.post(f"{V1}/documents", json=fields, headers=user.headers)
    assert response.status_code == 202, response.text
    return response.json()["document"]


async def open_room(client: AsyncClient, user: User, project_id: str, mode: str = "off") -> str:
    fields = {"name": "Kitchen", "project_id": project_id, "spirit_mode": mode}
    return (await client.post(f"{V1}/sessions", json=fields, headers=user.headers)).json()["id"]


async def say(client: AsyncClient, user: User, room: str, said: str, **headers: str) -> dict:
    body = {"text": said, "client_id": said[:50]}
    response = await client.post(f"{V1}/chat/{room}/messages", json=body, headers=user.headers | headers)
    assert response.status_code == 201, response.text
    return response.json()


async def enter(client: AsyncClient, host: User, guest: User, room: str) -> None:
    invite = (await client.post(f"{V1}/sessions/{room}/invites", json={}, headers=host.headers)).json()["invite"]
    assert (await client.post(f"{V1}/sessions/join", json={"invite": invite}, headers=guest.headers)).is_success


async def furnish(client: AsyncClient, resources: Resources) -> Home:
    await make_user(client, name="Admin")
    friend, person = await make_user(client, name="Friend"), await make_user(client, name=NAME)
    profile = {"about": f"{NAME} collects.", "preferences": {"seen": CANARY}, "settings": {"language": "de"}}
    assert (await client.patch(ME, json=profile, headers=person.headers)).status_code == 200
    project_id = (await make_project(client, person, CANARY))["id"]
    shared_id = (await make_project(client, person, "Shared"))["id"]
    await share(client, person, shared_id, friend, "owner")
    documents = [
        await upload(client, person, f"The {CANARY} sleeps in the cabinet.", project_id),
        await upload(client, person, f"Another {CANARY}, without a room.", project_id),
        await upload(client, person, "Of all of us.", shared_id),
    ]
    room = await open_room(client, person, project_id, "always")
    await say(client, person, room, f"Where does the {CANARY} sleep?", **{"Idempotency-Key": "once"})
    await open_room(client, person, shared_id)
    friends_room = await open_room(client, friend, (await make_project(client, friend, "Theirs"))["id"])
    await enter(client, friend, person, friends_room)
    await enter(client, person, friend, room)
    for said in ("Good evening", f"I have a {CANARY}"):
        await say(client, person, friends_room, said)
    await say(client, friend, friends_room, "How lovely")
    key = (await make_key(client, person, name=NAME))["key"]
    await add_rows(resources, person)
    await run_queued_tasks(resources)
    await answer(resources, room)
    files = [resources.foundation.storage.path(document["sha256"]) for document in documents]
    return Home(client, person, friend, key, project_id, shared_id, friends_room, files)


async def add_rows(resources: Resources, person: User) -> None:
    """What other doors make."""
    user_id, later = UUID(person.id), func.now() + text("interval '1 day'")
    async with resources.uow() as uow:
        uow._session.add_all(
            [
                Identity(user_id=user_id, issuer="https://id.example", subject=person.email, email=person.email),
                MailToken(
                    user_id=user_id, purpose=MailPurpose.VERIFY_EMAIL, email=person.email, digest=b"m", expires_at=later
                ),
                RegistrationInvite(created_by=user_id, digest=b"i", expires_at=later),
                RegistrationInvite(
                    created_by=None, email=person.email, digest=b"j", expires_at=later, used_by=user_id, used_at=later
                ),
            ]
        )
    redis, prefix = resources.foundation.redis, resources.settings.redis.prefix
    await redis.set(f"{prefix}{{limit}}:requests:user:{person.id}", "7")


async def answer(resources: Resources, room: str) -> None:
    """As if the spirit, a seat and a project's state were there at this moment."""
    redis, prefix = resources.foundation.redis, resources.settings.redis.prefix
    await redis.hset(f"{prefix}session:{room}:answer", mapping={"in_reply_to": room, "text": f"The {CANARY} …"})
    await redis.hset(f"{prefix}session:{{{room}}}:names", mapping={room: NAME})


async def delete(home: Home, **wishes: object):
    body = {"password": PASSWORD, **wishes}
    return await home.client.request("DELETE", ME, json=body, headers=home.person.headers)


async def work(resources: Resources) -> None:
    """What the worker does once everything has settled."""
    await execute(resources, update(Task).where(Task.task_type == DELETE_ACCOUNT).values(run_after=func.now()))
    await run_queued_tasks(resources)


async def tables_with(resources: Resources, needle: str) -> set[str]:
    """Tables in which `needle` stands in any column, in bytes as well."""
    found = set()
    async with resources.uow() as uow:
        for table in Base.metadata.sorted_tables:
            query = text(f'SELECT count(*) FROM "{table.name}" AS t WHERE t::text ILIKE :word OR t::text ILIKE :bytes')
            values = {"word": f"%{needle}%", "bytes": f"%{needle.encode().hex()}%"}
            if await uow._session.scalar(query, values):
                found.add(table.name)
    return found


async def keys_with(resources: Resources, needles: Iterable[str]) -> set[str]:
    """Keys of Redis that have any of these in their name or their value."""
    redis, found = resources.foundation.redis, set()
    async for key in redis.scan_iter(match=f"{resources.settings.redis.prefix}*"):
        content = key + await dump(redis, key)
        if any(needle.lower() in content.lower() for needle in needles):
            found.add(key)
    return found


async def dump(redis: Redis, key: str) -> str:
    match await redis.type(key):
        case "string":
            return str(await redis.get(key))
        case "hash":
            return str(await redis.hgetall(key))
        case "zset":
            return str(await redis.zrange(key, 0, -1))
        case "set":
            return str(await redis.smembers(key))
    return ""


async def test_nothing_is_left_of_a_deleted_account_but_its_id_in_the_audit_log(client: AsyncClient, resources):
    home = await furnish(client, resources)
    person = home.person
    assert await tables_with(resources, person.id) >= {
        *("users", "logins", "api_keys", "identities", "mail_tokens", "registration_invites", "idempotent_requests"),
        *("projects", "members", "participants", "invites", "documents", "sessions", "tasks", "messages", "events"),
        *("channels", "audit_entries"),
    }
    assert await tables_with(resources, CANARY) >= {"document_texts", "chunks", "messages", "events", "users"}
    assert await tables_with(resources, NAME) >= {"users", "messages", "events"}
    assert await keys_with(resources, [person.id, CANARY, NAME])
    assert all(path.is_file() for path in home.files)

    assert (await delete(home, erase_messages=True)).status_code == 204
    await work(resources)

    assert await tables_with(resources, person.id) == {"audit_entries"}
    for needle in (CANARY, NAME, person.email):
        assert await tables_with(resources, needle) == set(), needle
    assert await keys_with(resources, [person.id, CANARY, NAME, person.email]) == set()
    assert [path.is_file() for path in home.files] == [False, False, True]  # the last one is a friend's, too


async def test_with_the_answer_everything_is_over_and_the_address_is_free(client: AsyncClient, resources):
    home = await furnish(client, resources)
    person, friend = home.person, home.friend
    assert (await delete(home)).status_code == 204

    assert (await client.get(ME, headers=person.headers)).status_code == 401
    assert (await client.get(ME, headers={"X-API-Key": home.key})).status_code == 401
    assert (await client.post(f"{V1}/auth/refresh", json={"refresh_token": person.refresh_token})).status_code == 401
    assert (await login(client, person.email)).status_code == 401
    rooms = (await client.get(f"{V1}/sessions", headers=friend.headers)).json()["items"]
    assert home.project_id not in {room["project_id"] for room in rooms}  # an invited guest sees it no more
    assert (await register(client, person.email)).status_code == 201
    await work(resources)
    again = (await login(client, person.email)).json()
    fresh = (await client.get(ME, headers={"Authorization": f"Bearer {again['access_token']}"})).json()
    assert (fresh["name"], fresh["preferences"], fresh["about"]) == ("Ada", {}, "")
    assert fresh["id"] != person.id


async def test_what_others_own_or_said_stays_and_so_do_the_numbers_of_their_rooms(client: AsyncClient, resources):
    home = await furnish(client, resources)
    friend = home.friend.headers
    assert (await delete(home)).status_code == 204
    await work(resources)

    project = (await client.get(f"{V1}/projects/{home.shared_id}", headers=friend)).json()
    assert (project["owner_id"], project["role"]) == (home.friend.id, "owner")
    documents = (await client.get(f"{V1}/documents?project_id={home.shared_id}", headers=friend)).json()["items"]
    assert len(documents) == 1
    assert (await client.get(f"{V1}/documents/{documents[0]['id']}/content", headers=friend)).text == "Of all of us."
    messages = (await client.get(f"{V1}/chat/{home.friends_room}/messages?after_seq=0", headers=friend)).json()["items"]
    assert [(message["user_name"], message["user_id"]) for message in messages] == [
        (FORMER_MEMBER, None),
        (FORMER_MEMBER, None),
        ("Friend", home.friend.id),
    ]
    assert messages[1]["text"] == f"I have a {CANARY}"  # nobody asked for more
    assert await frames_of(resources, home.friends_room) == [
        {name: message[name] for name in ("seq", "id", "user_name", "user_id", "text")} for message in messages
    ]


async def test_messages_are_emptied_with_what_the_spirit_said_to_them(client: AsyncClient, resources):
    home = await furnish(client, resources)
    asked = await say(client, home.person, home.friends_room, f"Who has seen my {CANARY}?")
    chat = resources.services.chat
    answer = Answer(f"Your {CANARY} sleeps.")
    await chat.post_spirit(UUID(home.friends_room), answer, in_reply_to=UUID(asked["id"]))
    assert (await delete(home, erase_messages=True)).status_code == 204
    await work(resources)
    frames = await frames_of(resources, home.friends_room)
    assert [frame["text"] for frame in frames] == [ERASED_TEXT, ERASED_TEXT, "How lovely", ERASED_TEXT, ERASED_TEXT]
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5]


async def frames_of(resources: Resources, room: str) -> list[dict]:
    """What somebody who comes back would be told."""
    async with resources.uow() as uow:
        frames = [json.loads(frame.text) for frame in await uow.events.list_after(UUID(room), 0, limit=100)]
    return [{name: frame[name] for name in ("seq", "id", "user_name", "user_id", "text")} for frame in frames]


async def test_whoever_deletes_an_account_proves_to_be_its_owner(client: AsyncClient, resources, owner, admin):
    for body in (None, {}, {"password": "wrong"}):
        refused = await client.request("DELETE", ME, json=body, headers=owner.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMISSION_DENIED"), body
    unknown = await client.request(
        "DELETE", ME, json={"password": PASSWORD, "user_id": admin.id}, headers=owner.headers
    )
    assert unknown.status_code == 422
    key = (await make_key(client, owner, scopes=["read", "write"]))["key"]
    by_key = await client.request("DELETE", ME, json={"password": PASSWORD}, headers={"X-API-Key": key})
    assert by_key.status_code == 403
    stale = {**owner.headers, "If-Match": '"1"'}
    assert (await client.request("DELETE", ME, json={"password": PASSWORD}, headers=stale)).status_code == 412
    assert (await client.get(ME, headers=owner.headers)).status_code == 200

    user_id = UUID(owner.id)
    await execute(resources, update(Account).where(Account.id == user_id).values(password_hash=None))
    long_ago = func.now() - text("interval '6 minutes'")
    await execute(resources, update(Login).where(Login.user_id == user_id).values(created_at=long_ago))
    assert (await client.delete(ME, headers=owner.headers)).status_code == 403  # signed in elsewhere, too long ago
    await execute(resources, update(Login).where(Login.user_id == user_id).values(created_at=func.now()))
    assert (await client.delete(ME, headers=owner.headers)).status_code == 204


async def test_a_project_in_which_others_work_is_not_deleted_by_accident(client: AsyncClient, resources):
    home = await furnish(client, resources)
    await share(client, home.person, home.project_id, home.friend, "viewer")
    refused = await delete(home)
    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"project_ids": [home.project_id]})
    assert (await client.get(ME, headers=home.person.headers)).status_code == 200
    path = f"{V1}/projects/{home.project_id}"
    assert (await client.get(path, headers=home.friend.headers)).status_code == 200
    assert (await delete(home, delete_shared_projects=True)).status_code == 204
    assert (await client.get(path, headers=home.friend.headers)).status_code == 404


async def test_the_last_admin_stays_as_long_as_there_is_anybody_else(client: AsyncClient, resources, admin):
    somebody = await make_user(client, name="Somebody")
    body = {"password": PASSWORD}
    refused = await client.request("DELETE", ME, json=body, headers=admin.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert (await client.request("DELETE", ME, json=body, headers=somebody.headers)).status_code == 204
    assert (await client.request("DELETE", ME, json=body, headers=admin.headers)).status_code == 204
    assert (await make_user(client, name="First Again")).id
    assert await execute(resources, select(Account.role).where(Account.name == "First Again")) == "admin"


async def test_tasks_that_run_are_told_to_stop_and_those_that_wait_never_begin(client: AsyncClient, resources, owner):
    await upload(client, owner, "Never read")
    room = await open_room(client, owner, (await make_project(client, owner))["id"], "always")
    await say(client, owner, room, "Never answered")
    await execute(resources, update(Task).where(Task.task_type == ANSWER_MESSAGE).values(status="running"))
    assert (await client.request("DELETE", ME, json={"password": PASSWORD}, headers=owner.headers)).status_code == 204
    async with resources.uow() as uow:
        rows = await uow._session.execute(select(Task.task_type, Task.status, Task.cancel_requested))
        tasks = {row.task_type: (row.status, row.cancel_requested) for row in rows}
    assert tasks == {
        "ingest_document": ("cancelled", True),
        "answer_message": ("running", True),
        "delete_account": ("queued", False),
    }


async def test_a_deletion_that_was_given_up_is_begun_again(client: AsyncClient, resources, owner):
    assert (await client.request("DELETE", ME, json={"password": PASSWORD}, headers=owner.headers)).status_code == 204
    given_up = update(Task).where(Task.task_type == DELETE_ACCOUNT)
    await execute(resources, given_up.values(status="failed", attempts=6, finished_at=func.now()))
    await work(resources)
    assert await tables_with(resources, owner.id) > {"audit_entries"}
    await resources.services.erasure.sweep()
    await work(resources)
    assert await tables_with(resources, owner.id) == {"audit_entries"}


async def test_guests_of_long_ago_are_removed_and_what_they_said_stays(client: AsyncClient, resources, owner):
    room = await open_room(client, owner, (await make_project(client, owner))["id"])
    ids = {}
    for name in ("Old", "New"):
        invite = (await client.post(f"{V1}/sessions/{room}/invites", json={}, headers=owner.headers)).json()["invite"]
        joined = (await client.post(f"{V1}/sessions/join", json={"invite": invite, "name": name})).json()
        headers = {"Authorization": f"Bearer {joined['access_token']}"}
        await client.post(f"{V1}/chat/{room}/messages", json={"text": f"I am {name}"}, headers=headers)
        ids[name] = joined["user"]["id"]
    long_ago = func.now() - text("interval '8 days'")
    await execute(resources, update(Account).where(Account.id == UUID(ids["Old"])).values(created_at=long_ago))
    await resources.services.erasure.sweep()
    messages = (await client.get(f"{V1}/chat/{room}/messages?after_seq=0", headers=owner.headers)).json()["items"]
    assert [(message["user_name"], message["user_id"]) for message in messages] == [("Old", None), ("New", ids["New"])]


async def test_a_worker_that_is_killed_leaves_an_account_that_the_next_one_deletes(alone):
    user_id = await begin_deletion(alone, documents=250, messages=1000)
    environment = environment_of(alone.settings, TASK_LEASE="0.5", TASK_POLL_INTERVAL="0.1")
    before = await rows_left(alone)
    worker = await start_process(environment, "worker")
    await until(lambda: has_fewer(alone, before), seconds=30)
    worker.kill()
    await worker.wait()
    assert 0 < await rows_left(alone) < before

    async def another_finished() -> bool:
        await run_queued_tasks(alone)
        return await is_gone(alone, user_id)

    await until(another_finished, seconds=60)
    assert await tables_with(alone, str(user_id)) == {"audit_entries"}
    assert await rows_left(alone) == 0


@pytest.mark.parametrize("is_committed", [False, True])
async def test_whatever_transaction_an_attempt_ends_in_the_next_one_finishes_the_deletion(alone, is_committed):
    user_id = await begin_deletion(alone, documents=15, messages=5)
    settings = alone.settings.task.model_copy(update={"lease": timedelta(0), "max_attempts": 1000})
    deaths = 0
    for last in itertools.count(1):
        task = await lease_one(TaskExecution(alone.uow, settings, {}), DELETE_ACCOUNT)
        if task is None:
            break
        dying = mortal(alone.uow, last, is_committed=is_committed)
        erasure = alone.services.erasure
        attempt = ErasureService(dying, erasure._blobs, erasure._traces, guests_kept=timedelta(0))
        try:
            await attempt.erase(task, user_id, erase_messages=False)
        except Killed:
            deaths += 1
    assert deaths > 5
    assert await tables_with(alone, str(user_id)) == {"audit_entries"}
    assert await rows_left(alone) == 0


async def begin_deletion(resources: Resources, *, documents: int, messages: int) -> UUID:
    """An account with as many rows in its default project, whose deletion has begun."""
    user = await resources.services.accounts.register(UserCreate(email="a@example.com", password=PASSWORD, name="Ada"))
    actor = Principal(user.id, user.name)
    async with resources.uow() as uow:
        project_id = (await uow.projects.get_default(user.id)).id
    room = await resources.services.sessions.create(actor, SessionCreate(name="Kitchen", spirit_mode="off"))
    for number in range(3):
        await resources.services.chat.post(actor, room.id, f"Number {number}")
    values = {"user": user.id, "project": project_id, "room": room.id}
    for statement, count in ((MANY_DOCUMENTS, documents), (MANY_MESSAGES, messages)):
        await execute(resources, text(statement).bindparams(**values, count=count))
    await resources.services.users.delete(actor, user.id, AccountDeletion(password=PASSWORD))
    await execute(resources, update(Task).where(Task.task_type == DELETE_ACCOUNT).values(run_after=func.now()))
    return user.id


MANY_DOCUMENTS = """
    INSERT INTO documents (id, project_id, owner_id, title, media_type, size, sha256, status)
    SELECT gen_random_uuid(), :project, :user, 'Notes', 'text/plain', 1, encode(sha256(n::text::bytea), 'hex'), 'ready'
    FROM generate_series(1, :count) AS n WHERE CAST(:room AS uuid) IS NOT NULL
"""
MANY_MESSAGES = """
    INSERT INTO messages (id, session_id, seq, user_id, user_name, text, is_spirit)
    SELECT gen_random_uuid(), :room, 1000 + n, :user, 'Ada', 'Hello', false
    FROM generate_series(1, :count) AS n WHERE CAST(:project AS uuid) IS NOT NULL
"""


async def rows_left(resources: Resources) -> int:
    entities = (Document, Message, EventRow, Session, Project, Task)
    return sum([await execute(resources, select(func.count()).select_from(entity)) for entity in entities])


async def has_fewer(resources: Resources, number: int) -> bool:
    return await rows_left(resources) < number


async def is_gone(resources: Resources, user_id: UUID) -> bool:
    return not await execute(resources, select(func.count()).where(Account.id == user_id))
