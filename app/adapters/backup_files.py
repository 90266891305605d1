"""Backups as files: a tar archive that is written and read from front to back, a part of a few megabytes at a time.

manifest.json           which schema it needs, and which tables and columns follow
tables/<name>/<part>    rows, as PostgreSQL's COPY gives them in its binary format
blobs/<sha256>/<part>   stored files
seal.json               what was written, and the SHA-256 of every byte before it
"""

import asyncio
import hashlib
import tarfile
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT: Final = 1
PART_BYTES: Final = 4_194_304
LARGEST_PART: Final = 67_108_864  # that is read
MANIFEST: Final = "manifest.json"
SEAL: Final = "seal.json"
TABLES: Final = "tables/"
BLOBS: Final = "blobs/"

_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class BackupDamaged(Exception):
    """The file is no backup, or not all of one; the message says what is wrong with it."""


class Table(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    columns: Sequence[str]


class Manifest(BaseModel):
    """`revision`: of the schema. `sequences`: the last value that each of them gave."""

    model_config = ConfigDict(frozen=True)

    format: int
    revision: str
    version: str
    made_at: datetime
    postgres: str
    tables: Sequence[Table]
    sequences: Mapping[str, int]


class Seal(BaseModel):
    """`rows` by table. `missing`: files that rows name, and that were not in the store, or not as they had been."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    rows: Mapping[str, int]
    blobs: int
    blob_bytes: int
    missing: Sequence[str]


class BackupWriter:
    """Writes to `file` in threads; what came is counted into the seal."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    async def begin(self, manifest: Manifest) -> None:
        await self._add(MANIFEST, manifest.model_dump_json(indent=1).encode())

    def section(self, folder: str) -> "Section":
        """What is cut into parts below `folder`."""
        return Section(self, folder)

    async def end(self, *, rows: Mapping[str, int], blobs: int, blob_bytes: int, missing: Sequence[str]) -> Seal:
        digest = self._digest.hexdigest()
        seal = Seal(sha256=digest, rows=rows, blobs=blobs, blob_bytes=blob_bytes, missing=missing)
        await self._add(SEAL, seal.model_dump_json(indent=1).encode())
        await asyncio.to_thread(self._write, _END)
        return seal

    async def _add(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._write, _header(name, len(content)), content, _padding(len(content)))

    def _write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._digest.update(piece)
            self._file.write(piece)


class Section:
    """A table or a stored file on its way into the archive; at least one part, also when it is empty."""

    def __init__(self, writer: BackupWriter, folder: str) -> None:
        self._writer = writer
        self._folder = folder
        self._waiting = bytearray()
        self._parts = 0
        self.size = 0

    async def add(self, piece: bytes) -> None:
        self._waiting += piece
        self.size += len(piece)
        if len(self._waiting) >= PART_BYTES:
            await self._flush()

    async def end(self) -> None:
        if self._waiting or not self._parts:
            await self._flush()

    async def _flush(self) -> None:
        self._parts += 1
        content, self._waiting = bytes(self._waiting), bytearray()
        await self._writer._add(f"{self._folder}/{self._parts:08}", content)


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    content: bytes

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]


class BackupReader:
    """Reads `file` from where it stands, in threads. Every method may raise BackupDamaged."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._ahead: Member | None = None
        self.seal: Seal | None = None

    async def read_manifest(self) -> Manifest:
        """What the archive begins with; to be called once, first."""
        member = await self._next()
        if member is None or member.name != MANIFEST:
            raise BackupDamaged("This is no backup of Hearth.")
        try:
            return Manifest.model_validate_json(member.content)
        except ValidationError as error:
            raise BackupDamaged("The manifest cannot be read.") from error

    async def sections(self) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """`tables/<name>` and `blobs/<sha256>` with their content, to be read in turn; then `seal` is there."""
        self._ahead = await self._next()
        while self._ahead is not None:
            folder = self._ahead.folder
            yield folder, self._parts(folder)
            async for _ in self._parts(folder):  # what the caller had no use for
                pass
        if self.seal is None:
            raise BackupDamaged("The backup is cut off: its end is missing.")

    async def _parts(self, folder: str) -> AsyncIterator[bytes]:
        while self._ahead is not None and self._ahead.folder == folder:
            content = self._ahead.content
            self._ahead = await self._next()
            yield content

    async def _next(self) -> Member | None:
        member, digest = await asyncio.to_thread(self._read)
        if member is None or member.name != SEAL:
            return member
        try:
            self.seal = Seal.model_validate_json(member.content)
        except ValidationError as error:
            raise BackupDamaged("The seal cannot be read.") from error
        if self.seal.sha256 != digest:
            raise BackupDamaged("The content is not what was written: its checksum differs.")
        return None

    def _read(self) -> tuple[Member | None, str]:
        """The next member, and the digest of all that came before it."""
        before = self._digest.hexdigest()
        try:
            head = self._file.read(tarfile.BLOCKSIZE)
            if not head:
                return None, before
            info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
            if not 0 <= info.size <= LARGEST_PART:
                raise BackupDamaged(f"{info.name} is larger than any part of a backup.")
            content = self._file.read(info.size)
            padding = self._file.read(len(_padding(info.size)))
            if info.name == SEAL and self._file.read(1 + len(_END)) != _END:
                raise BackupDamaged("Behind the end of the backup there is something else, or the end is missing.")
        except (tarfile.HeaderError, zlib.error, OSError, EOFError, ValueError) as error:
            raise BackupDamaged(f"The backup cannot be read: {error}.") from error
        if len(content) < info.size or len(padding) < len(_padding(info.size)):
            raise BackupDamaged(f"The backup is cut off in {info.name}.")
        for piece in (head, content, padding):
            self._digest.update(piece)
        return Member(info.name, content), before


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
