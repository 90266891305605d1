"""ZIP archives that are sent while they are made: no temporary file, and never more in memory than one piece."""

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Final

FILE_MODE: Final = 0o100600  # a file that its owner alone reads
EPOCH: Final = datetime(1980, 1, 1, tzinfo=UTC)  # where the calendar of ZIP begins


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive: its content, or where that comes from piece by piece."""

    name: str
    content: bytes | AsyncIterator[bytes]
    modified: datetime


class ArchiveStream:
    """Every method that returns bytes returns the next part of the archive. Compressing runs in threads."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._sums: list[str] = []

    @property
    def sums(self) -> bytes:
        """SHA-256 of every file so far, as `sha256sum --check` reads them."""
        return "".join(self._sums).encode()

    async def add(self, name: str, content: bytes, *, modified: datetime) -> bytes:
        """Add a small file."""
        return await asyncio.to_thread(self._add, name, content, modified)

    async def add_pieces(self, name: str, pieces: AsyncIterator[bytes], *, modified: datetime) -> AsyncIterator[bytes]:
        """Add a file of any size; the next piece is asked for when what came of the last was taken."""
        digest = hashlib.sha256()
        with self._zip.open(_info(name, modified), "w", force_zip64=True) as file:
            async for piece in pieces:
                yield await asyncio.to_thread(self._write, file, piece, digest.update)
        self._sums.append(f"{digest.hexdigest()}  {name}\n")
        yield self._sink.take()

    async def add_entry(self, entry: Entry) -> AsyncIterator[bytes]:
        if isinstance(entry.content, bytes):
            yield await self.add(entry.name, entry.content, modified=entry.modified)
            return
        async for piece in self.add_pieces(entry.name, entry.content, modified=entry.modified):
            yield piece

    async def finish(self) -> bytes:
        await asyncio.to_thread(self._zip.close)
        return self._sink.take()

    def _add(self, name: str, content: bytes, modified: datetime) -> bytes:
        self._zip.writestr(_info(name, modified), content)
        self._sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        return self._sink.take()

    def _write(self, file: IO[bytes], piece: bytes, note: Callable[[bytes], None]) -> bytes:
        file.write(piece)
        note(piece)
        return self._sink.take()


class _Sink:
    """What zipfile writes to: it can neither seek nor tell, so sizes follow their files."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _info(name: str, modified: datetime) -> zipfile.ZipInfo:
    at = max(modified, EPOCH)
    info = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = FILE_MODE << 16
    return info
