"""Files on a real disk, and in a bucket of a real server that speaks S3."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.adapters.media_types import HEAD_BYTES
from app.adapters.object_storage import ObjectStorage
from app.adapters.storage import LocalStorage, Storage
from app.errors import NotFound, PayloadTooLarge, ServiceUnavailable
from app.settings.workspace import StorageSettings
from tests.object_store import serve_objects

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one buffer


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "blobs")


@pytest.fixture(scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[StorageSettings, Path]]:
    folder = tmp_path_factory.mktemp("objects")
    async with serve_objects(folder) as settings:
        yield settings, folder / settings.bucket / settings.prefix


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, local: LocalStorage, tmp_path: Path) -> Storage:
    if request.param == "local":
        return local
    settings, folder = request.getfixturevalue("store")
    shutil.rmtree(folder, ignore_errors=True)
    return ObjectStorage(settings, tmp_path / "spool")


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path):
    """All that is kept, and on its way."""
    roots = [tmp_path]
    if "s3" in request.node.name:
        roots.append(request.getfixturevalue("store")[1])
    return lambda: [path for root in roots for path in root.rglob("*") if path.is_file()]


async def pieces(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(storage: LocalStorage, sha256: str, **range_: int) -> bytes:
    return b"".join([piece async for piece in await storage.open(sha256, **range_)])


async def test_a_file_comes_back_as_it_was_put(storage):
    blob = await storage.put(pieces(CONTENT), max_bytes=len(CONTENT))

    assert (blob.sha256, blob.size) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert blob.head == CONTENT[:HEAD_BYTES]
    assert await read(storage, blob.sha256) == CONTENT
    async with storage.local(blob.sha256) as path:
        assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 700_005), (2_999_999, None), (9_000_000, None), (7, 7)])
async def test_a_range_of_a_file_is_read(storage, start, end):
    blob = await storage.put(pieces(CONTENT), max_bytes=len(CONTENT))

    assert await read(storage, blob.sha256, start=start, end=end) == CONTENT[start:end]


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(storage, files):
    with pytest.raises(PayloadTooLarge):
        await storage.put(pieces(CONTENT), max_bytes=len(CONTENT) - 1)

    assert files() == []


async def test_an_upload_that_breaks_off_leaves_nothing(storage, files):
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await storage.put(broken(), max_bytes=len(CONTENT))

    assert files() == []


async def test_a_file_is_not_there_before_it_is_complete(storage, files):
    begun, more = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT
        begun.set()
        await more.wait()

    putting = asyncio.create_task(storage.put(slow(), max_bytes=len(CONTENT)))
    await begun.wait()
    assert [path.stat().st_size for path in files()] == [len(CONTENT)]
    with pytest.raises(NotFound):
        await storage.open(hashlib.sha256(CONTENT).hexdigest())
    more.set()

    assert await read(storage, (await putting).sha256) == CONTENT


async def test_the_same_content_is_kept_once_however_many_put_it_at_once(storage, files):
    blobs = await asyncio.gather(*(storage.put(pieces(CONTENT), max_bytes=len(CONTENT)) for _ in range(4)))

    assert len({blob.sha256 for blob in blobs}) == 1
    assert [path.name for path in files()] == [blobs[0].sha256]


async def test_a_deleted_file_is_gone_and_deleting_it_again_is_no_error(storage):
    blob = await storage.put(pieces(b"short"), max_bytes=5)
    await storage.delete(blob.sha256)
    await storage.delete(blob.sha256)

    with pytest.raises(NotFound):
        await storage.open(blob.sha256)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
async def test_only_a_digest_is_a_place(storage, name):
    with pytest.raises(ValueError, match="SHA-256"):
        await storage.open(name)


async def test_what_a_killed_process_left_behind_is_cleared_away(local, files):
    await local.check()
    abandoned = local.path("0" * 64).parents[2] / "incoming" / "abandoned"
    abandoned.write_bytes(b"half of a file")
    os.utime(abandoned, (0, 0))

    blob = await local.put(pieces(b"short"), max_bytes=5)

    assert [path.name for path in files()] == [blob.sha256]


async def test_files_are_for_nobody_else_to_read(local):
    blob = await local.put(pieces(b"short"), max_bytes=5)

    assert local.path(blob.sha256).stat().st_mode & 0o077 == 0


async def test_a_place_that_cannot_be_written_fails_the_check(tmp_path):
    (tmp_path / "blobs").write_text("a file where a folder should be")

    with pytest.raises(OSError, match="blobs"):
        await LocalStorage(tmp_path / "blobs").check()
    await LocalStorage(tmp_path / "elsewhere").check()


async def test_a_store_that_is_away_or_lets_nobody_in_is_a_503(store, tmp_path):
    settings, _ = store
    away = settings.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    locked_out = settings.model_copy(update={"secret_key": SecretStr("another")})
    for broken in (ObjectStorage(away, tmp_path), ObjectStorage(locked_out, tmp_path)):
        with pytest.raises(ServiceUnavailable):
            await broken.put(pieces(b"short"), max_bytes=5)
        with pytest.raises(ServiceUnavailable):
            await broken.open("0" * 64)
        with pytest.raises(ServiceUnavailable):
            await broken.check()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_old_files_are_listed_in_both(storage):
    blob = await storage.put(pieces(b"short"), max_bytes=5)
    await storage.check()
    assert await storage.list_older_than(timedelta(hours=1)) == []
    assert await storage.list_older_than(timedelta(seconds=-5)) == [blob.sha256]
