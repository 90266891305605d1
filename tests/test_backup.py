"""What is saved comes back whole, or not at all."""

import asyncio
import gzip
import hashlib
import io
import itertools
import random
import tarfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from alembic import command
from app.adapters.backup_files import BackupDamaged, BackupReader, BackupWriter, Manifest
from app.adapters.storage import LocalStorage
from app.backup import Refused, make_backup
from app.migrations import expected_revision, run_alembic
from app.repositories.blobs import NAMING
from app.repositories.engine import create_engine
from app.resources import open_resources
from app.restore import restore
from app.settings import Settings
from tests.conftest import cloned_database
from tests.rows import contents, fill

LARGE = random.Random(1).randbytes(9_000_000)  # of three parts
FILES = {hashlib.sha256(content).hexdigest(): content for content in (LARGE, b"", b"The lamp is lit.")}


OLD_ROWS = (
    "INSERT INTO users (id, name, role, is_active) VALUES (gen_random_uuid(), 'Ada', 'user', true)",
    "INSERT INTO projects (id, owner_id, name) SELECT id, id, 'Old' FROM users",
    (
        "INSERT INTO tasks (id, project_id, owner_id, task_type, quality, params, status, progress, message, attempts)"
        " SELECT gen_random_uuid(), id, id, 'a', 'b', '{}', 'failed', 0, '', number"
        " FROM users, generate_series(1, 5) AS number"
    ),
)


def silent(_: str) -> None:
    pass


async def read_rows(settings: Settings) -> dict[str, list[str]]:
    engine = create_engine(settings.database)
    try:
        async with engine.connect() as connection:
            return await contents(connection)
    finally:
        await engine.dispose()


@asynccontextmanager
async def empty_house(settings: Settings, folder: Path) -> AsyncIterator[Settings]:
    """A database without tables, and a data folder of its own."""
    async with cloned_database(settings, template="template1") as empty:
        yield empty.model_copy(update={"data_dir": folder})


