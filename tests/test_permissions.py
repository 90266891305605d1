"""Every route and every command of a socket × every kind of caller. What has no row here fails the walk."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from sqlalchemy.ext.asyncio import AsyncConnection
from websockets.exceptions import ConnectionClosed

from app.commands import ProjectCommand, RoomCommand
from app.main import create_app
from app.resources import Resources
from tests.factories import PASSWORD, User, make_key, make_user, share
from tests.media import attach
from tests.processes import LiveServer
from tests.rooms import Visitor, visit

CALLERS = ("anonymous", "guest", "stranger", "admin", "viewer", "editor", "owner")
"""Columns of the table. The others below are the owner (or the admin) in another guise, and follow from these."""
GUISES = ("owner's cookie", "owner's cookie from elsewhere", "owner's reading key", "owner's key", "admin's key")
SAFE = ("GET", "HEAD")

Expected = Mapping[str, int]


def row(
    anonymous: int, guest: int, stranger: int, admin: int, viewer: int, owner: int, *, editor: int | None = None
) -> Expected:
    """An editor may do what an owner may, unless it is said."""
    columns = (anonymous, guest, stranger, admin, viewer, owner if editor is None else editor, owner)
    return dict(zip(CALLERS, columns, strict=True))


def public(status: int) -> Expected:
    """Credentials make no difference."""
    return dict.fromkeys(CALLERS, status)


def personal(status: int) -> Expected:
    """Everybody who is signed in, about themselves; guests have no account."""
    return row(401, 403, status, status, status, status)


def in_project(*, viewer: int, owner: int, editor: int | None = None) -> Expected:
    """A thing in a project: outsiders, admins among them, do not even learn that it is there."""
    return row(401, 403, 404, 404, viewer, owner, editor=editor)


def own(status: int) -> Expected:
    """What is the owner's alone: nobody else learns that it is there, with whom ever they share a project."""
    return row(401, 403, 404, 404, 404, status, editor=404)


def in_room(*, guest: int, viewer: int, owner: int, editor: int | None = None) -> Expected:
    return row(401, guest, 404, 404, viewer, owner, editor=editor)


def for_admins(status: int) -> Expected:
    return row(401, 403, 403, status, 403, 403)


READS_BY_POST = {
    "POST /api/v1/search",
    "POST /api/v1/query",
    "DELETE /api/v1/query/{answer_id}",
    "POST /v1/chat/completions",
    "POST /v1/embeddings",
    "POST /v1/responses",
    "POST /v1/vector_stores/{vector_store_id}/search",
}
"""A key with the scope `read` is enough for these: they change nothing but what the caller is told."""
FOR_PERSONS = {
    "GET /api/v1/users/me/export",
    "DELETE /api/v1/users/me",
    "GET /api/v1/users/me/devices",
    "DELETE /api/v1/users/me/devices",
    "DELETE /api/v1/users/me/devices/{device_id}",
    "POST /api/v1/users/me/password",
    "POST /api/v1/users/me/email",
    "POST /api/v1/users/me/email/verification",
    "GET /api/v1/users/me/identities",
    "POST /api/v1/users/me/identities",
    "DELETE /api/v1/users/me/identities/{identity_id}",
}
"""Whoever has a key only does not get at these, whatever its scopes."""


OTHERWISE = {
    "POST /api/v1/auth/session": {"owner's cookie from elsewhere": 403},
    "POST /api/v1/sessions/join": {"owner's cookie from elsewhere": 403},  # it would join as the owner
}


def in_guise(name: str, expected: Expected) -> dict[str, int]:
    """What the owner and the admin get when they come in another way."""
    method = name.split(" ")[0]
    if len(set(expected.values())) == 1:  # public
        return dict.fromkeys(GUISES, expected["owner"]) | OTHERWISE.get(name, {})
    reads = method in SAFE or name in READS_BY_POST
    by_key = 403 if name in FOR_PERSONS else expected["owner"]
    is_for_admins = expected["admin"] < 300 and expected["owner"] == 403
    return {
        "owner's cookie": expected["owner"],
        "owner's cookie from elsewhere": expected["owner"] if method in SAFE else 403,
        "owner's reading key": by_key if reads else 403,
        "owner's key": by_key,
        "admin's key": 403 if is_for_admins or name in FOR_PERSONS else expected["admin"],
    }


@dataclass
class World:
    """Callers around one project with a document, a room, a task and a key."""

    client: AsyncClient
    people: dict[str, User] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def path(self, template: str) -> str:
        return template.format(**self.ids)


