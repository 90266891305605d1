"""Data folders for embedded servers in tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_data_dir() -> Iterator[Path]:
    """A data folder that is removed afterwards; unlike pytest's `tmp_path` it lets the account of PostgreSQL pass."""
    folder = Path(tempfile.mkdtemp(prefix="hearth-test-")).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
