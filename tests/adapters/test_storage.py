"""Files on a real disk."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.adapters.media_types import HEAD_BYTES
from app.adapters.storage import LocalStorage
from app.errors import NotFound, PayloadTooLarge

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than one buffer


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "blobs")


@pytest.fixture
def files(tmp_path: Path):
    return lambda: [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


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
    assert storage.path(blob.sha256).read_bytes() == CONTENT


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


async def test_what_a_killed_process_left_behind_is_cleared_away(storage, files):
    await storage.check()
    abandoned = storage.path("0" * 64).parents[2] / "incoming" / "abandoned"
    abandoned.write_bytes(b"half of a file")
    os.utime(abandoned, (0, 0))

    blob = await storage.put(pieces(b"short"), max_bytes=5)

    assert [path.name for path in files()] == [blob.sha256]


async def test_files_are_for_nobody_else_to_read(storage):
    blob = await storage.put(pieces(b"short"), max_bytes=5)

    assert storage.path(blob.sha256).stat().st_mode & 0o077 == 0


async def test_a_place_that_cannot_be_written_fails_the_check(tmp_path):
    (tmp_path / "blobs").write_text("a file where a folder should be")

    with pytest.raises(OSError, match="blobs"):
        await LocalStorage(tmp_path / "blobs").check()
    await LocalStorage(tmp_path / "elsewhere").check()
