"""Projects that are archived, counted and taken along."""

import hashlib
import io
import json
import zipfile

import pytest
from httpx import AsyncClient

from app.resources import Resources
from tests.factories import User, make_project, make_user, share
from tests.work import run_queued_tasks

V1 = "/api/v1"


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> str:
    return (await make_project(client, owner))["id"]


async def post(client: AsyncClient, user: User, path: str, **json) -> dict:
    response = await client.post(f"{V1}{path}", json=json, headers=user.headers)
    assert response.is_success, response.text
    return response.json()


async def fill(client: AsyncClient, resources: Resources, user: User, project: str) -> tuple[str, str, str]:
    """A document, a room with something said in it, a closed room, a file, a state; ids of the first three."""
    document = await post(client, user, "/documents", text="The lamp is lit.", project_id=project)
    await run_queued_tasks(resources)
    rooms = [await post(client, user, "/sessions", name=name, project_id=project, spirit_mode="off") for name in "AB"]
    await post(client, user, f"/chat/{rooms[0]['id']}/messages", text="good evening")
    await client.patch(f"{V1}/sessions/{rooms[1]['id']}", json={"is_active": False}, headers=user.headers)
    base = f"{V1}/projects/{project}"
    await client.put(f"{base}/files/notes/plan.txt", content=b"Light it.", headers=user.headers)
    await client.put(f"{base}/state", json={"scene": 1}, headers=user.headers)
    return document["document"]["id"], rooms[0]["id"], rooms[1]["id"]


async def test_what_is_in_an_archived_project_can_be_read_and_not_changed(
    client: AsyncClient, resources: Resources, owner, project
):
    editor = await make_user(client, "Editor")
    await share(client, owner, project, editor, "editor")
    document, room, closed = await fill(client, resources, owner, project)
    base = f"{V1}/projects/{project}"
    refused = await client.post(f"{base}/archive", headers=editor.headers)
    assert refused.status_code == 403
    archived = [await client.post(f"{base}/archive", headers=owner.headers) for _ in range(2)]
    assert archived[0].status_code == archived[1].status_code == 200
    assert archived[0].json()["archived_at"] == archived[1].json()["archived_at"] is not None

    changes = [
        ("POST", f"{V1}/documents", {"json": {"text": "New.", "project_id": project}}),
        ("PATCH", f"{V1}/documents/{document}", {"json": {"title": "New"}}),
        ("DELETE", f"{V1}/documents/{document}", {}),
        ("POST", f"{V1}/documents/{document}/reingest", {}),
        ("POST", f"{base}/tasks", {"json": {"task_type": "reingest_project"}}),
        ("PUT", f"{base}/files/a.txt", {"content": b"x"}),
        ("DELETE", f"{base}/files/notes/plan.txt", {}),
        ("PUT", f"{base}/state", {"json": {}}),
        ("PATCH", f"{base}/state", {"json": {}}),
        ("DELETE", f"{base}/state", {}),
        ("POST", f"{V1}/sessions", {"json": {"name": "C", "project_id": project}}),
        ("PATCH", f"{V1}/sessions/{room}", {"json": {"is_active": True}}),
        ("DELETE", f"{V1}/sessions/{room}", {}),
        ("POST", f"{V1}/sessions/{room}/invites", {}),
        ("POST", f"{V1}/memories", {"json": {"content": "x", "project_id": project}}),
    ]
    for method, path, content in changes:
        for user in (owner, editor):
            answer = await client.request(method, path, headers=user.headers, **content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "PROJECT_ARCHIVED"), path
            assert answer.json()["error"]["details"] == {"project_id": project}
    said = await client.post(f"{V1}/chat/{room}/messages", json={"text": "anybody?"}, headers=owner.headers)
    assert (said.status_code, said.json()["error"]["details"]["reason"]) == (403, "closed")
    for path in (base, f"{base}/files/notes/plan.txt", f"{base}/state", f"{base}/stats", f"{V1}/documents/{document}"):
        assert (await client.get(path, headers=editor.headers)).status_code == 200

    found = {}
    for archived_ones in (True, False):
        page = await client.get(f"{V1}/projects", params={"archived": archived_ones}, headers=owner.headers)
        found[archived_ones] = [one["id"] for one in page.json()["items"]]
    assert found[True] == [project]
    assert project not in found[False]

    opened = await client.post(f"{base}/unarchive", headers=owner.headers)
    assert opened.json()["archived_at"] is None
    rooms = {one: (await client.get(f"{V1}/sessions/{one}", headers=owner.headers)).json() for one in (room, closed)}
    assert {one: read["is_active"] for one, read in rooms.items()} == {room: True, closed: False}
    assert (await client.patch(f"{V1}/documents/{document}", json={"title": "New"}, headers=owner.headers)).is_success
    async with resources.uow() as uow:
        told = [json.loads(frame.text) for frame in await uow.events.list_after(project, 0, limit=100)]
        heard = [json.loads(frame.text)["type"] for frame in await uow.events.list_after(room, 0, limit=100)]
    changed = [event["archived_at"] is not None for event in told if event["type"] == "project_updated"]
    assert changed == [True, False], "once each"
    assert heard == ["message_received", "session_updated", "session_updated"]


