"""The stored bytes of documents and media, named by their hash: kept once, and gone with the last that names them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from app.adapters.fetching import Fetcher
from app.adapters.storage import Storage, StoredBlob
from app.errors import NotFound, ServiceUnavailable
from app.repositories import OpenUnitOfWork, UnitOfWork

UNNAMED_AFTER = timedelta(hours=1)  # an upload is named long before
BATCH_SIZE = 500


class BlobService:
    def __init__(self, uow: OpenUnitOfWork, storage: Storage, fetcher: Fetcher, *, max_bytes: int) -> None:
        self._uow = uow
        self._storage = storage
        self._fetcher = fetcher
        self.max_bytes = max_bytes

    async def store(self, stream: AsyncIterator[bytes], *, max_bytes: int | None = None) -> StoredBlob:
        """Keep the bytes of a document or a file to be; whoever calls this names them by one, or discards them.

        Raises:
            PayloadTooLarge: there are more than `max_bytes`, or else than a document may have.
        """
        return await self._storage.put(stream, max_bytes=max_bytes or self.max_bytes)

    async def add(self, content: bytes) -> StoredBlob:
        """Keep what was made here; as `store`."""
        return await self._storage.put(_once(content), max_bytes=len(content))

    def local(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """Where processes on this machine can read the bytes, for the length of the block. Raises NotFound."""
        return self._storage.local(sha256)

    async def fetch(self, url: str) -> tuple[StoredBlob, str]:
        """Keep the file behind `url`, as `store` does; with its name.

        Raises:
            InvalidInput: the URL is not acceptable, or its server does not give the file.
            PayloadTooLarge: the file is larger than a document may be.
        """
        async with self._fetcher.open(url, max_bytes=self.max_bytes) as fetched:
            return await self.store(fetched.pieces), fetched.filename

    async def require(self, sha256: str) -> None:
        """Raises NotFound: the bytes are not there, after a restore without the files for example."""
        if not await self._storage.has(sha256):
            raise NotFound("The original is not in the store any more.", sha256=sha256)

    async def open(self, sha256: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to `end` (exclusive) in pieces; once the first is there, so are all others, whatever
        is deleted.

        Raises:
            NotFound: they are not there.
        """
        try:
            pieces = await self._storage.open(sha256, start=start, end=end)
            first = await anext(pieces, b"")
        except (FileNotFoundError, NotFound) as error:
            raise NotFound("The original is not in the store any more.", sha256=sha256) from error
        return _following(first, pieces)

    async def claim(self, uow: UnitOfWork, sha256: str) -> None:
        """Make sure that the bytes are there until `uow` ends, which adds something that names them.

        Raises:
            ServiceUnavailable: the last thing with the same bytes was deleted between upload and claim.
        """
        await uow.blobs.lock(sha256)
        if not await self._storage.has(sha256):
            raise ServiceUnavailable("The same file was being deleted. Please upload it again.")

    async def discard(self, sha256: str) -> None:
        """Remove the bytes, unless something names them; uploads of the same bytes wait for that."""
        async with self._uow() as uow:
            await self.discard_within(uow, sha256)

    async def discard_within(self, uow: UnitOfWork, sha256: str) -> None:
        """The same, in the transaction that deletes what named them; if it fails, that is there without its bytes.

        While a backup is made nothing is removed: `discard_unnamed` does that later.
        """
        await uow.blobs.lock(sha256)
        if not await uow.blobs.list_named([sha256]) and await uow.blobs.may_remove():
            await self._storage.delete(sha256)

    async def discard_unnamed(self) -> None:
        """Remove what a crash, or the deletion of a whole project, left in the store."""
        stored = await self._storage.list_older_than(UNNAMED_AFTER)
        for first in range(0, len(stored), BATCH_SIZE):
            batch = stored[first : first + BATCH_SIZE]
            async with self._uow() as uow:
                named = await uow.blobs.list_named(batch)
            for sha256 in set(batch) - named:
                await self.discard(sha256)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _following(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
