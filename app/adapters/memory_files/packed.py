"""ZIP archives that somebody gives us: opened when their list of contents is known to be one that can be read."""

import asyncio
import contextlib
import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Final

from app.errors import ExtractionFailed

MOST_CONTENTS: Final = 16_777_216  # bytes of the list of contents: some 120,000 files
READ_BYTES: Final = 262_144
BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises of archives that are damaged."""


class _Sparing(io.BufferedReader):
    """A file, of which never more than the longest list of contents is read at once: zipfile reads all of the list
    in one go, wherever and however long it is said to be.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_CONTENTS:
            raise ExtractionFailed("TOO_LARGE", "The archive holds more files than are brought in at once: divide it.")
        return super().read(size)


@contextlib.contextmanager
def open_packed(path: Path) -> Iterator[zipfile.ZipFile]:
    """
    Raises:
        ExtractionFailed: CORRUPT, ENCRYPTED, or TOO_LARGE (more files than are read).
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_Sparing(io.FileIO(path)))
            archive = stack.enter_context(zipfile.ZipFile(file))
        except BROKEN as error:
            raise ExtractionFailed("CORRUPT", "The archive is damaged or incomplete.") from error
        if any(part.flag_bits & 1 for part in archive.infolist()):
            raise ExtractionFailed("ENCRYPTED", "The archive is protected by a password.")
        yield archive


async def read_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> AsyncIterator[bytes]:
    """The bytes of a file of it. Raises ExtractionFailed: CORRUPT."""
    file = await asyncio.to_thread(_open_part, archive, part)
    with file:
        while piece := await asyncio.to_thread(_read_piece, file):
            yield piece


def _open_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(part)
    except BROKEN as error:
        raise ExtractionFailed("CORRUPT", "The file is damaged in the archive.") from error


def _read_piece(file: IO[bytes]) -> bytes:
    try:
        return file.read(READ_BYTES)
    except BROKEN as error:
        raise ExtractionFailed("CORRUPT", "The file is damaged in the archive.") from error