async def make_world(client: AsyncClient) -> World:
    world = World(client)
    names = ("admin", "owner", "editor", "viewer", "stranger", "other")
    world.people = {name: await make_user(client, name=name.title()) for name in names}
    owner, viewer, stranger, other = [world.people[name] for name in ("owner", "viewer", "stranger", "other")]
    world.headers = {"anonymous": {}} | {name: user.headers for name, user in world.people.items()}

    async def create(path: str, **json: Any) -> dict[str, Any]:
        response = await client.post(f"/api/v1{path}", json=json, headers=owner.headers)
        assert response.is_success, (path, response.text)
        return response.json()

    project = await create("/projects", name="Lighthouse")
    await share(client, owner, project["id"], viewer, "viewer")
    await share(client, owner, project["id"], other, "viewer")
    await share(client, owner, project["id"], world.people["editor"], "editor")
    accepted = await create("/documents", text="The lamp is lit at nine.", title="Lamp", project_id=project["id"])
    room = await create("/sessions", name="Kitchen", project_id=project["id"])
    invite = (await create(f"/sessions/{room['id']}/invites", max_uses=20))["invite"]
    room_invite = await create(f"/sessions/{room['id']}/invites", max_uses=20)
    guest = await client.post("/api/v1/sessions/join", json={"invite": invite, "name": "Guest"})
    said, doomed = [await create(f"/chat/{room['id']}/messages", text="Is the lamp lit?") for _ in range(2)]
    world.headers["guest"] = {"Authorization": f"Bearer {guest.json()['access_token']}"}
    key = await create("/api-keys", name="script")
    world.headers |= await other_guises(client, owner, world.people["admin"])
    for_strangers = await client.post("/api/v1/admin/invites", json={}, headers=world.people["admin"].headers)
    asked = await client.post("/api/v1/query", json={"question": "When is the lamp lit?"}, headers=owner.headers)
    devices = (await client.get("/api/v1/users/me/devices", headers=owner.headers)).json()["items"]
    seen = {"name": "Anna"}, {"name": "Cape", "coordinates": {"latitude": 45.5, "longitude": -122.6}}
    nightly = {"task_type": "reingest_project", "name": "Nightly", "cron": "0 3 * * *"}
    schedule = await create(f"/projects/{project['id']}/schedules", **nightly)
    private = await create("/memories", content="A secret.", people=seen[:1], location=seen[1])
    shared = await create("/memories", content="The lamp broke.", project_id=project["id"])
    brought = await client.post(
        "/api/v1/memories/imports", files={"file": ("diary.csv", b"title\nA lamp\n")}, headers=owner.headers
    )
    plan = f"/api/v1/projects/{project['id']}/files/notes/plan.txt"
    assert (await client.put(plan, content=b"Light it.", headers=owner.headers)).status_code == 201
    webhook = await create(f"/projects/{project['id']}/webhooks", url="http://8.8.8.8/hooks")
    delivery = await create(f"/projects/{project['id']}/webhooks/{webhook['id']}/ping")
    files = [await attach(client, owner, memory["id"], b"A note.") for memory in (private, shared)]
    world.ids = {
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "path": "notes/plan.txt",
        "project_id": project["id"],
        "document_id": accepted["document"]["id"],
        "task_id": accepted["task"]["id"],
        "session_id": room["id"],
        "message_id": said["id"],
        "room_invite_id": room_invite["id"],
        "participant_id": other.id,
        "emoji": "%F0%9F%91%8D",
        "reply_to": said["id"],
        "key_id": key["id"],
        "user_id": other.id,
        "invite_id": for_strangers.json().get("id", key["id"]),  # in the database of the sockets others were first
        "identity_id": key["id"],  # nobody has one
        "device_id": devices[0]["id"],  # the cookie's, which is the newest
        "answer_id": asked.json()["id"],
        "memory_id": private["id"],
        "import_id": brought.json()["import"]["id"],
        "candidate_id": key["id"],  # nobody has one: whose they are is in tests/api/test_candidates.py
        "shared_memory_id": shared["id"],
        "media_id": files[0]["id"],
        "shared_media_id": files[1]["id"],
        "name": "small",
        "person_id": private["people"][0]["id"],
        "person": private["people"][0]["id"],
        "location_id": private["location"]["id"],
        "location": private["location"]["id"],
        "schedule_id": schedule["id"],
        "after": accepted["task"]["id"],
        "model": f"hearth/{project['id']}",
        "file_id": f"file-{UUID(accepted['document']['id']).hex}",
        "vector_store_id": f"vs_{UUID(project['id']).hex}",
        "batch_id": f"vsfb_{UUID(project['id']).hex}",
    }
    world.secrets = {"invite": invite, "email": stranger.email, "doomed_id": doomed["id"]}
    return world


async def other_guises(client: AsyncClient, owner: User, admin: User) -> dict[str, dict[str, str]]:
    form = {"username": owner.email, "password": PASSWORD}
    session = await client.post("/api/v1/auth/session", data=form)
    cookie = {"Cookie": f"hearth_session={client.cookies['hearth_session']}"}
    client.cookies.clear()

    async def key(user: User, *scopes: str) -> dict[str, str]:
        return {"X-API-Key": (await make_key(client, user, scopes=scopes))["key"]}

    return {
        "owner's cookie": cookie | {"X-CSRF-Token": session.json()["csrf_token"], "Origin": "http://localhost:3000"},
        "owner's cookie from elsewhere": cookie | {"Origin": "https://evil.example"},
        "owner's reading key": await key(owner, "read"),
        "owner's key": await key(owner, "read", "write"),
        "admin's key": await key(admin, "read", "write"),
    }


