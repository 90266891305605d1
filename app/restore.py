"""`hearth restore`: what `hearth backup` has written, into a database that is empty."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import IO, Final

from alembic import command
from app.adapters.backup_files import (
    BLOBS,
    FORMAT,
    TABLES,
    BackupDamaged,
    BackupReader,
    Manifest,
    Seal,
)
from app.adapters.storage import Storage
from app.backup import Refused, Tell, dump_of
from app.foundation import make_storage
from app.migrations import migrate, run_alembic
from app.repositories import UnitOfWork
from app.repositories.dumps import Dump, TableShape
from app.repositories.engine import Sessions, create_engine
from app.repositories.schema import known_revisions
from app.security import make_cipher
from app.services.encryption import EncryptionService
from app.settings import Settings

LARGEST_BLOB: Final = 1 << 50


async def check(file: IO[bytes]) -> tuple[Manifest, Seal]:
    """Read all of `file`, from its beginning, and change nothing.

    Raises:
        BackupDamaged: it is no backup, or not a whole one.
        Refused: a newer version of Hearth made it.
    """
    await asyncio.to_thread(file.seek, 0)
    reader = BackupReader(file)
    manifest = await reader.read_manifest()
    if manifest.format > FORMAT or manifest.revision not in known_revisions():
        raise Refused(
            f"The backup was made by Hearth {manifest.version} with the schema {manifest.revision}, which is newer "
            f"than this version's ({known_revisions()[0]}): install that version, or a newer one."
        )
    tables = []
    async for folder, _ in reader.sections():
        if folder.startswith(TABLES):
            tables.append(folder.removeprefix(TABLES))
    if reader.seal is None or tables != [table.name for table in manifest.tables]:
        raise BackupDamaged("The tables of the backup are not those of its manifest.")
    return manifest, reader.seal


async def holdings(settings: Settings) -> int:
    """How many tables of the database have rows.

    Raises:
        Refused: servers or workers use the database.
    """
    async with dump_of(settings.database) as dump:
        others = await dump.count_other_processes()
        if others:
            raise Refused(f"Servers or workers use this database ({others} connections): stop all of them first.")
        return len(await dump.list_filled())


async def restore(settings: Settings, file: IO[bytes], tell: Tell, *, replacing: bool = False) -> tuple[Seal, int]:
    """Fill the database and the store from `file`, and migrate to the newest schema.

    With `replacing`, what the database holds is deleted first. Everything is checked before anything is changed; if
    the restore itself breaks off, the database is empty, and it can be begun again.

    Returns:
        What the backup holds, and how many encrypted values no key of this server decrypts.

    Raises:
        BackupDamaged, Refused: nothing was changed.
    """
    tell("checking the backup")
    manifest, seal = await check(file)
    if await holdings(settings) and not replacing:
        raise Refused("The database is not empty. With --force everything in it is deleted first.")
    async with dump_of(settings.database) as dump:
        await dump.drop_everything()
    tell(f"schema {manifest.revision}")
    await run_alembic(settings.database, lambda config: command.upgrade(config, manifest.revision))
    async with dump_of(settings.database) as dump:
        await _require_schema(dump, manifest)
        await asyncio.to_thread(file.seek, 0)
        async with dump.transaction():
            await _fill(dump, make_storage(settings), file, seal, tell)
    tell("the newest schema")
    await migrate(settings)
    async with dump_of(settings.database) as dump:
        await dump.analyze()
    return seal, await _count_undecryptable(settings)


async def _fill(dump: Dump, storage: Storage, file: IO[bytes], seal: Seal, tell: Tell) -> None:
    reader = BackupReader(file)
    manifest = await reader.read_manifest()
    shapes: Mapping[str, TableShape] = {table.name: TableShape(table.name, table.columns) for table in manifest.tables}
    async for folder, pieces in reader.sections():
        kind, _, name = folder.partition("/")
        if f"{kind}/" == TABLES:
            tell(f"table {name}")
            if await dump.copy_in(shapes[name], pieces) != seal.rows[name]:
                raise BackupDamaged(f"The table {name} has another number of rows than were written.")
        elif f"{kind}/" == BLOBS and name not in seal.missing:
            await _store(storage, name, pieces)
    for name, last_value in manifest.sequences.items():
        await dump.set_sequence(name, last_value)


async def _store(storage: Storage, sha256: str, pieces: AsyncIterator[bytes]) -> None:
    blob = await storage.put(pieces, max_bytes=LARGEST_BLOB)
    if blob.sha256 != sha256:
        await storage.delete(blob.sha256)
        raise BackupDamaged(f"The file {sha256} has another content than its name says.")


async def _require_schema(dump: Dump, manifest: Manifest) -> None:
    there = {table.name: set(table.columns) for table in await dump.list_tables()}
    if there != {table.name: set(table.columns) for table in manifest.tables}:
        raise Refused("The tables of the backup are not those of this schema: extensions of your own?")


async def _count_undecryptable(settings: Settings) -> int:
    engine = create_engine(settings.database)
    try:
        uow = partial(UnitOfWork, Sessions.over(engine), lambda _: None)
        return sum(standing.lost for standing in await EncryptionService(uow, make_cipher(settings)).survey())
    finally:
        await engine.dispose()
