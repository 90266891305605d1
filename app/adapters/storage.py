"""Where uploaded files are kept: by the digest of their content, so that no name from outside ever becomes a path."""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from app.adapters.media_types import HEAD_BYTES
from app.errors import NotFound, PayloadTooLarge, ServiceUnavailable

BUFFER_BYTES = 1_048_576
READ_BYTES = 262_144
LEAST_FREE_BYTES = 67_108_864
ABANDONED_SECONDS = 86_400
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A file that is safely on disk; `head` is its first `HEAD_BYTES`, `sha256` lower-case hexadecimal."""

    sha256: str
    size: int
    head: bytes


class Storage(Protocol):
    """Keeps files by the SHA-256 of their content."""

    async def put(self, stream: AsyncIterator[bytes], *, max_bytes: int) -> StoredBlob:
        """Keep what `stream` yields. The same content is kept once.

        Raises:
            PayloadTooLarge: there is more than `max_bytes`; nothing is kept.
            ServiceUnavailable: there is no room.
        """

    async def open(self, sha256: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` (exclusive; None: to the last) in pieces of bounded size.

        Raises:
            NotFound: there is no such file.
        """

    async def has(self, sha256: str) -> bool:
        """Whether the file is there."""

    def local(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """Where processes on this machine can read the file, for the length of the block.

        Raises:
            NotFound: there is no such file.
        """

    async def delete(self, sha256: str) -> None:
        """Forget the file; one that is not there is no error."""

    async def list_older_than(self, age: timedelta) -> Sequence[str]:
        """The files that were kept that long ago, by their digests; for tidying up."""

    async def check(self) -> None:
        """Raises ServiceUnavailable or OSError where nothing could be kept now."""


class LocalStorage:
    """Files below one folder: `ab/cd/<sha256>`. A file is complete before it gets that name, or it never does."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._incoming = self._root / "incoming"
        self._checking: asyncio.Future[None] | None = None

    async def put(self, stream: AsyncIterator[bytes], *, max_bytes: int) -> StoredBlob:
        async with taking_in(self._incoming) as upload:
            async for piece in stream:
                if upload.add(piece) > max_bytes:
                    raise PayloadTooLarge(f"A file may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)
                if upload.is_full:
                    await asyncio.to_thread(upload.write)
            return await asyncio.to_thread(self._keep, upload)

    async def open(self, sha256: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        path = self.path(sha256)
        if not await asyncio.to_thread(path.is_file):
            raise NotFound("The file is not there.", sha256=sha256)
        return _pieces(path, start, end)

    async def has(self, sha256: str) -> bool:
        return await asyncio.to_thread(self.path(sha256).is_file)

    @contextlib.asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        if not await self.has(sha256):
            raise NotFound("The file is not there.", sha256=sha256)
        yield self.path(sha256)

    def path(self, sha256: str) -> Path:
        """Where the file is, if it is there."""
        require_digest(sha256)
        return self._root / sha256[:2] / sha256[2:4] / sha256

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self.path(sha256).unlink, missing_ok=True)

    async def list_older_than(self, age: timedelta) -> Sequence[str]:
        return await asyncio.to_thread(self._list_older_than, time.time() - age.total_seconds())

    async def check(self) -> None:
        """A disk that hangs holds the thread that asks it, for good: it is not given another one until it answers."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().run_in_executor(None, self._check)
        await asyncio.shield(self._checking)

    def _keep(self, upload: "Upload") -> StoredBlob:
        blob = upload.seal()
        target = self.path(blob.sha256)
        _make_private(target.parent)
        upload.path.replace(target)  # atomic; where the same content is there already, nothing changes for readers
        _sync_folder(target.parent)
        return blob

    def _list_older_than(self, latest: float) -> list[str]:
        old = []
        for path in self._root.glob("??/??/*"):
            with contextlib.suppress(FileNotFoundError):  # just deleted
                if path.stat().st_mtime < latest and _SHA256.fullmatch(path.name):
                    old.append(path.name)
        return old

    def _check(self) -> None:
        _make_private(self._incoming)
        with tempfile.TemporaryFile(dir=self._incoming) as probe:
            probe.write(b"writable")
        if shutil.disk_usage(self._incoming).free < LEAST_FREE_BYTES:
            raise ServiceUnavailable("There is hardly any room left for files.")


class Upload:
    """A file on its way in, at `path` below a folder. Every method but `add` blocks, and runs in a thread."""

    def __init__(self, folder: Path) -> None:
        _make_private(folder)
        _remove_abandoned(folder)
        descriptor, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._head = bytearray()
        self._size = 0

    @property
    def is_full(self) -> bool:
        return len(self._buffer) >= BUFFER_BYTES

    def add(self, piece: bytes) -> int:
        """Take `piece` into memory; returns the bytes taken so far."""
        self._head += piece[: HEAD_BYTES - len(self._head)]
        self._buffer += piece
        self._size += len(piece)
        return self._size

    def write(self) -> None:
        self._digest.update(self._buffer)
        rest = memoryview(bytes(self._buffer))
        while rest:
            rest = rest[self._file.write(rest) :]
        self._buffer.clear()

    def seal(self) -> StoredBlob:
        """All of it is on disk."""
        self.write()
        os.fsync(self._file.fileno())
        return StoredBlob(self._digest.hexdigest(), self._size, bytes(self._head))

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def taking_in(folder: Path) -> AsyncIterator[Upload]:
    """A file on its way in; whatever is left of it at the end of the block goes.

    Raises:
        ServiceUnavailable: the disk is full.
    """
    upload = None
    try:
        upload = await asyncio.to_thread(Upload, folder)
        yield upload
    except OSError as error:
        if error.errno in NO_ROOM:
            raise ServiceUnavailable("There is no room left for files.") from error
        raise
    finally:
        if upload is not None:
            await asyncio.to_thread(upload.discard)


def require_digest(sha256: str) -> None:
    """Raises ValueError: this is no name of a file."""
    if not _SHA256.fullmatch(sha256):
        raise ValueError("not a SHA-256 in lower-case hexadecimal")


async def _pieces(path: Path, start: int, end: int | None) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    with contextlib.closing(file):
        await asyncio.to_thread(file.seek, start)
        left = None if end is None else max(0, end - start)
        while left is None or left > 0:
            piece = await asyncio.to_thread(file.read, READ_BYTES if left is None else min(READ_BYTES, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """A new name survives a power cut only when its folder is written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """What a process left behind when it was killed in the middle of an upload."""
    oldest = time.time() - ABANDONED_SECONDS
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes them too
            if path.stat().st_mtime < oldest:
                path.unlink()
