"""The audit log: everything of weight is in it, nothing in it can be changed, and it can be carried away."""

import csv
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from app.models import AuditAction, AuditEntry
from app.resources import Resources
from app.services.audit import AuditService
from tests.factories import PASSWORD, User, execute, login, make_key, make_project, make_user, register, share

AUDIT = "/api/v1/admin/audit"
APP = Path(__file__).parent.parent.parent / "app"


async def entries(client: AsyncClient, admin: User, **filters: object) -> list[dict]:
    response = await client.get(AUDIT, params={"limit": 100} | filters, headers=admin.headers)
    assert response.status_code == 200, response.text
    return response.json()["items"]


@dataclass
class Scene:
    client: AsyncClient
    admin: User
    owner: User
    other: User

    async def call(self, method: str, path: str, user: User, **json: object) -> Response:
        body = json or None
        response = await self.client.request(method, f"/api/v1{path}", json=body, headers=user.headers)
        assert response.is_success, response.text
        return response

    async def made(self, path: str, user: User, **json: object) -> str:
        return str((await self.call("POST", path, user, **json)).json()["id"])

    async def room(self) -> str:
        return await self.made("/sessions", self.owner, name="Kitchen")


Act = Callable[[Scene], Awaitable[object]]
ACTS: dict[AuditAction, Act] = {}


def act(action: AuditAction) -> Callable[[Act], Act]:
    return lambda function: ACTS.setdefault(action, function)


@act(AuditAction.LOGIN)
async def sign_in(scene: Scene) -> str:
    await login(scene.client, scene.owner.email)
    return scene.owner.id


@act(AuditAction.LOGOUT)
async def sign_out(scene: Scene) -> str:
    await scene.call("POST", "/auth/logout", scene.owner)
    return scene.owner.id


@act(AuditAction.REFRESH_REUSED)
async def reuse_a_refresh_token(scene: Scene) -> str:
    for _ in range(2):
        await scene.client.post("/api/v1/auth/refresh", json={"refresh_token": scene.owner.refresh_token})
    return scene.owner.id


@act(AuditAction.USER_CREATED)
async def make_an_account(scene: Scene) -> str:
    return (await register(scene.client, "grace@example.com", name="Grace")).json()["id"]


@act(AuditAction.USER_CHANGED)
async def promote(scene: Scene) -> str:
    await scene.call("PATCH", f"/admin/users/{scene.owner.id}", scene.admin, role="admin", name="Grace")
    return scene.admin.id


@act(AuditAction.USER_DELETED)
async def delete_an_account(scene: Scene) -> str:
    await scene.call("DELETE", f"/admin/users/{scene.other.id}", scene.admin)
    return scene.admin.id


@act(AuditAction.KEY_CREATED)
async def make_a_key(scene: Scene) -> str:
    await make_key(scene.client, scene.owner)
    return scene.owner.id


@act(AuditAction.KEY_DELETED)
async def delete_a_key(scene: Scene) -> str:
    key = await make_key(scene.client, scene.owner)
    await scene.call("DELETE", f"/api-keys/{key['id']}", scene.owner)
    return scene.owner.id


@act(AuditAction.PROJECT_DELETED)
async def delete_a_project(scene: Scene) -> str:
    project = await make_project(scene.client, scene.owner)
    await scene.call("DELETE", f"/projects/{project['id']}", scene.owner)
    return scene.owner.id


@act(AuditAction.MEMBER_SET)
async def share_a_project(scene: Scene) -> str:
    project = await make_project(scene.client, scene.owner)
    await share(scene.client, scene.owner, project["id"], scene.other, "viewer")
    return scene.owner.id


@act(AuditAction.MEMBER_REMOVED)
async def leave_a_project(scene: Scene) -> str:
    project = await make_project(scene.client, scene.owner)
    await share(scene.client, scene.owner, project["id"], scene.other, "viewer")
    await scene.call("DELETE", f"/projects/{project['id']}/members/{scene.other.id}", scene.other)
    return scene.other.id


@act(AuditAction.ROOM_DELETED)
async def delete_a_room(scene: Scene) -> str:
    await scene.call("DELETE", f"/sessions/{await scene.room()}", scene.owner)
    return scene.owner.id


@act(AuditAction.ROOM_INVITE_CREATED)
async def invite_into_a_room(scene: Scene) -> str:
    await scene.call("POST", f"/sessions/{await scene.room()}/invites", scene.owner)
    return scene.owner.id


