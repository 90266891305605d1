"""Files in a bucket of any store that speaks S3, under the digests of their content."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obstore.exceptions import BaseError, GenericError, NotFoundError
from obstore.store import S3Store

from app.adapters.storage import READ_BYTES, StoredBlob, require_digest, taking_in
from app.errors import NotFound, PayloadTooLarge, ServiceUnavailable
from app.settings.workspace import StorageSettings

if TYPE_CHECKING:  # types of a compiled module: they are not there at run time
    from obstore import OffsetRange
    from obstore.store import S3Config

PART_BYTES: Final = 8_388_608  # of a file that is sent in several requests; S3 wants 5 MiB at least
PARTS_AT_ONCE: Final = 4
CONNECT_PATIENCE: Final = timedelta(seconds=5)
RETRY_FOR: Final = timedelta(seconds=20)
RETRIES: Final = 3
PROBE: Final = "writable"


class ObjectStorage:
    """A file is spooled to the local disk, since its name is known when all of it was seen, and then sent whole.

    All methods raise ServiceUnavailable when the store does not answer, or does not let us in.
    """

    def __init__(self, settings: StorageSettings, spool: Path) -> None:
        self._spool = spool.absolute()
        self._patience = settings.timeout.total_seconds()
        self._store = S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            config=_config(settings),
            client_options={"allow_http": True, "connect_timeout": CONNECT_PATIENCE, "timeout": settings.timeout},
            retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
        )

    async def put(self, stream: AsyncIterator[bytes], *, max_bytes: int) -> StoredBlob:
        async with taking_in(self._spool) as upload:
            async for piece in stream:
                if upload.add(piece) > max_bytes:
                    raise PayloadTooLarge(f"A file may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)
                if upload.is_full:
                    await asyncio.to_thread(upload.write)
            blob = await asyncio.to_thread(upload.seal)
            async with _reaching():
                await self._store.put_async(
                    blob.sha256, upload.path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
                )
            return blob

    async def open(self, sha256: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        require_digest(sha256)
        if end is not None and end <= start:
            return _nothing()
        wanted: OffsetRange | tuple[int, int] = {"offset": start} if end is None else (start, end)
        async with _reaching(sha256):
            try:
                found = await self._store.get_async(sha256, options={"range": wanted} if start or end else None)
            except GenericError:
                if start and start >= (await self._store.head_async(sha256))["size"]:
                    return _nothing()  # stores call that an error
                raise
        return _pieces(found.stream(min_chunk_size=READ_BYTES).__aiter__())

    async def has(self, sha256: str) -> bool:
        require_digest(sha256)
        try:
            async with _reaching(sha256):
                await self._store.head_async(sha256)
        except NotFound:
            return False
        return True

    @contextlib.asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        async with taking_in(self._spool) as copy:
            async for piece in await self.open(sha256):
                copy.add(piece)
                if copy.is_full:
                    await asyncio.to_thread(copy.write)
            await asyncio.to_thread(copy.write)
            yield copy.path

    async def delete(self, sha256: str) -> None:
        require_digest(sha256)
        with contextlib.suppress(NotFound):
            async with _reaching(sha256):
                await self._store.delete_async(sha256)

    async def list_older_than(self, age: timedelta) -> Sequence[str]:
        latest = datetime.now(UTC) - age
        old: list[str] = []
        async with _reaching():
            async for batch in self._store.list():
                old += (one["path"] for one in batch if one["last_modified"] < latest and len(one["path"]) == 64)
        return old

    async def check(self) -> None:
        async with _reaching():
            await self._store.put_async(PROBE, b"writable")


def _config(settings: StorageSettings) -> "S3Config":
    config: S3Config = {"region": settings.region, "virtual_hosted_style_request": settings.virtual_hosts}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if settings.access_key.get_secret_value():
        config["access_key_id"] = settings.access_key.get_secret_value()
        config["secret_access_key"] = settings.secret_key.get_secret_value()
    return config


@contextlib.asynccontextmanager
async def _reaching(sha256: str = "") -> AsyncIterator[None]:
    """What the store says no with, in our words."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound("The file is not there.", sha256=sha256) from error
    except (BaseError, OSError) as error:
        raise ServiceUnavailable("The store of files does not answer.") from error


async def _pieces(stream: AsyncIterator[object]) -> AsyncIterator[bytes]:
    async with _reaching():
        async for piece in stream:
            yield bytes(piece)  # type: ignore[call-overload]  # a buffer


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
