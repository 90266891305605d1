"""`hearth backup`: the database as it is at one moment, and every file it names then, while the server goes on."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Final

from app import __version__
from app.adapters.backup_files import BLOBS, FORMAT, TABLES, BackupWriter, Manifest, Seal, Section, Table
from app.adapters.storage import Storage
from app.errors import NotFound
from app.foundation import make_storage
from app.repositories.dumps import Dump, TableShape
from app.repositories.engine import create_engine
from app.repositories.schema import known_revisions
from app.settings import DatabaseSettings, Settings

LONGEST: Final = timedelta(hours=12)  # for one table

Tell = Callable[[str], None]


class Refused(Exception):
    """Nothing was done; the message says why, and what to do."""


async def make_backup(settings: Settings, file: IO[bytes], tell: Tell) -> Seal:
    """Write everything to `file`, and say by `tell` what is being written.

    Raises:
        Refused: the schema is none of those that this version knows, or another backup is being made.
        OSError: the database, the store or `file` fails.
    """
    async with dump_of(settings.database) as dump:
        if not await dump.keep_blobs():
            raise Refused("Another backup is being made: wait for its end.")
        async with dump.snapshot():
            manifest = await _describe(dump)
            writer = BackupWriter(file)
            await writer.begin(manifest)
            rows = {}
            for table in manifest.tables:
                tell(f"table {table.name}")
                rows[table.name] = await _write_table(dump, table, writer)
            copying = _Copying(make_storage(settings), writer)
            tell("files")
            async for row in dump.named_blobs(_shapes(manifest)):
                await copying.add(row["sha256"])
        return await writer.end(
            rows=rows, blobs=copying.count, blob_bytes=copying.size, missing=sorted(copying.missing)
        )


@contextlib.asynccontextmanager
async def dump_of(settings: DatabaseSettings) -> AsyncIterator[Dump]:
    """A connection for whole tables, for the length of the block."""
    engine = create_engine(settings.model_copy(update={"statement_timeout": LONGEST}))
    try:
        async with engine.connect() as connection:
            yield await Dump.over(connection)
    finally:
        await engine.dispose()


class _Copying:
    """From the store into the archive."""

    def __init__(self, storage: Storage, writer: BackupWriter) -> None:
        self._storage = storage
        self._writer = writer
        self.count = self.size = 0
        self.missing: list[str] = []

    async def add(self, sha256: str) -> None:
        try:
            pieces = await self._storage.open(sha256)
            section = self._writer.section(f"{BLOBS}{sha256}")
            digest = await _write_blob(section, pieces)
        except (NotFound, FileNotFoundError):
            self.missing.append(sha256)
            return
        self.count += 1
        self.size += section.size
        if digest != sha256:  # what is written is written: whoever restores it passes it by
            self.missing.append(sha256)


async def _write_blob(section: Section, pieces: AsyncIterator[bytes]) -> str:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
        await section.add(piece)
    await section.end()
    return digest.hexdigest()


async def _write_table(dump: Dump, table: Table, writer: BackupWriter) -> int:
    section = writer.section(f"{TABLES}{table.name}")
    count = await dump.copy_out(TableShape(table.name, table.columns), section.add)
    await section.end()
    return count


async def _describe(dump: Dump) -> Manifest:
    revision = await dump.revision()
    if revision not in known_revisions():
        if revision is None:
            raise Refused("There is nothing in this database: run `hearth migrate` for a new one.")
        raise Refused(f"The schema of the database, {revision}, is newer than this version of Hearth: use that one.")
    return Manifest(
        format=FORMAT,
        revision=revision,
        version=__version__,
        made_at=datetime.now(UTC),
        postgres=await dump.server_version(),
        tables=[Table(name=table.name, columns=table.columns) for table in await dump.list_tables()],
        sequences=await dump.sequences(),
    )


def _shapes(manifest: Manifest) -> Sequence[TableShape]:
    return [TableShape(table.name, table.columns) for table in manifest.tables]