@act(AuditAction.DOCUMENT_DELETED)
async def delete_a_document(scene: Scene) -> str:
    accepted = await scene.call("POST", "/documents", scene.owner, text="The lamp is lit.", title="Lamp")
    await scene.call("DELETE", f"/documents/{accepted.json()['document']['id']}", scene.owner)
    return scene.owner.id


@act(AuditAction.TASK_CANCELLED)
async def cancel_a_task(scene: Scene) -> str:
    project = await make_project(scene.client, scene.owner)
    task = await scene.made(f"/projects/{project['id']}/tasks", scene.owner, task_type="reingest_project")
    await scene.call("DELETE", f"/admin/tasks/{task}", scene.admin)
    return scene.admin.id


@act(AuditAction.REGISTRATION_INVITED)
async def invite_somebody(scene: Scene) -> str:
    await scene.made("/admin/invites", scene.admin, email="grace@example.com")
    return scene.admin.id


@act(AuditAction.REGISTRATION_INVITE_REVOKED)
async def revoke_an_invite(scene: Scene) -> str:
    invite = await scene.made("/admin/invites", scene.admin, email="grace@example.com")
    await scene.call("DELETE", f"/admin/invites/{invite}", scene.admin)
    return scene.admin.id


@act(AuditAction.ADMIN_READ)
async def look_somebody_up(scene: Scene) -> str:
    await scene.call("GET", f"/admin/users?q={scene.owner.email}", scene.admin)
    return scene.admin.id


@pytest.mark.parametrize("action", ACTS)
async def test_what_has_weight_is_noted_with_ids_alone(client: AsyncClient, admin, owner, action):
    scene = Scene(client, admin, owner, await make_user(client, "Other"))
    newest = (await entries(client, admin))[0]["id"]
    request_id = f"request-{uuid4().hex}"
    client.headers["X-Request-ID"] = request_id
    actor_id = await ACTS[action](scene)
    del client.headers["X-Request-ID"]

    noted = [entry for entry in await entries(client, admin, action=action) if entry["id"] > newest]
    (entry,) = [entry for entry in noted if entry["request_id"] == request_id]
    assert (entry["actor_id"], entry["address"], entry["key_id"]) == (actor_id, "127.0.0.1", None)
    assert (entry["target_type"] is None) == (action.startswith("login.") or entry["details"].get("filters") == {})
    for secret in ("@", "hearth_", PASSWORD, "Grace", "Kitchen", "Lighthouse", "Lamp"):
        assert secret not in json.dumps(entry)


def test_every_action_is_recorded_somewhere():
    sources = "".join(path.read_text() for path in (APP / "services").glob("*.py"))
    assert [action.name for action in AuditAction if f"AuditAction.{action.name}" not in sources] == []


async def test_what_was_refused_is_not_noted_as_done(client: AsyncClient, admin, owner):
    refused = await client.patch(f"/api/v1/admin/users/{admin.id}", json={"role": "user"}, headers=admin.headers)
    denied = await client.get("/api/v1/admin/users", headers=owner.headers)
    unknown = await client.delete(f"/api/v1/api-keys/{uuid4()}", headers=owner.headers)
    assert (refused.status_code, denied.status_code, unknown.status_code) == (409, 403, 404)
    for action in (AuditAction.ADMIN_READ, AuditAction.USER_CHANGED, AuditAction.KEY_DELETED):
        assert await entries(client, admin, action=action) == []


async def test_filters_narrow_by_who_what_where_and_when(client: AsyncClient, resources, admin, owner):
    key = await make_key(client, owner)
    made = await entries(client, admin, actor_id=owner.id, action="api_key.created")
    assert [entry["target_id"] for entry in made] == [key["id"]]
    assert await entries(client, admin, target_id=key["id"], target_type="api_key") == made
    assert {entry["action"] for entry in await entries(client, admin, action="login")} == {"login.begun"}
    for nothing in (
        {"action": "api"},
        {"action": "api%key.created"},
        {"action": "api.key.created"},
        {"actor_id": str(uuid4())},
        {"address": "203.0.113.9"},
        {"target_type": "session"},
    ):
        response = await client.get(AUDIT, params=nothing, headers=admin.headers)
        assert response.status_code == 422 or response.json()["items"] == [], nothing
    moment = made[0]["created_at"]
    assert made[0] in await entries(client, admin, **{"from": moment})
    assert made[0] not in await entries(client, admin, to=moment)
    assert (await client.get(AUDIT, params={"from": "yesterday"}, headers=admin.headers)).status_code == 422
    assert (await client.get(AUDIT, headers=owner.headers)).status_code == 403

    looks = await entries(client, admin, action="admin.read")
    assert {"address": "withheld"} in [entry["details"]["filters"] for entry in looks]
    assert "203.0.113.9" not in json.dumps(looks)