Body = Callable[[World], dict[str, Any]]
V1 = "/api/v1"


def json(**body: Any) -> Body:
    return lambda world: {name: value(world) if callable(value) else value for name, value in body.items()}


def known(name: str) -> Callable[[World], str]:
    """An id or a secret of the world."""
    return lambda world: (world.ids | world.secrets)[name]


PROJECT = f"{V1}/projects/{{project_id}}"
WEBHOOK = f"{PROJECT}/webhooks/{{webhook_id}}"
DELIVERY = f"{WEBHOOK}/deliveries/{{delivery_id}}"
DOCUMENT = f"{V1}/documents/{{document_id}}"
SESSION = f"{V1}/sessions/{{session_id}}"
MESSAGES = f"{V1}/chat/{{session_id}}/messages"
MESSAGE = f"{MESSAGES}/{{message_id}}"
MEMORY = f"{V1}/memories/{{memory_id}}"
MEDIA = f"{MEMORY}/media/{{media_id}}"
CANDIDATE = f"{V1}/memories/candidates/{{candidate_id}}"
PERSON = f"{V1}/people/{{person_id}}"
LOCATION = f"{V1}/locations/{{location_id}}"
SCHEDULE = f"{V1}/schedules/{{schedule_id}}"
FUNCTION_CALL = f"{V1}/function-calls/{{task_id}}"
FILE = "/v1/files/{file_id}"
STORE = "/v1/vector_stores/{vector_store_id}"
STORE_FILE = f"{STORE}/files/{{file_id}}"

