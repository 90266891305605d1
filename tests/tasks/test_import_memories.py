"""An import in a worker's hands: it goes on where another one died, and nobody waits for it."""

import json

import pytest
from httpx import AsyncClient
from sqlalchemy import select

from app.models import MemoryImport, MemoryIndexing
from app.resources import Resources
from app.services.imports import BATCH_SIZE, IMPORT_MEMORIES
from tests.factories import User, execute
from tests.memories import index, remember, search

IMPORTS = "/api/v1/memories/imports"


class Crash(Exception):
    pass


async def upload(client: AsyncClient, user: User, count: int) -> str:
    text = "".join(json.dumps({"content": f"Memory number {number}. {'x' * 100}"}) + "\n" for number in range(count))
    response = await client.post(IMPORTS, files={"file": ("many.jsonl", text.encode())}, headers=user.headers)
    return response.json()["import"]["id"]


async def test_an_import_goes_on_where_a_worker_died(
    client: AsyncClient, resources: Resources, owner: User, monkeypatch: pytest.MonkeyPatch
):
    import_id = await upload(client, owner, BATCH_SIZE + 100)
    (task,) = await resources.services.execution.lease({IMPORT_MEMORIES: 1}, most=1)

    async def die(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(task, "progress", die)
        with pytest.raises(Crash):
            await resources.services.imports.run(task, task.params["import_id"])
    after = (await client.get(f"{IMPORTS}/{import_id}", headers=owner.headers)).json()
    assert (after["status"], after["records"], after["created"]) == ("running", BATCH_SIZE, BATCH_SIZE)
    assert 0 < after["progress"] < 1
    await resources.services.imports.run(task, task.params["import_id"])
    done = (await client.get(f"{IMPORTS}/{import_id}", headers=owner.headers)).json()
    assert (done["status"], done["created"], done["unchanged"]) == ("succeeded", BATCH_SIZE + 100, 0)
    kept = await execute(resources, select(MemoryImport.sha256).where(MemoryImport.id == import_id))
    assert kept is None


async def test_a_cancelled_import_keeps_what_was_brought_in(client: AsyncClient, resources: Resources, owner: User):
    import_id = await upload(client, owner, 3)
    found = (await client.get(f"{IMPORTS}/{import_id}", headers=owner.headers)).json()
    cancelled = await client.delete(f"/api/v1/tasks/{found['task_id']}", headers=owner.headers)
    assert cancelled.is_success
    found = (await client.get(f"{IMPORTS}/{import_id}", headers=owner.headers)).json()
    assert (found["status"], found["error"]["code"]) == ("cancelled", "TASK_CANCELLED")


async def test_what_is_written_now_is_found_before_what_an_import_brings(
    client: AsyncClient, resources: Resources, owner: User
):
    await upload(client, owner, 200)
    (task,) = await resources.services.execution.lease({IMPORT_MEMORIES: 1}, most=1)
    await resources.services.imports.run(task, task.params["import_id"])
    fresh = await remember(client, owner, "The heron stood in the reeds.")
    assert await resources.services.memory_indexing._run_some()
    assert (await search(client, owner, "heron"))["items"][0]["memory_id"] == fresh["id"]
    assert await execute(resources, select(MemoryIndexing.memory_id).limit(1)) is not None
    await index(resources)
    assert (await search(client, owner, "number 199", top_k=3))["items"]
