"""Data folders for embedded servers in tests."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded.ownership import Ownership
from app.embedded.postgres import Postgres
from app.embedded.servers import Server
from app.embedded.valkey import Valkey

PREFIX = "hearth-test-"


@contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """A data folder that is removed afterwards; unlike pytest's `tmp_path` it lets the account of PostgreSQL pass."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def remove_abandoned_data_dirs() -> None:
    """Stop and remove what killed test runs have left behind: servers that were ready and have no owner any more."""
    for folder in Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"):
        if folder.stat().st_uid != os.geteuid():
            continue
        engines = (Postgres(folder / "postgres", programs=None, durable=False), Valkey(folder / "valkey", program=None))
        abandoned = [_stop_abandoned(engine) for engine in engines]
        if all(abandoned):
            shutil.rmtree(folder, ignore_errors=True)


def _stop_abandoned(engine: Postgres | Valkey) -> bool:
    lock = engine.base.with_suffix(".lock")
    if not lock.exists() or not lock.read_text().endswith("ready"):
        return False  # still starting, or stopped in good order
    ownership = Ownership.take(lock)
    if ownership is None:
        return False
    server = Server(engine)
    if server.is_alive():
        server.start()  # adopts it
    server.stop()
    ownership.release()
    return True