ROWS: dict[str, tuple[Expected, Body | None]] = {
    # operations
    "GET /health": (public(200), None),
    "GET /health/live": (public(200), None),
    "GET /health/ready": (public(200), None),
    f"GET {V1}/health": (public(200), None),
    f"GET {V1}/info": (public(200), None),
    f"GET {V1}/metrics": (personal(200), None),
    # accounts
    f"POST {V1}/auth/register": (public(409), json(email=known("email"), password="a good password", name="Twin")),
    f"POST {V1}/auth/login": (public(422), None),  # a form: its own tests
    f"POST {V1}/auth/refresh": (public(401), json(refresh_token="hearth_rt_unknown")),
    f"POST {V1}/auth/session": (public(422), None),  # a form: its own tests
    f"GET {V1}/auth/session": (personal(200), None),
    f"POST {V1}/auth/logout": (row(401, 403, 204, 204, 204, 204), json()),
    f"POST {V1}/ws-tickets": (row(401, 201, 201, 201, 201, 201), None),
    f"POST {V1}/auth/password/forgot": (public(202), json(email=known("email"))),
    f"POST {V1}/auth/password/reset": (public(401), json(token="hearth_mail_unknown", password="a good password")),
    f"POST {V1}/auth/email/verify": (public(401), json(token="hearth_mail_unknown")),
    f"POST {V1}/users/me/password": (  # of a person without an API key, who has to know the old one
        personal(422),
        json(current_password="not mine", new_password="a good password"),
    ),
    f"POST {V1}/users/me/email": (personal(422), json(email="new@example.com", current_password="not mine")),
    f"POST {V1}/users/me/email/verification": (personal(202), None),
    f"GET {V1}/auth/oidc/login": (public(404), None),  # no provider is set up here: its own tests
    f"GET {V1}/auth/oidc/callback": (public(422), None),
    f"GET {V1}/users/me": (personal(200), None),
    f"GET {V1}/users/me/identities": (personal(200), None),
    f"POST {V1}/users/me/identities": (personal(404), json(redirect_to="/")),
    f"DELETE {V1}/users/me/identities/{{identity_id}}": (personal(404), None),
    f"PATCH {V1}/users/me": (personal(200), json(name="Renamed")),
    f"GET {V1}/users/me/export": (personal(200), None),
    f"DELETE {V1}/users/me": (  # the last admin stays, and whoever owns what others work in is asked again
        row(401, 403, 204, 409, 204, 409, editor=204),
        json(password=PASSWORD),
    ),
    f"GET {V1}/users/me/devices": (personal(200), None),
    f"DELETE {V1}/users/me/devices": (personal(204), None),
    f"DELETE {V1}/users/me/devices/{{device_id}}": (row(401, 403, 404, 404, 404, 204, editor=404), None),
    f"POST {V1}/api-keys": (personal(201), json(name="another")),
    f"GET {V1}/api-keys": (personal(200), None),
    f"GET {V1}/api-keys/{{key_id}}": (row(401, 403, 404, 404, 404, 200, editor=404), None),
    f"PATCH {V1}/api-keys/{{key_id}}": (row(401, 403, 404, 404, 404, 200, editor=404), json(name="renamed")),
    f"DELETE {V1}/api-keys/{{key_id}}": (row(401, 403, 404, 404, 404, 204, editor=404), None),
    f"GET {V1}/admin/limits": (for_admins(200), None),
    f"PUT {V1}/admin/limits": (for_admins(200), json(role="guest", budget="tokens", rate="0/day")),
    # projects
    f"POST {V1}/projects": (personal(201), json(name="Another")),
    f"GET {V1}/projects": (personal(200), None),
    f"GET {PROJECT}": (in_project(viewer=200, owner=200), None),
    f"PATCH {PROJECT}": (in_project(viewer=403, editor=403, owner=200), json(name="Renamed")),
    f"DELETE {PROJECT}": (in_project(viewer=403, editor=403, owner=204), None),
    f"GET {PROJECT}/members": (in_project(viewer=200, owner=200), None),
    f"POST {PROJECT}/members": (
        in_project(viewer=403, editor=403, owner=201),
        json(email=known("email"), role="editor"),
    ),
    f"DELETE {PROJECT}/members/{{user_id}}": (in_project(viewer=403, editor=403, owner=204), None),
    f"POST {PROJECT}/tasks": (in_project(viewer=403, owner=202), json(task_type="reingest_project")),
    f"POST {PROJECT}/archive": (in_project(viewer=403, editor=403, owner=200), None),
    f"POST {PROJECT}/unarchive": (in_project(viewer=403, editor=403, owner=200), None),
    f"GET {PROJECT}/stats": (in_project(viewer=200, owner=200), None),
    f"GET {PROJECT}/export": (in_project(viewer=403, editor=403, owner=200), None),
    f"GET {PROJECT}/state": (in_project(viewer=200, owner=200), None),
    f"PUT {PROJECT}/state": (in_project(viewer=403, owner=200), json(scene=1)),
    f"PATCH {PROJECT}/state": (in_project(viewer=403, owner=200), json(scene=None)),
    f"DELETE {PROJECT}/state": (in_project(viewer=403, owner=204), None),
    f"GET {PROJECT}/files": (in_project(viewer=200, owner=200), None),
    f"PUT {PROJECT}/files/{{path}}": (in_project(viewer=403, owner=200), json(text="New.")),
    f"GET {PROJECT}/files/{{path}}": (in_project(viewer=200, owner=200), None),
    f"DELETE {PROJECT}/files/{{path}}": (in_project(viewer=403, owner=204), None),
    f"GET {PROJECT}/previews/{{path}}": (in_project(viewer=200, owner=200), None),
    f"POST {PROJECT}/webhooks": (
        in_project(viewer=403, editor=403, owner=201),
        json(url="http://8.8.8.8/hooks", events=["complete"]),
    ),
    f"GET {PROJECT}/webhooks": (in_project(viewer=403, editor=403, owner=200), None),
    f"GET {WEBHOOK}": (in_project(viewer=403, editor=403, owner=200), None),
    f"PATCH {WEBHOOK}": (in_project(viewer=403, editor=403, owner=200), json(description="Changed.")),
    f"DELETE {WEBHOOK}": (in_project(viewer=403, editor=403, owner=204), None),
    f"POST {WEBHOOK}/secret": (in_project(viewer=403, editor=403, owner=200), None),
    f"POST {WEBHOOK}/ping": (in_project(viewer=403, editor=403, owner=202), None),
    f"GET {WEBHOOK}/deliveries": (in_project(viewer=403, editor=403, owner=200), None),
    f"GET {DELIVERY}": (in_project(viewer=403, editor=403, owner=200), None),
    f"POST {DELIVERY}/replay": (in_project(viewer=403, editor=403, owner=409), None),  # it is on its way
    # documents
    f"POST {V1}/documents": (in_project(viewer=403, owner=202), json(text="New.", project_id=known("project_id"))),
    f"POST {V1}/ingest": (in_project(viewer=403, owner=202), json(text="Newer.", project_id=known("project_id"))),
    f"GET {V1}/documents": (personal(200), None),
    f"GET {DOCUMENT}": (in_project(viewer=200, owner=200), None),
    f"PATCH {DOCUMENT}": (in_project(viewer=403, owner=200), json(title="Renamed")),
    f"DELETE {DOCUMENT}": (in_project(viewer=403, owner=204), None),
    f"GET {DOCUMENT}/content": (in_project(viewer=200, owner=200), None),
    f"GET {DOCUMENT}/text": (in_project(viewer=409, owner=409), None),  # not read yet
    f"GET {DOCUMENT}/chunks": (in_project(viewer=200, owner=200), None),
    f"GET {DOCUMENT}/check": (in_project(viewer=200, owner=200), json(q="lamp")),
    f"POST {DOCUMENT}/reingest": (in_project(viewer=403, owner=202), None),
    f"POST {V1}/search": (personal(200), json(query="lamp")),  # what each may find: tests of the retrieval
    f"POST {V1}/query": (personal(200), json(question="When is the lamp lit?")),
    f"GET {V1}/query/{{answer_id}}": (row(401, 403, 404, 404, 404, 200, editor=404), None),
    f"GET {V1}/query/{{answer_id}}/events": (row(401, 403, 404, 404, 404, 200, editor=404), None),
    f"DELETE {V1}/query/{{answer_id}}": (row(401, 403, 404, 404, 404, 202, editor=404), None),
    # memories, which are private here; what is shared: SHARED_ROWS
    f"POST {V1}/memories": (in_project(viewer=403, owner=201), json(content="New.", project_id=known("project_id"))),
    f"GET {V1}/memories": (personal(200), None),
    f"GET {V1}/memories/timeline": (personal(200), None),
    f"GET {V1}/memories/on-this-day": (personal(200), None),
    f"GET {MEMORY}": (own(200), None),
    f"PATCH {MEMORY}": (own(200), json(content="Changed.")),
    f"DELETE {MEMORY}": (own(204), None),
    f"POST {MEMORY}/restore": (own(200), None),
    f"GET {MEMORY}/history": (own(200), None),
    f"POST {MEMORY}/undo": (own(409), None),  # there is nothing to undo
    f"POST {V1}/memories/imports": (personal(415), None),  # a form: its own tests
    f"GET {V1}/memories/imports": (personal(200), None),
    f"GET {V1}/memories/imports/{{import_id}}": (own(200), None),
    f"GET {V1}/memories/export": (personal(200), None),
    f"POST {MEMORY}/media": (own(415), None),  # a form: its own tests
    f"GET {MEMORY}/media": (own(200), None),
    f"GET {MEDIA}": (own(200), None),
    f"PATCH {MEDIA}": (own(200), json(keeps_metadata=True)),
    f"DELETE {MEDIA}": (own(204), None),
    f"GET {MEDIA}/content": (own(200), None),
    f"GET {MEDIA}/original": (own(200), None),
    f"GET {MEDIA}/thumbnails/{{name}}": (own(404), None),  # of a text
    f"GET {V1}/memories/candidates": (personal(200), None),
    f"GET {CANDIDATE}": (personal(404), None),
    f"PATCH {CANDIDATE}": (personal(404), json(title="Renamed")),
    f"POST {CANDIDATE}/accept": (personal(404), json()),
    f"DELETE {CANDIDATE}": (personal(404), None),
    f"POST {V1}/people": (personal(201), json(name="Ben")),
    f"GET {V1}/people": (personal(200), None),
    f"GET {PERSON}": (own(200), None),
    f"PATCH {PERSON}": (own(200), json(name="Renamed")),
    f"DELETE {PERSON}": (own(204), None),
    f"POST {PERSON}/merge": (own(409), json(person_id=known("person_id"))),  # with themselves
    f"POST {V1}/locations": (personal(201), json(name="Bay")),
    f"GET {V1}/locations": (personal(200), None),
    f"GET {LOCATION}": (own(200), None),
    f"PATCH {LOCATION}": (own(200), json(name="Renamed")),
    f"DELETE {LOCATION}": (own(204), None),
    # tasks
    f"GET {V1}/tasks": (personal(200), None),
    f"GET {V1}/tasks/{{task_id}}": (in_project(viewer=200, owner=200), None),
    f"GET {V1}/tasks/{{task_id}}/events": (in_project(viewer=200, owner=200), None),
    f"GET {V1}/tasks/{{task_id}}/preview": (in_project(viewer=404, owner=404), None),  # it makes no pictures
    f"DELETE {V1}/tasks/{{task_id}}": (in_project(viewer=403, owner=202), None),
    f"POST {V1}/tasks/{{task_id}}/retry": (in_project(viewer=403, owner=409), None),  # the server started it itself
    f"GET {V1}/task-types": (personal(200), None),
    # functions: their runners have the token of one call, and these callers have none
    f"POST {PROJECT}/function-secret": (in_project(viewer=403, editor=403, owner=200), None),
    f"POST {FUNCTION_CALL}/progress": (public(401), json(progress=0.5)),
    f"POST {FUNCTION_CALL}/complete": (public(401), json()),
    f"POST {FUNCTION_CALL}/fail": (public(401), json(message="Nothing came of it.")),
    f"PUT {FUNCTION_CALL}/files/{{path}}": (public(401), None),
    f"POST {PROJECT}/schedules": (
        in_project(viewer=403, owner=201),
        json(task_type="reingest_project", name="Nightly", cron="0 3 * * *"),
    ),
    f"GET {V1}/schedules": (personal(200), None),
    f"GET {SCHEDULE}": (in_project(viewer=200, owner=200), None),
    f"PATCH {SCHEDULE}": (in_project(viewer=403, owner=200), json(is_paused=True)),
    f"DELETE {SCHEDULE}": (in_project(viewer=403, owner=204), None),
    # administration
    f"GET {V1}/admin/users": (for_admins(200), None),
    f"GET {V1}/admin/users/{{user_id}}": (for_admins(200), None),
    f"PATCH {V1}/admin/users/{{user_id}}": (for_admins(200), json(name="Renamed")),
    f"DELETE {V1}/admin/users/{{user_id}}": (for_admins(204), None),
    f"POST {V1}/admin/invites": (for_admins(201), json()),
    f"GET {V1}/admin/invites": (for_admins(200), None),
    f"DELETE {V1}/admin/invites/{{invite_id}}": (for_admins(204), None),
    f"GET {V1}/admin/stats": (for_admins(200), None),
    f"GET {V1}/admin/tasks": (for_admins(200), None),
    f"DELETE {V1}/admin/tasks/{{task_id}}": (for_admins(202), None),
    f"GET {V1}/admin/audit": (for_admins(200), None),
    f"GET {V1}/admin/audit/export": (for_admins(200), None),
    # OpenAI's routes
    "GET /v1/models": (personal(200), None),
    "GET /v1/models/{model}": (in_project(viewer=200, owner=200), None),
    "POST /v1/chat/completions": (personal(200), json(model="hearth", messages=[{"role": "user", "content": "Lamp?"}])),
    "POST /v1/responses": (personal(200), json(model="hearth", input="When is the lamp lit?")),
    "POST /v1/embeddings": (personal(200), json(model="hearth", input="lamp")),
    "POST /v1/files": (personal(415), None),  # a form: its own tests
    "GET /v1/files": (personal(200), None),
    f"GET {FILE}": (in_project(viewer=200, owner=200), None),
    f"DELETE {FILE}": (in_project(viewer=403, owner=200), None),
    f"GET {FILE}/content": (in_project(viewer=200, owner=200), None),
    "POST /v1/vector_stores": (personal(200), json(name="Another")),
    "GET /v1/vector_stores": (personal(200), None),
    f"GET {STORE}": (in_project(viewer=200, owner=200), None),
    f"POST {STORE}": (in_project(viewer=403, editor=403, owner=200), json(name="Renamed")),
    f"DELETE {STORE}": (in_project(viewer=403, editor=403, owner=409), None),  # there are rooms in it
    f"POST {STORE}/search": (in_project(viewer=200, owner=200), json(query="lamp")),
    f"POST {STORE}/files": (in_project(viewer=403, owner=200), json(file_id=known("file_id"))),
    f"GET {STORE}/files": (in_project(viewer=200, owner=200), None),
    f"GET {STORE_FILE}": (in_project(viewer=200, owner=200), None),
    f"DELETE {STORE_FILE}": (in_project(viewer=403, editor=409, owner=200), None),  # the owner's
    f"GET {STORE_FILE}/content": (in_project(viewer=409, owner=409), None),  # not read yet
    f"POST {STORE}/file_batches": (
        in_project(viewer=403, owner=200),
        json(file_ids=lambda world: [world.ids["file_id"]]),
    ),
    f"GET {STORE}/file_batches/{{batch_id}}": (in_project(viewer=200, owner=200), None),
    # rooms
    f"POST {V1}/sessions": (in_project(viewer=403, owner=201), json(name="Another", project_id=known("project_id"))),
    f"GET {V1}/sessions": (row(401, 200, 200, 200, 200, 200), None),
    f"GET {SESSION}": (in_room(guest=200, viewer=200, owner=200), None),
    f"PATCH {SESSION}": (in_room(guest=403, viewer=403, owner=200), json(name="Renamed")),
    f"DELETE {SESSION}": (in_room(guest=403, viewer=403, owner=204), None),
    f"GET {SESSION}/participants": (in_room(guest=200, viewer=200, owner=200), None),
    f"POST {SESSION}/invites": (in_room(guest=403, viewer=403, owner=201), None),
    f"POST {V1}/sessions/join": (public(201), json(invite=known("invite"), name="Newcomer")),
    f"GET {MESSAGES}": (in_room(guest=200, viewer=200, owner=200), None),
    f"POST {MESSAGES}": (in_room(guest=201, viewer=201, owner=201), json(text="Good evening")),
    f"GET {V1}/chat/{{session_id}}/export": (in_room(guest=200, viewer=200, owner=200), None),
    f"GET {V1}/chat/{{session_id}}/events": (in_room(guest=200, viewer=200, owner=200), None),
    f"GET {MESSAGE}": (in_room(guest=200, viewer=200, owner=200), None),
    f"PATCH {MESSAGE}": (in_room(guest=403, viewer=403, owner=200, editor=403), json(text="Is it lit?")),
    f"DELETE {MESSAGE}": (in_room(guest=403, viewer=403, owner=204), None),  # of the owner; editors are hosts
    f"PUT {MESSAGE}/reactions/{{emoji}}": (in_room(guest=200, viewer=200, owner=200), None),
    f"DELETE {MESSAGE}/reactions/{{emoji}}": (in_room(guest=204, viewer=204, owner=204), None),
    f"GET {V1}/chat/{{session_id}}/read": (in_room(guest=200, viewer=200, owner=200), None),
    f"PUT {V1}/chat/{{session_id}}/read": (in_room(guest=204, viewer=204, owner=204), json(seq=1)),
    f"POST {V1}/chat/{{session_id}}/stop": (in_room(guest=204, viewer=204, owner=204), None),
    f"GET {SESSION}/invites": (in_room(guest=403, viewer=403, owner=200), None),
    f"DELETE {SESSION}/invites/{{room_invite_id}}": (in_room(guest=403, viewer=403, owner=204), None),
    f"GET {SESSION}/restrictions": (in_room(guest=403, viewer=403, owner=200), None),
    f"PATCH {SESSION}/participants/{{participant_id}}": (
        in_room(guest=403, viewer=403, owner=204),
        json(is_muted=True),
    ),
    f"DELETE {SESSION}/participants/{{participant_id}}": (in_room(guest=403, viewer=403, owner=204), None),
}