async def test_a_default_project_is_not_archived(client: AsyncClient, owner):
    items = (await client.get(f"{V1}/projects", headers=owner.headers)).json()["items"]
    default = next(item for item in items if item["is_default"])
    refused = await client.post(f"{V1}/projects/{default['id']}/archive", headers=owner.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")


async def test_a_project_tells_how_much_there_is_in_it(client: AsyncClient, resources: Resources, owner, project):
    elsewhere = (await make_project(client, owner, "Other"))["id"]
    empty = (await client.get(f"{V1}/projects/{elsewhere}/stats", headers=owner.headers)).json()
    nothing = {"pending": 0, "processing": 0, "ready": 0, "failed": 0}
    assert (empty["documents"], empty["members"], empty["files_bytes"]) == (nothing, 1, 0)
    await fill(client, resources, owner, project)
    await post(client, owner, "/documents", text="Elsewhere.", project_id=elsewhere)
    counted = (await client.get(f"{V1}/projects/{project}/stats", headers=owner.headers)).json()
    assert counted == {
        "documents": nothing | {"ready": 1},
        "documents_bytes": len(b"The lamp is lit."),
        "passages": 1,
        "sessions": 2,
        "messages": 1,
        "tasks": {"queued": 0, "running": 0, "succeeded": 1, "failed": 0, "cancelled": 0},
        "files": 1,
        "files_bytes": len(b"Light it."),
        "memories": 0,
        "members": 1,
        "webhooks": 0,
    }


async def test_a_project_is_taken_along_as_one_archive(client: AsyncClient, resources: Resources, owner, project):
    editor = await make_user(client, "Editor")
    await share(client, owner, project, editor, "editor")
    document, room, closed = await fill(client, resources, owner, project)
    await fill(client, resources, owner, (await make_project(client, owner, "Other"))["id"])
    theirs = await post(client, editor, "/documents", text="The editor's own.", project_id=project)
    assert (await client.get(f"{V1}/projects/{project}/export", headers=editor.headers)).status_code == 403
    response = await client.get(f"{V1}/projects/{project}/export", headers=owner.headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    names = set(archive.namelist())
    folder = f"projects/{project}"
    assert names >= {
        *("README.txt", "tasks.jsonl", "manifest.sha256", f"{folder}/project.json", f"{folder}/state.json"),
        *(f"{folder}/files/notes/plan.txt", f"documents/{document}/text.txt", f"sessions/{closed}/session.json"),
        f"documents/{theirs['document']['id']}/document.json",
    }
    assert {name.split("/")[1] for name in names if name.startswith("sessions/")} == {room, closed}
    assert archive.read(f"{folder}/files/notes/plan.txt") == b"Light it."
    assert json.loads(archive.read(f"{folder}/state.json")) == {"scene": 1}
    [said] = archive.read(f"sessions/{room}/messages.jsonl").splitlines()
    assert json.loads(said)["text"] == "good evening"
    for line in archive.read("manifest.sha256").decode().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    own = zipfile.ZipFile(io.BytesIO((await client.get(f"{V1}/users/me/export", headers=owner.headers)).content))
    assert own.read(f"{folder}/files/notes/plan.txt") == b"Light it."