# --- it stays as it is ----------------------------------------------------------------------------------------------


async def run_together(resources: Resources, statements: str) -> None:
    """In one transaction."""
    async with resources.uow() as uow:
        for statement in statements.split("; "):
            await uow._session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET action = 'nothing'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "SET LOCAL hearth.audit_retention = '0 seconds'; DELETE FROM audit_entries",
        "SET LOCAL hearth.audit_retention = '1000 days'; UPDATE audit_entries SET address = ''",
    ],
)
async def test_nothing_in_it_can_be_changed_or_removed(client: AsyncClient, resources, admin, statement):
    before = await execute(resources, select(func.count()).select_from(AuditEntry))
    with pytest.raises(DBAPIError, match="append-only"):
        await run_together(resources, statement)
    assert before > 0
    assert await execute(resources, select(func.count()).select_from(AuditEntry)) == before


async def test_the_sweep_takes_what_is_older_than_the_retention_and_nothing_else(resources: Resources):
    retention = resources.settings.audit.retention
    assert retention == timedelta(days=400)
    now = datetime.now(UTC)
    ages = {"old.one": retention + timedelta(minutes=1), "young.one": retention - timedelta(minutes=1)}
    rows = [{"id": uuid7(), "action": name, "created_at": now - age, "details": {}} for name, age in ages.items()]
    await execute(resources, insert(AuditEntry).values(rows))
    await resources.services.audit.sweep()
    left = select(func.array_agg(AuditEntry.action)).where(AuditEntry.action.in_(ages))
    assert await execute(resources, left) == ["young.one"]
    await AuditService(resources.uow, timedelta(days=399)).sweep()
    assert await execute(resources, left) is None


# --- export ---------------------------------------------------------------------------------------------------------


def many(count: int) -> Iterator[dict]:
    for number in range(count):
        yield {
            "id": uuid7(),
            "actor_id": UUID(int=7),
            "action": "many.things",
            "address": "192.0.2.1",
            "request_id": ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'plain, "quoted"\nline'][number % 6],
            "details": {"number": number, "text": "naïve; 🌍"},
        }


async def test_an_export_is_whole_in_both_formats_and_harmless_in_a_spreadsheet(client, resources, admin, owner):
    count = 5_000
    rows = list(many(count))
    for start in range(0, count, 1_000):
        await execute(resources, insert(AuditEntry).values(rows[start : start + 1_000]))
    wanted = {"action": "many.things", "actor_id": str(UUID(int=7))}
    lines = await client.get(f"{AUDIT}/export", params=wanted, headers=admin.headers)
    assert lines.headers["content-type"] == "application/x-ndjson"
    parsed = [json.loads(line) for line in lines.text.splitlines()]
    assert [entry["id"] for entry in parsed] == [str(row["id"]) for row in reversed(rows)]
    assert parsed[-1]["details"] == {"number": 0, "text": "naïve; 🌍"}

    sheet = await client.get(f"{AUDIT}/export", params=wanted | {"format": "csv"}, headers=admin.headers)
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    cells = list(csv.DictReader(io.StringIO(sheet.text, newline="")))
    assert [row["id"] for row in cells] == [entry["id"] for entry in parsed]
    assert [row["request_id"].removeprefix("'") for row in cells] == [entry["request_id"] for entry in parsed]
    assert [json.loads(row["details"]) for row in cells] == [entry["details"] for entry in parsed]
    assert not [cell for row in cells for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]

    nothing = await client.get(f"{AUDIT}/export", params={"action": "no.such"}, headers=admin.headers)
    assert (nothing.status_code, nothing.text) == (200, "")
    assert (await client.get(f"{AUDIT}/export?format=xlsx", headers=admin.headers)).status_code == 422
    assert (await client.get(f"{AUDIT}/export", headers=owner.headers)).status_code == 403
    exports = [entry for entry in await entries(client, admin, action="admin.read") if "export" in str(entry)]
    assert len(exports) == 3