SHARED_MEMORY = f"{V1}/memories/{{shared_memory_id}}"
SHARED_MEDIA = f"{SHARED_MEMORY}/media/{{shared_media_id}}"
SHARED_ROWS: dict[str, tuple[Expected, Body | None]] = {
    f"GET {SHARED_MEMORY}": (in_project(viewer=200, owner=200), None),
    f"PATCH {SHARED_MEMORY}": (in_project(viewer=403, owner=200), json(content="Changed.")),
    f"DELETE {SHARED_MEMORY}": (in_project(viewer=403, editor=403, owner=204), None),
    f"POST {SHARED_MEMORY}/restore": (in_project(viewer=403, editor=403, owner=200), None),
    f"GET {SHARED_MEMORY}/history": (in_project(viewer=403, editor=403, owner=200), None),
    f"POST {SHARED_MEMORY}/undo": (in_project(viewer=403, editor=403, owner=409), None),
    f"POST {SHARED_MEMORY}/media": (in_project(viewer=403, owner=415), None),
    f"GET {SHARED_MEMORY}/media": (in_project(viewer=200, owner=200), None),
    f"GET {SHARED_MEDIA}": (in_project(viewer=200, owner=200), None),
    f"PATCH {SHARED_MEDIA}": (in_project(viewer=403, editor=403, owner=200), json(keeps_metadata=True)),
    f"DELETE {SHARED_MEDIA}": (in_project(viewer=403, editor=403, owner=204), None),
    f"GET {SHARED_MEDIA}/content": (in_project(viewer=200, owner=200), None),
    f"GET {SHARED_MEDIA}/original": (in_project(viewer=403, editor=403, owner=200), None),
}
"""The same routes with a memory that is shared with the project: its own rows, since `ROWS` has one for each route."""


