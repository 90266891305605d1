"""A server and a worker whose files are in a bucket."""

import asyncio
from pathlib import Path

from httpx import AsyncClient

from app.migrations import migrate
from tests.conftest import cloned_database
from tests.factories import User, make_project, make_user
from tests.media import attach, fetch, make_photo, opened, see
from tests.memories import remember
from tests.object_store import serve_objects
from tests.processes import start_server

TEXT = b"The ferry to Puffin Island leaves at ten."
PATIENCE = 30  # seconds


def count_files(folder: Path) -> int:
    return sum(len(one.name) == 64 for one in folder.rglob("*"))


async def see_a_photo(client: AsyncClient, ada: User, folder: Path) -> None:
    """Added to a memory, prepared by the worker, sent without what it says, and gone from the bucket in the end."""
    memory = await remember(client, ada, "At the pier.")
    media = await attach(client, ada, memory["id"], make_photo(orientation=6), "pier.jpg")
    async with asyncio.timeout(PATIENCE):
        status = ""
        while status != "ready":
            status = (await see(client, ada, media))["status"]
            await asyncio.sleep(0.1)
    assert opened((await fetch(client, ada, media)).content).size == (20, 40)
    assert opened((await fetch(client, ada, media, "thumbnails/small")).content).size == (20, 40)
    assert count_files(folder) == 3  # thumbnails of one so small are one
    path = f"/api/v1/memories/{memory['id']}/media/{media['id']}"
    assert (await client.delete(path, headers=ada.headers)).status_code == 204
    assert count_files(folder) == 0


async def see_a_file(client: AsyncClient, ada: User, folder: Path) -> None:
    """Put into a project, sent in part, shown small, replaced, and gone from the bucket in the end."""
    project = (await make_project(client, ada))["id"]
    path = f"/api/v1/projects/{project}/files/pier.png"
    assert (await client.put(path, content=make_photo(), headers=ada.headers)).status_code == 201
    small = await client.get(path.replace("/files/", "/previews/"), headers=ada.headers, params={"size": 16})
    assert max(opened(small.content).size) == 16
    assert (await client.put(path, content=TEXT, headers=ada.headers)).status_code == 200
    part = await client.get(path, headers=ada.headers | {"Range": "bytes=4-8"})
    assert (part.status_code, part.content, count_files(folder)) == (206, b"ferry", 1)
    assert (await client.delete(path, headers=ada.headers)).status_code == 204
    assert count_files(folder) == 0


async def test_documents_are_kept_read_and_sent_from_a_bucket(settings, tmp_path):
    async with (
        serve_objects(tmp_path / "objects") as store,
        cloned_database(settings, template="template1") as own,  # no other worker looks for the files on the disk
    ):
        await migrate(own)
        secrets = {"STORAGE_ACCESS_KEY": store.access_key, "STORAGE_SECRET_KEY": store.secret_key}
        environment = {
            "STORAGE_BACKEND": "s3",
            "STORAGE_BUCKET": store.bucket,
            "STORAGE_ENDPOINT": store.endpoint,
            **{name: secret.get_secret_value() for name, secret in secrets.items()},
        }
        async with start_server(own, worker=True, **environment) as server, server.client() as client:
            ada = await make_user(client)
            files = {"file": ("ferry.txt", TEXT)}
            added = await client.post("/api/v1/documents", files=files, headers=ada.headers)
            path = f"/api/v1/documents/{added.json()['document']['id']}"
            async with asyncio.timeout(PATIENCE):
                status = ""
                while status != "ready":
                    status = (await client.get(path, headers=ada.headers)).json()["status"]
                    await asyncio.sleep(0.1)
            part = await client.get(f"{path}/content", headers=ada.headers | {"Range": "bytes=4-8"})
            assert (part.status_code, part.content) == (206, b"ferry")
            assert (await client.get(f"{path}/content", headers=ada.headers)).content == TEXT
            [kept] = [one for one in (tmp_path / "objects").rglob("*") if one.is_file() and len(one.name) == 64]
            assert kept.read_bytes() == TEXT
            assert (await client.delete(path, headers=ada.headers)).status_code == 204
            assert not kept.exists()
            await see_a_photo(client, ada, tmp_path / "objects")
            await see_a_file(client, ada, tmp_path / "objects")
            assert (await client.get("/api/v1/health")).json()["checks"]["workspace"]["status"] == "healthy"
