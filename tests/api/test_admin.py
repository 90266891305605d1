"""What admins see and do, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import func, select, update

from app.main import create_app
from app.models import Task, TaskStatus
from app.models import User as Account
from app.permissions import Principal, Role
from app.resources import Resources
from app.schemas.admin import AdminUserUpdate
from tests.factories import User, execute, login, make_key, make_project, make_user, with_fresh_accounts

ADMIN = "/api/v1/admin"
USERS = f"{ADMIN}/users"


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.fixture
async def two_admins(committed: Resources) -> AsyncIterator[list[str]]:
    """Ids of the only two there are in the database that tests share."""
    before = select(func.array_agg(Account.id)).where(Account.role == Role.ADMIN)
    admins = await execute(committed, before) or []
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        ids = [(await make_user(client, "Rival")).id for _ in range(2)]
    await execute(committed, update(Account).where(Account.id.in_(admins)).values(role=Role.USER))
    yield ids
    await execute(committed, update(Account).where(Account.id.in_(ids)).values(role=Role.USER))
    await execute(committed, update(Account).where(Account.id.in_(admins)).values(role=Role.ADMIN))


async def names(client: AsyncClient, admin: User, **filters: object) -> list[str]:
    response = await client.get(USERS, params=filters, headers=admin.headers)
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["items"]]


async def test_admins_list_search_and_page_through_accounts(client: AsyncClient, resources, admin):
    grace = await make_user(client, "Grace")
    await make_user(client, "100 percent")
    odd = await make_user(client, "Odd")
    await execute(resources, update(Account).where(Account.id == odd.id).values(name="50%_off"))

    assert await names(client, admin) == ["50%_off", "100 percent", "Grace", "Admin"]
    assert await names(client, admin, q="gRaCe") == ["Grace"]
    assert await names(client, admin, q=grace.email.upper()) == ["Grace"]
    for wildcard in ("%", "_", "0%_o"):
        assert await names(client, admin, q=wildcard) == ["50%_off"]
    assert await names(client, admin, q="\\") == []
    assert await names(client, admin, role="admin") == ["Admin"]
    assert await names(client, admin, is_active=False) == []

    first = (await client.get(f"{USERS}?limit=3", headers=admin.headers)).json()
    rest = await client.get(USERS, params={"cursor": first["next_cursor"]}, headers=admin.headers)
    assert [item["name"] for item in rest.json()["items"]] == ["Admin"]
    refused = await client.get(USERS, params={"q": "\x00"}, headers=admin.headers)
    assert code_of(refused) == (422, "VALIDATION_ERROR")


async def test_guests_are_listed_only_where_they_are_asked_for(client: AsyncClient, admin):
    room = (await client.post("/api/v1/sessions", json={"name": "Kitchen"}, headers=admin.headers)).json()
    invite = await client.post(f"/api/v1/sessions/{room['id']}/invites", headers=admin.headers)
    joined = await client.post("/api/v1/sessions/join", json={"invite": invite.json()["invite"], "name": "Gus"})
    guest = {"Authorization": f"Bearer {joined.json()['access_token']}"}

    assert await names(client, admin) == ["Admin"]
    assert await names(client, admin, role="guest") == ["Gus"]
    path = f"{USERS}/{joined.json()['user']['id']}"
    promoted = await client.patch(path, json={"role": "admin"}, headers=admin.headers)
    assert code_of(promoted) == (409, "CONFLICT")
    assert (await client.get(f"/api/v1/sessions/{room['id']}", headers=guest)).status_code == 200
    assert (await client.patch(path, json={"is_active": False}, headers=admin.headers)).status_code == 200
    assert (await client.get(f"/api/v1/sessions/{room['id']}", headers=guest)).status_code == 401


async def test_an_account_shows_no_secret_and_changes_only_from_a_known_state(client: AsyncClient, admin, owner):
    path = f"{USERS}/{owner.id}"
    found = await client.get(path, headers=admin.headers)
    assert set(found.json()) == {
        "id", "email", "name", "role", "is_active", "email_verified_at", "created_at", "updated_at",
    }  # fmt: skip
    again = await client.get(path, headers=admin.headers | {"If-None-Match": found.headers["ETag"]})
    assert again.status_code == 304

    fresh = admin.headers | {"If-Match": found.headers["ETag"]}
    changed = await client.patch(path, json={"name": "Grace"}, headers=fresh)
    assert (changed.status_code, changed.json()["name"]) == (200, "Grace")
    assert code_of(await client.patch(path, json={"name": "Eve"}, headers=fresh)) == (412, "PRECONDITION_FAILED")
    assert code_of(await client.get(f"{USERS}/{uuid4()}", headers=admin.headers)) == (404, "RESOURCE_NOT_FOUND")
    unknown = await client.patch(f"{USERS}/{uuid4()}", json={"name": "Eve"}, headers=admin.headers)
    assert code_of(unknown) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    "smuggled",
    [
        {"id": str(uuid4())},
        {"email": "eve@example.com"},
        {"password_hash": "x"},
        {"is_admin": True},
        {"email_verified_at": "2026-01-01T00:00:00Z"},
        {"role": "guest"},
        {"role": "root"},
        {"is_active": "perhaps"},
        {"name": "a\nb"},
    ],
)
async def test_what_admins_may_not_change_is_refused_whole(client: AsyncClient, admin, owner, smuggled):
    before = (await client.get(f"{USERS}/{owner.id}", headers=admin.headers)).json()
    refused = await client.patch(f"{USERS}/{owner.id}", json={"name": "Grace"} | smuggled, headers=admin.headers)
    assert code_of(refused) == (422, "VALIDATION_ERROR")
    assert (await client.get(f"{USERS}/{owner.id}", headers=admin.headers)).json() == before


async def test_a_disabled_account_is_out_everywhere_until_it_is_opened_again(client: AsyncClient, admin, owner):
    key = {"X-API-Key": (await make_key(client, owner))["key"]}
    for headers in (owner.headers, key):
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200

    disabled = await client.patch(f"{USERS}/{owner.id}", json={"is_active": False}, headers=admin.headers)
    assert (disabled.status_code, disabled.json()["is_active"]) == (200, False)
    for headers in (owner.headers, key):
        assert code_of(await client.get("/api/v1/users/me", headers=headers)) == (401, "INVALID_CREDENTIALS")
    renewed = await client.post("/api/v1/auth/refresh", json={"refresh_token": owner.refresh_token})
    assert renewed.status_code == 401
    assert (await login(client, owner.email)).status_code == 401
    assert await names(client, admin, is_active=False) == ["Owner"]

    await client.patch(f"{USERS}/{owner.id}", json={"is_active": True}, headers=admin.headers)
    assert (await client.get("/api/v1/users/me", headers=owner.headers)).status_code == 401  # log-ins stay ended
    assert (await client.get("/api/v1/users/me", headers=key)).status_code == 200
    assert (await login(client, owner.email)).status_code == 200


async def test_the_powers_of_an_admin_come_and_go_with_the_role(client: AsyncClient, admin, owner):
    assert code_of(await client.get(USERS, headers=owner.headers)) == (403, "PERMISSION_DENIED")
    await client.patch(f"{USERS}/{owner.id}", json={"role": "admin"}, headers=admin.headers)
    assert (await client.get(USERS, headers=owner.headers)).status_code == 200
    key = {"X-API-Key": (await make_key(client, owner, scopes=["read", "admin"]))["key"]}
    weak = {"X-API-Key": (await make_key(client, owner, scopes=["read", "write"]))["key"]}
    assert (await client.get(USERS, headers=key)).status_code == 200
    assert code_of(await client.get(USERS, headers=weak)) == (403, "PERMISSION_DENIED")

    await client.patch(f"{USERS}/{owner.id}", json={"role": "user"}, headers=admin.headers)
    for headers in (owner.headers, key):
        assert code_of(await client.get(USERS, headers=headers)) == (403, "PERMISSION_DENIED")


async def test_the_last_admin_stays_one(client: AsyncClient, admin, owner):
    for change in ({"role": "user"}, {"is_active": False}):
        refused = await client.patch(f"{USERS}/{admin.id}", json=change, headers=admin.headers)
        assert code_of(refused) == (409, "CONFLICT")
    await client.patch(f"{USERS}/{owner.id}", json={"role": "admin"}, headers=admin.headers)
    stepped_down = await client.patch(f"{USERS}/{admin.id}", json={"role": "user"}, headers=admin.headers)
    assert (stepped_down.status_code, stepped_down.json()["role"]) == (200, "user")
    alone = await client.patch(f"{USERS}/{owner.id}", json={"is_active": False}, headers=owner.headers)
    assert code_of(alone) == (409, "CONFLICT")


async def test_admins_delete_others_but_not_the_last_of_them(client: AsyncClient, admin, owner):
    path, key = f"{USERS}/{owner.id}", {"X-API-Key": (await make_key(client, owner))["key"]}
    found = await client.get(path, headers=admin.headers)
    await client.patch(path, json={"name": "Grace"}, headers=admin.headers)
    stale = await client.delete(path, headers=admin.headers | {"If-Match": found.headers["ETag"]})
    assert code_of(stale) == (412, "PRECONDITION_FAILED")
    assert (await client.delete(path, headers=admin.headers)).status_code == 204
    for headers in (owner.headers, key):
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
    again = await client.patch(path, json={"is_active": True}, headers=admin.headers)
    assert code_of(again) == (404, "RESOURCE_NOT_FOUND")

    await make_user(client, "Another")
    myself = f"{USERS}/{admin.id}"
    assert code_of(await client.delete(myself, headers=admin.headers)) == (403, "PERMISSION_DENIED")
    last = await client.request("DELETE", myself, json={"password": admin.password}, headers=admin.headers)
    assert code_of(last) == (409, "CONFLICT")


async def test_admins_who_unmake_each_other_at_once_leave_one(committed: Resources, two_admins):
    one, other = (Principal(user_id, "Rival", Role.ADMIN) for user_id in two_admins)
    services = committed.services.administration, with_fresh_accounts(committed).services.administration
    demote = AdminUserUpdate(role=Role.USER)
    for wanted in ([(one, other), (other, one)], [(one, one), (other, other)]) * 5:
        await execute(committed, update(Account).where(Account.id.in_(two_admins)).values(role=Role.ADMIN))
        results = await asyncio.gather(
            *(
                service.update_user(actor, target.user_id, demote, expected=None)
                for service, (actor, target) in zip(services, wanted, strict=True)
            ),
            return_exceptions=True,
        )
        refused = [result for result in results if not isinstance(result, Account)]
        assert [getattr(error, "code", error) for error in refused] == ["CONFLICT"]
        left = select(func.count()).where(Account.role == Role.ADMIN, Account.is_active)
        assert await execute(committed, left) == 1


async def test_an_admin_of_a_moment_ago_gives_no_powers_away(client: AsyncClient, resources, admin, owner):
    assert (await client.get(USERS, headers=admin.headers)).status_code == 200
    demoted = {"role": Role.USER}  # elsewhere: this process remembers the admin for two seconds
    await execute(resources, update(Account).where(Account.id == admin.id).values(**demoted))
    promoted = await client.patch(f"{USERS}/{admin.id}", json={"role": "admin"}, headers=admin.headers)
    assert code_of(promoted) == (403, "PERMISSION_DENIED")
    invited = await client.post(f"{ADMIN}/invites", json={"role": "admin"}, headers=admin.headers)
    assert code_of(invited) == (403, "PERMISSION_DENIED")


# --- numbers and tasks ----------------------------------------------------------------------------------------------


async def test_statistics_count_and_name_nothing(client: AsyncClient, admin, owner):
    project = await make_project(client, owner, "Secret lighthouse")
    text = {"text": "The lamp is lit.", "title": "Secret lamp", "project_id": project["id"]}
    await client.post("/api/v1/documents", json=text, headers=owner.headers)
    room = await client.post("/api/v1/sessions", json={"name": "Kitchen", "spirit_mode": "off"}, headers=owner.headers)
    said = {"text": "Good evening"}
    await client.post(f"/api/v1/chat/{room.json()['id']}/messages", json=said, headers=owner.headers)

    response = await client.get(f"{ADMIN}/stats", headers=admin.headers)
    found = response.json()
    assert found["users"] == [
        {"role": "admin", "is_active": True, "count": 1},
        {"role": "user", "is_active": True, "count": 1},
    ]
    assert found["documents"] == [{"status": "pending", "count": 1, "bytes": 16}]
    assert found["tasks"] == [{"task_type": "ingest_document", "status": "queued", "count": 1}]
    sizes = {name: found[name] for name in ("projects", "rooms", "passages", "messages", "logins_last_day")}
    assert sizes == {"projects": 3, "rooms": 1, "passages": 0, "messages": 1, "logins_last_day": 2}
    assert (found["queue"]["waiting"], found["queue"]["running"]) == (1, 0)
    assert 0 <= found["queue"]["oldest_age_seconds"] < 60
    assert "ecret" not in response.text
    assert code_of(await client.get(f"{ADMIN}/stats", headers=owner.headers)) == (403, "PERMISSION_DENIED")


async def test_admins_see_that_work_goes_on_but_not_on_what(client: AsyncClient, resources, admin, owner):
    project = await make_project(client, owner)
    text = {"text": "The lamp is lit.", "title": "Secret lamp", "project_id": project["id"]}
    queued = (await client.post("/api/v1/documents", json=text, headers=owner.headers)).json()["task"]
    tasks = f"{ADMIN}/tasks"
    failure = {"code": "NO_TEXT", "message": "Secret lamp has no text", "details": {}}
    values = {"status": TaskStatus.FAILED, "error": failure, "message": "Secret page"}
    await execute(resources, update(Task).where(Task.id == queued["id"]).values(**values))

    response = await client.get(tasks, params={"project_id": project["id"]}, headers=admin.headers)
    (task,) = response.json()["items"]
    assert (task["id"], task["status"], task["error_code"]) == (queued["id"], "failed", "NO_TEXT")
    assert not {"params", "result", "error", "message", "preview_url"} & set(task)
    assert "ecret" not in response.text
    for narrowing in ({"status": "queued"}, {"task_type": "reingest_project"}, {"project_id": str(uuid4())}):
        assert (await client.get(tasks, params=narrowing, headers=admin.headers)).json()["items"] == []
    assert code_of(await client.get(tasks, headers=owner.headers)) == (403, "PERMISSION_DENIED")


async def test_admins_cancel_anybodys_task(client: AsyncClient, resources, admin, owner):
    project = await make_project(client, owner)
    start = {"task_type": "reingest_project"}
    path = f"/api/v1/projects/{project['id']}/tasks"
    waiting = (await client.post(path, json=start, headers=owner.headers)).json()
    refused = await client.delete(f"{ADMIN}/tasks/{waiting['id']}", headers=owner.headers)
    assert code_of(refused) == (403, "PERMISSION_DENIED")
    cancelled = await client.delete(f"{ADMIN}/tasks/{waiting['id']}", headers=admin.headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    seen = await client.get(f"/api/v1/tasks/{waiting['id']}", headers=owner.headers)
    assert seen.json()["status"] == "cancelled"

    done = (await client.post(path, json=start, headers=owner.headers)).json()
    succeeded = {"status": TaskStatus.SUCCEEDED, "finished_at": func.now() - timedelta(0)}
    await execute(resources, update(Task).where(Task.id == done["id"]).values(**succeeded))
    assert code_of(await client.delete(f"{ADMIN}/tasks/{done['id']}", headers=admin.headers)) == (409, "CONFLICT")
    missing = await client.delete(f"{ADMIN}/tasks/{uuid4()}", headers=admin.headers)
    assert code_of(missing) == (404, "RESOURCE_NOT_FOUND")
