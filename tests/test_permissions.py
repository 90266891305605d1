"""Every route × every kind of caller. A route without a row here fails the walk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from app.main import create_app
from app.resources import Resources
from tests.factories import make_user, share

CALLERS = ("anonymous", "guest", "stranger", "admin", "viewer", "owner")
"""From least to most, so that what the owner deletes was there for everybody before."""

Expected = Mapping[str, int]


def row(anonymous: int, guest: int, stranger: int, admin: int, viewer: int, owner: int) -> Expected:
    return dict(zip(CALLERS, (anonymous, guest, stranger, admin, viewer, owner), strict=True))


def public(status: int) -> Expected:
    """Credentials make no difference."""
    return dict.fromkeys(CALLERS, status)


def personal(status: int) -> Expected:
    """Everybody who is signed in, about themselves; guests have no account."""
    return row(401, 403, status, status, status, status)


def in_project(*, viewer: int, owner: int) -> Expected:
    """A thing in a project: outsiders, admins among them, do not even learn that it is there."""
    return row(401, 403, 404, 404, viewer, owner)


def in_room(*, guest: int, viewer: int, owner: int) -> Expected:
    return row(401, guest, 404, 404, viewer, owner)


@dataclass
class World:
    """Callers around one project with a document, a room, a task and a key."""

    client: AsyncClient
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def path(self, template: str) -> str:
        return template.format(**self.ids)


async def make_world(client: AsyncClient) -> World:
    world = World(client)
    admin, owner, viewer, stranger, other = [
        await make_user(client, name=name) for name in ("Admin", "Owner", "Viewer", "Stranger", "Other")
    ]
    people = {"admin": admin, "owner": owner, "viewer": viewer, "stranger": stranger}
    world.headers = {"anonymous": {}} | {name: user.headers for name, user in people.items()}

    async def create(path: str, **json: Any) -> dict[str, Any]:
        response = await client.post(f"/api/v1{path}", json=json, headers=owner.headers)
        assert response.is_success, (path, response.text)
        return response.json()

    project = await create("/projects", name="Lighthouse")
    await share(client, owner, project["id"], viewer, "viewer")
    await share(client, owner, project["id"], other, "viewer")
    accepted = await create("/documents", text="The lamp is lit at nine.", title="Lamp", project_id=project["id"])
    room = await create("/sessions", name="Kitchen", project_id=project["id"])
    invite = (await create(f"/sessions/{room['id']}/invites", max_uses=20))["invite"]
    guest = await client.post("/api/v1/sessions/join", json={"invite": invite, "name": "Guest"})
    world.headers["guest"] = {"Authorization": f"Bearer {guest.json()['access_token']}"}
    key = await create("/api-keys", name="script")
    world.ids = {
        "project_id": project["id"],
        "document_id": accepted["document"]["id"],
        "task_id": accepted["task"]["id"],
        "session_id": room["id"],
        "key_id": key["id"],
        "user_id": other.id,
    }
    world.secrets = {"invite": invite, "email": stranger.email}
    return world


Body = Callable[[World], dict[str, Any]]
V1 = "/api/v1"


def json(**body: Any) -> Body:
    return lambda world: {name: value(world) if callable(value) else value for name, value in body.items()}


def known(name: str) -> Callable[[World], str]:
    """An id or a secret of the world."""
    return lambda world: (world.ids | world.secrets)[name]


PROJECT = f"{V1}/projects/{{project_id}}"
DOCUMENT = f"{V1}/documents/{{document_id}}"
SESSION = f"{V1}/sessions/{{session_id}}"
MESSAGES = f"{V1}/chat/{{session_id}}/messages"

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
    f"POST {V1}/auth/logout": (row(401, 403, 204, 204, 204, 204), json()),
    f"POST {V1}/ws-tickets": (row(401, 201, 201, 201, 201, 201), None),
    f"GET {V1}/users/me": (personal(200), None),
    f"PATCH {V1}/users/me": (personal(200), json(name="Renamed")),
    f"POST {V1}/api-keys": (personal(201), json(name="another")),
    f"GET {V1}/api-keys": (personal(200), None),
    f"GET {V1}/api-keys/{{key_id}}": (row(401, 403, 404, 404, 404, 200), None),
    f"DELETE {V1}/api-keys/{{key_id}}": (row(401, 403, 404, 404, 404, 204), None),
    # projects
    f"POST {V1}/projects": (personal(201), json(name="Another")),
    f"GET {V1}/projects": (personal(200), None),
    f"GET {PROJECT}": (in_project(viewer=200, owner=200), None),
    f"PATCH {PROJECT}": (in_project(viewer=403, owner=200), json(name="Renamed")),
    f"DELETE {PROJECT}": (in_project(viewer=403, owner=204), None),
    f"GET {PROJECT}/members": (in_project(viewer=200, owner=200), None),
    f"POST {PROJECT}/members": (in_project(viewer=403, owner=201), json(email=known("email"), role="editor")),
    f"DELETE {PROJECT}/members/{{user_id}}": (in_project(viewer=403, owner=204), None),
    f"POST {PROJECT}/tasks": (in_project(viewer=403, owner=202), json(task_type="reingest_project")),
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
    f"POST {DOCUMENT}/reingest": (in_project(viewer=403, owner=202), None),
    f"POST {V1}/search": (personal(200), json(query="lamp")),  # what each may find: tests of the retrieval
    f"POST {V1}/query": (personal(200), json(question="When is the lamp lit?")),
    # tasks
    f"GET {V1}/tasks": (personal(200), None),
    f"GET {V1}/tasks/{{task_id}}": (in_project(viewer=200, owner=200), None),
    f"DELETE {V1}/tasks/{{task_id}}": (in_project(viewer=403, owner=202), None),
    f"GET {V1}/task-types": (personal(200), None),
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
}


async def call(world: World, caller: str, method: str, template: str, body: Body | None) -> Response:
    json = body(world) if body else None
    return await world.client.request(method, world.path(template), json=json, headers=world.headers[caller])


def routes_of(app: FastAPI) -> set[str]:
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}


@pytest.mark.parametrize("name", ROWS)
async def test_a_route_lets_in_whom_its_row_says_and_nobody_else(client: AsyncClient, name: str):
    expected, body = ROWS[name]
    method, template = name.split(" ", 1)
    world = await make_world(client)
    for caller in CALLERS:
        response = await call(world, caller, method, template, body)
        assert response.status_code == expected[caller], (name, caller, response.text)


async def test_every_route_has_a_row(resources: Resources):
    assert routes_of(create_app(resources=resources)) == set(ROWS)
