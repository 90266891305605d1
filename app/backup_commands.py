"""`hearth backup` and `hearth restore` at the terminal: their files, their progress, their last word."""

import contextlib
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

import asyncpg  # type: ignore[import-untyped]  # it comes without types
from rich.console import Console
from rich.prompt import Confirm
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.backup_files import BackupDamaged, Seal
from app.backup import Refused, make_backup
from app.errors import AppError
from app.restore import check, holdings, restore
from app.settings import Settings

PROBLEMS: Final = (Refused, BackupDamaged, AppError, SQLAlchemyError, asyncpg.PostgresError, OSError)
GZIP: Final = b"\x1f\x8b"
COMPRESSION: Final = 5
STREAM: Final = "-"


async def save(settings: Settings, name: str, console: Console) -> Seal:
    """Write a backup to the file `name`, which appears when it is complete. Raises PROBLEMS."""
    with _written(name) as file, console.status("") as status:
        seal = await make_backup(settings, file, status.update)
    _tell(console, "Saved", seal)
    console.print(
        "Not in it, and to be kept elsewhere: your settings and keys (JWT_SECRET, ENCRYPTION_KEY, or the secrets in "
        "DATA_DIR). What is encrypted stays encrypted."
    )
    return seal


async def bring_back(settings: Settings, name: str, console: Console, *, force: bool) -> None:
    """Restore from the file `name`. Raises PROBLEMS."""
    with _read(name, settings.data_dir) as file:
        if force:
            await _warn(settings, file, console, may_ask=name != STREAM and sys.stdin.isatty())
        with console.status("") as status:
            seal, undecryptable = await restore(settings, file, status.update, replacing=force)
    _tell(console, "Restored", seal)
    if undecryptable:
        console.print(
            f"{undecryptable} encrypted values were written with a key that is not here: put it into ENCRYPTION_KEY "
            "or ENCRYPTION_PREVIOUS_KEYS.",
            style="red",
        )


async def _warn(settings: Settings, file: IO[bytes], console: Console, *, may_ask: bool) -> None:
    manifest, _ = await check(file)
    filled = await holdings(settings)
    if not filled:
        return
    console.print(f"Everything in this database ({filled} tables with rows) is deleted now.", style="bold red")
    console.print(f"In its place comes the state of {manifest.made_at:%Y-%m-%d %H:%M} UTC.")
    if may_ask and not Confirm.ask("Go on?", console=console, default=False):
        raise Refused("Nothing was changed.")


def _tell(console: Console, what: str, seal: Seal) -> None:
    rows, tables = sum(seal.rows.values()), len(seal.rows)
    console.print(
        f"{what}: {rows:,} rows of {tables} tables, {seal.blobs:,} files with {seal.blob_bytes:,} bytes.",
        highlight=False,
    )
    if seal.missing:
        console.print(f"Files that rows name, and that are not in the store, or damaged: {len(seal.missing)}:")
        for sha256 in seal.missing[:20]:
            console.print(f"  {sha256}", highlight=False)


@contextlib.contextmanager
def _written(name: str) -> Iterator[IO[bytes]]:
    """A file that only its owner reads, under its name when all of it is on disk. Raises Refused, OSError."""
    if name == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if path.exists():
        raise Refused(f"{path} is there already: choose another name.")
    unfinished = path.with_name(f"{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with _compressing(file) if name.endswith(".gz") else contextlib.nullcontext(file) as target:
                yield cast("IO[bytes]", target)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _compressing(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=COMPRESSION)


@contextlib.contextmanager
def _read(name: str, data_dir: Path) -> Iterator[IO[bytes]]:
    """A file that can be read twice; what comes by a stream is kept for so long. Raises OSError."""
    with contextlib.ExitStack() as stack:
        if name == STREAM:
            file: IO[bytes] = stack.enter_context(tempfile.TemporaryFile(dir=data_dir))
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.seek(0)
        else:
            file = stack.enter_context(Path(name).open("rb"))
        is_compressed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        yield cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=file))) if is_compressed else file