@pytest.fixture
async def target(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    async with empty_house(settings, tmp_path / "target") as empty:
        yield empty


@pytest.fixture
async def source(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Rows in every table, and the files they name; one more row names a file that has gone."""
    async with empty_house(settings, tmp_path / "source") as house:
        await run_alembic(house.database, lambda config: command.upgrade(config, "head"))
        storage = LocalStorage(house.data_dir / "blobs")
        for content in FILES.values():
            await storage.put(once(content), max_bytes=len(LARGE))
        engine = create_engine(house.database)
        async with engine.begin() as connection:
            await fill(connection, itertools.cycle(FILES))
        await engine.dispose()
        yield house


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def saved(settings: Settings) -> io.BytesIO:
    file = io.BytesIO()
    await make_backup(settings, file, silent)
    file.seek(0)
    return file


async def test_every_row_and_every_file_comes_back(source: Settings, target: Settings):
    before = await read_rows(source)
    assert [name for name, rows in before.items() if not rows] == []
    file = await saved(source)
    with tarfile.open(fileobj=file) as archive:
        assert archive.getnames()[0] == "manifest.json", "any tar can look into it"

    seal, undecryptable = await restore(target, file, silent)
    assert await read_rows(target) == before
    assert (seal.blobs, seal.blob_bytes, seal.missing) == (3, sum(map(len, FILES.values())), [])
    assert undecryptable > 0, "made-up values are under no key"
    storage = LocalStorage(target.data_dir / "blobs")
    for sha256, content in FILES.items():
        assert b"".join([piece async for piece in await storage.open(sha256)]) == content

    with pytest.raises(Refused, match="not empty"):
        await restore(target, file, silent)
    assert await read_rows(target) == before
    engine = create_engine(target.database)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE users SET name = 'Somebody else'"))
        await connection.execute(text("DELETE FROM chunk_terms"))  # triggers count again
    await engine.dispose()
    await restore(target, file, silent, replacing=True)
    assert await read_rows(target) == before


async def test_a_damaged_backup_is_refused_before_anything_changes(source: Settings, target: Settings):
    whole = (await saved(source)).getvalue()
    places = random.Random(2).sample(range(len(whole)), 12)

    def flipped(place: int) -> bytes:
        return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]

    damaged = [flipped(place) for place in places] + [whole[:place] for place in (0, 511, 100_000, len(whole) - 512)]
    damaged += [whole + b"more", b"no archive at all" * 100, gzip.compress(whole, 1)[:-100_000]]
    for content in damaged:
        file = io.BytesIO(content)
        with pytest.raises(BackupDamaged):
            await restore(target, gzip.GzipFile(fileobj=file) if content[:2] == b"\x1f\x8b" else file, silent)
    assert await read_rows(target) == {}
    assert not (target.data_dir / "blobs").exists()
    await restore(target, io.BytesIO(whole), silent)


async def test_a_backup_of_a_newer_version_is_refused_in_clear_words(source: Settings, target: Settings):
    written = await saved(source)
    newer = (await BackupReader(written).read_manifest()).model_copy(update={"version": "99.0", "revision": "9999"})
    with pytest.raises(Refused, match=r"made by Hearth 99\.0 with the schema 9999, which is newer"):
        await restore(target, await sealed(newer), silent)
    later = newer.model_copy(update={"format": 2, "revision": expected_revision()})
    with pytest.raises(Refused, match="newer"):
        await restore(target, await sealed(later), silent)
    assert await read_rows(target) == {}


async def sealed(manifest: Manifest) -> io.BytesIO:
    file = io.BytesIO()
    writer = BackupWriter(file)
    await writer.begin(manifest)
    await writer.end(rows={}, blobs=0, blob_bytes=0, missing=[])
    return file


async def test_a_backup_of_an_older_version_is_restored_and_then_migrated(settings: Settings, target: Settings):
    async with empty_house(settings, target.data_dir) as old:
        await run_alembic(old.database, lambda config: command.upgrade(config, "0014"))
        engine = create_engine(old.database)
        async with engine.begin() as connection:
            for statement in OLD_ROWS:
                await connection.execute(text(statement))
        await engine.dispose()
        file = await saved(old)
    await restore(target, file, silent)
    engine = create_engine(target.database)
    async with engine.connect() as connection:
        fences = (await connection.execute(text("SELECT fence FROM tasks ORDER BY attempts"))).scalars().all()
        revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    await engine.dispose()
    assert (fences, revision) == ([1, 2, 3, 4, 5], expected_revision())


class Slow(io.BytesIO):
    """Stops before the first byte until it is told to go on."""

    def __init__(self, reached: Callable[[], None]) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self._reached = reached

    def write(self, content: bytes) -> int:
        self._reached()
        self.go_on.wait(30)
        return super().write(content)


async def test_what_is_deleted_while_a_backup_is_made_is_in_it(source: Settings, target: Settings):
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    file = Slow(lambda: loop.call_soon_threadsafe(reached.set))
    making = asyncio.create_task(make_backup(source, file, silent))
    await reached.wait()
    async with open_resources(source) as resources:
        async with resources.uow() as uow:
            for column in NAMING:
                await uow._session.execute(delete(column.class_))
        for sha256 in FILES:
            await resources.services.blobs.discard(sha256)
        with pytest.raises(Refused, match="Another backup"):
            await make_backup(source, io.BytesIO(), silent)
        file.go_on.set()
        seal = await making
        assert (seal.blobs, seal.missing, seal.rows["documents"]) == (3, [], 1)

        for sha256 in FILES:
            await resources.services.blobs.discard(sha256)
            assert not await resources.foundation.storage.has(sha256)
    await restore(target, file, silent)
    assert len((await read_rows(target))["documents"]) == 1


async def test_files_that_are_missing_or_spoilt_are_named_and_the_rest_is_saved(source: Settings, target: Settings):
    lost, spoilt, good = FILES
    storage = LocalStorage(source.data_dir / "blobs")
    storage.path(lost).unlink()
    storage.path(spoilt).write_bytes(b"something else")
    file = await saved(source)
    seal, _ = await restore(target, file, silent)
    assert seal.missing == sorted([lost, spoilt])
    restored = LocalStorage(target.data_dir / "blobs")
    assert [await restored.has(sha256) for sha256 in (lost, spoilt, good)] == [False, False, True]