async def call(world: World, caller: str, name: str, body: Body | None) -> Response:
    method, template = name.split(" ", 1)
    values = body(world) if body else None
    sent: dict[str, Any] = {"params": values} if method == "GET" and values else {"json": values}
    return await world.client.request(method, world.path(template), headers=world.headers[caller], **sent)


def routes_of(app: FastAPI) -> set[str]:
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}


async def test_a_route_lets_in_whom_its_row_says_and_nobody_else(
    client: AsyncClient, resources: Resources, shared_connection: AsyncConnection
):
    """One world for all: what a call changes is taken back before the next."""
    resources.services.health.begin()
    world, redis = await make_world(client), resources.foundation.redis
    log_ins = {key: await redis.get(key) for key in await redis.keys(f"{resources.settings.redis.prefix}login:*")}
    wrong = []
    for name, (columns, body) in sorted(
        (ROWS | SHARED_ROWS).items(), key=lambda item: item[0].startswith(("PUT", "DELETE"))
    ):  # files go, too
        for caller, status in {**columns, **in_guise(name, columns)}.items():
            await shared_connection.exec_driver_sql("SAVEPOINT before_the_call")
            await redis.mset(log_ins)
            response = await call(world, caller, name, body)
            await shared_connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_the_call")
            if response.status_code != status:
                wrong.append(f"{name} as {caller}: {response.status_code}, not {status}: {response.text[:200]}")
    assert wrong == [], "\n".join(wrong)


