"""How long files of memories are kept, and what becomes of them when something goes wrong on the way."""

import io
import json
import zipfile
from datetime import timedelta

from httpx import AsyncClient
from sqlalchemy import func, update

from app.models import Memory, Task
from app.resources import Resources
from app.services.media import queue_rendering
from tests.factories import PASSWORD, User, execute, make_project, make_user, share
from tests.media import SECRET, attach, fetch, make_photo, make_picture, opened, see, send
from tests.memories import remember
from tests.work import run_queued_tasks

MEMORIES = "/api/v1/memories"


async def has_blob(resources: Resources, sha256: str) -> bool:
    return await resources.foundation.storage.has(sha256)


async def test_bytes_go_with_the_last_that_names_them(client: AsyncClient, owner: User, resources: Resources):
    other = await make_user(client, "Other")
    photo = make_picture(quality=71)
    mine = await attach(client, owner, (await remember(client, owner, "Mine."))["id"], photo)
    theirs = await attach(client, other, (await remember(client, other, "Theirs."))["id"], photo)
    await run_queued_tasks(resources)
    names = [mine["sha256"]]
    async with resources.uow() as uow:
        names += await uow.media.list_blobs([mine["memory_id"]])
    assert len(set(names)) > 1
    for media, user, is_left in ((mine, owner, True), (theirs, other, False)):
        path = f"{MEMORIES}/{media['memory_id']}/media/{media['id']}"
        assert (await client.delete(path, headers=user.headers)).status_code == 204
        assert [await has_blob(resources, name) for name in names] == [is_left] * len(names)


async def test_files_stay_with_a_memory_in_the_bin_and_go_with_it(
    client: AsyncClient, owner: User, resources: Resources
):
    memory = await remember(client, owner, "Gone and back.")
    media = await attach(client, owner, memory["id"], b"Kept with care.")
    path = f"{MEMORIES}/{memory['id']}"
    await client.delete(path, headers=owner.headers)
    assert (await fetch(client, owner, media)).status_code == 404
    assert (await send(client, owner, memory, b"More.")).status_code == 404
    await resources.services.blobs.discard(media["sha256"])  # is named
    restored = await client.post(f"{path}/restore", headers=owner.headers)
    assert [one["id"] for one in restored.json()["media"]] == [media["id"]]
    assert (await fetch(client, owner, media)).content == b"Kept with care."
    await client.delete(path, headers=owner.headers)
    past = resources.settings.memory.retention + timedelta(days=1)
    await execute(
        resources, update(Memory).where(Memory.id == memory["id"]).values(deleted_at=Memory.deleted_at - past)
    )
    await resources.services.memories.sweep()
    assert not await has_blob(resources, media["sha256"])


async def test_a_picture_that_cannot_be_prepared_says_why(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Lost.")
    media = await attach(client, owner, memory["id"], make_photo(orientation=3))
    await resources.foundation.storage.delete(media["sha256"])
    await run_queued_tasks(resources)
    failed = await see(client, owner, media)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "FILE_MISSING")
    assert (await fetch(client, owner, media)).status_code == 409


async def test_preparing_a_picture_again_makes_the_same(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Twice.")
    media = await attach(client, owner, memory["id"], make_photo(orientation=8))
    await run_queued_tasks(resources)
    first = await fetch(client, owner, media)
    async with resources.uow() as uow:
        row = await uow.media.get(media["id"])
        assert row is not None
    async with resources.uow() as uow:
        there = await uow.memories.lock_owned(owner.id, memory["id"])
        await queue_rendering(uow, there, row)
    await run_queued_tasks(resources)
    second = await fetch(client, owner, media)
    assert (second.status_code, second.headers["ETag"]) == (200, first.headers["ETag"])
    assert second.content == first.content


async def leave(client: AsyncClient, resources: Resources, user: User) -> None:
    gone = await client.request("DELETE", "/api/v1/users/me", json={"password": PASSWORD}, headers=user.headers)
    assert gone.status_code == 204, gone.text
    await execute(resources, update(Task).where(Task.task_type == "delete_account").values(run_after=func.now()))
    await run_queued_tasks(resources)


async def test_files_go_with_their_owners_account(client: AsyncClient, owner: User, resources: Resources):
    media = await attach(client, owner, (await remember(client, owner, "Mine."))["id"], make_photo())
    async with resources.uow() as uow:
        assert await uow.media.list_blobs([media["memory_id"]]) == {media["sha256"]}
    await run_queued_tasks(resources)
    async with resources.uow() as uow:
        names = await uow.media.list_blobs([media["memory_id"]])
    assert len(names) == 3  # both thumbnails of a small picture are the same
    await leave(client, resources, owner)
    assert not any([await has_blob(resources, name) for name in names])


async def test_what_somebody_added_elsewhere_stays_and_says_nothing_of_them(
    client: AsyncClient, owner: User, resources: Resources
):
    project, editor = await make_project(client, owner), await make_user(client, "Editor")
    await share(client, owner, project["id"], editor, "editor")
    memory = await remember(client, owner, "Shared.", project_id=project["id"])
    media = await attach(client, editor, memory["id"], make_photo(orientation=6))
    await run_queued_tasks(resources)
    await leave(client, resources, editor)
    left = await see(client, owner, media)
    assert (left["added_by"], left["status"]) == (None, "ready")
    shown = await fetch(client, owner, media)
    assert (opened(shown.content).size, SECRET in shown.content) == ((20, 40), False)
    async with resources.uow() as uow:
        row = await uow.media.get(media["id"])
    assert row is not None
    assert (row.taken_at, row.latitude, row.sha256 == media["sha256"]) == (None, None, False)
    assert not await has_blob(resources, media["sha256"])


async def test_an_archive_has_the_files_of_memories(client: AsyncClient, owner: User, resources: Resources):
    photo = make_photo()
    media = await attach(client, owner, (await remember(client, owner, "Mine."))["id"], photo, "photo.jpg")
    stranger = await make_user(client, "Stranger")
    for user, names in ((owner, {"media.json", "original/photo.jpg"}), (stranger, set())):
        response = await client.get("/api/v1/users/me/export", headers=user.headers)
        archive = zipfile.ZipFile(io.BytesIO(response.content))
        folder = f"media/{media['id']}/"
        assert {name for name in archive.namelist() if name.startswith("media/")} == {folder + name for name in names}
        if names:
            assert archive.read(folder + "original/photo.jpg") == photo
            assert json.loads(archive.read(folder + "media.json"))["taken_at"] == media["taken_at"]