async def test_every_route_has_a_row(resources: Resources):
    assert routes_of(create_app(resources=resources)) == set(ROWS)
    assert set(ROWS) >= FOR_PERSONS | READS_BY_POST


# --- sockets --------------------------------------------------------------------------------------------------------

ROOM_COMMANDS: dict[str, Body] = {
    "send_message": json(text="Good evening"),
    "edit_message": json(message_id=known("message_id"), text="Is the lamp lit at nine?"),
    "delete_message": json(message_id=known("doomed_id")),
    "add_reaction": json(message_id=known("message_id"), emoji="👍"),
    "remove_reaction": json(message_id=known("message_id"), emoji="👍"),
    "mark_read": json(seq=1),
    "typing": json(),
    "stop": json(),
    "resume": json(after_seq=0),
    "ping": json(),
    "authenticate": json(token="any"),
}
PROJECT_COMMANDS: dict[str, Body] = {
    "start_generation": json(task_type="reingest_project"),
    "cancel_task": json(task_id=known("task_id")),
    "retry_task": json(task_id=known("task_id")),
    "resume": json(after_seq=0),
    "ping": json(),
    "authenticate": json(token="any"),
}
READING = {"resume": "ok", "ping": "ok", "authenticate": "BAD_REQUEST"}
IN_TALK = ("send_message", "add_reaction", "remove_reaction", "mark_read", "typing", "stop")
OF_OTHERS = dict.fromkeys(("edit_message", "delete_message"), "PERMISSION_DENIED")
TALKING = READING | dict.fromkeys(IN_TALK, "ok") | OF_OTHERS
HOSTING = TALKING | {"delete_message": "ok"}
AUTHOR = HOSTING | {"edit_message": "ok"}
LISTENING = READING | dict.fromkeys(IN_TALK, "PERMISSION_DENIED") | OF_OTHERS
ON_TASKS = ("start_generation", "cancel_task", "retry_task")
WORKING = READING | dict.fromkeys(ON_TASKS, "ok")
WATCHING = READING | dict.fromkeys(ON_TASKS, "PERMISSION_DENIED")

IN_ROOM: dict[str, int | dict[str, str]] = {
    "anonymous": 4401,
    "guest": TALKING,
    "stranger": 4404,
    "admin": 4404,
    "viewer": TALKING,
    "editor": HOSTING,
    "owner": AUTHOR,
    "owner's cookie": AUTHOR,
    "owner's cookie from elsewhere": 4403,
    "owner's reading key": LISTENING,
    "owner's key": AUTHOR,
    "admin's key": 4404,
}
IN_PROJECT = IN_ROOM | {
    "guest": 4404,
    "viewer": WATCHING,
    "editor": WORKING,
    "owner": WORKING,
    "owner's cookie": WORKING,
    "owner's reading key": WATCHING,
    "owner's key": WORKING,
}


async def outcome_of(visitor: Visitor, kind: str, fields: dict[str, Any]) -> str:
    """`ok`, or the code of the error that comes before the answer to a ping."""
    await visitor.send(kind, **fields)
    if kind != "ping":
        await visitor.send("ping")
    outcome = "ok"
    while (frame := await visitor.next())["type"] != "pong":
        if frame["type"] == "error" and frame.get("task_id") is None:
            outcome = frame["error_code"]
    return "ok" if outcome == "CONFLICT" else outcome  # let in, and the task had ended already


async def outcomes_of(
    live: LiveServer, world: World, caller: str, channel: str, commands: dict[str, Body]
) -> int | dict[str, str]:
    """The code that the door closes with, or what becomes of each command."""
    async with visit(live, channel, world.headers[caller]) as visitor:
        if caller == "anonymous":
            await visitor.send("ping")  # instead of `authenticate`
        try:
            await visitor.next_of("welcome")
        except ConnectionClosed:
            return visitor.socket.close_code or 0
        return {kind: await outcome_of(visitor, kind, fields(world)) for kind, fields in commands.items()}


@pytest.mark.parametrize(
    ("channel", "commands", "expected"),
    [("session_id", ROOM_COMMANDS, IN_ROOM), ("project_id", PROJECT_COMMANDS, IN_PROJECT)],
    ids=["room", "project"],
)
async def test_a_socket_obeys_whom_its_row_says_and_nobody_else(
    live: LiveServer, channel: str, commands: dict[str, Body], expected: dict[str, int | dict[str, str]]
):
    async with live.client() as client:
        await make_user(client, name="First")  # so that the world's admin is one by right
        world = await make_world(client)
        found = await asyncio.gather(
            *(outcomes_of(live, world, caller, world.ids[channel], commands) for caller in expected)
        )
    assert dict(zip(expected, found, strict=True)) == expected


def types_of(commands: Any) -> set[str]:
    return {get_args(command.model_fields["type"].annotation)[0] for command in get_args(commands)}


def test_every_command_and_every_caller_has_a_row():
    assert types_of(RoomCommand) == set(ROOM_COMMANDS)
    assert types_of(ProjectCommand) == set(PROJECT_COMMANDS)
    assert set(IN_ROOM) == set(IN_PROJECT) == {*CALLERS, *GUISES}
