"""The stored bytes, which documents and media name by their hash."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import func, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Document, Media, MediaRendition, MemoryImport, ProjectFile

NAMING = (Document.sha256, Media.sha256, MediaRendition.sha256, MemoryImport.sha256, ProjectFile.sha256)
"""What is in none of these columns is removed: whatever else comes to name bytes goes in here."""

BACKUP_LOCK: Final = 0x4241434B  # held by whoever makes a backup, and shared by all who remove bytes


class BlobRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, sha256: str) -> None:
        """Until this transaction ends, nobody else comes to name these bytes, or removes them."""
        key = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True)
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def may_remove(self) -> bool:
        """False while a backup is made, which may still want to read them; if true, so until this transaction ends."""
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock_shared(BACKUP_LOCK))))

    async def list_named(self, sha256s: Iterable[str]) -> set[str]:
        """Those that something names."""
        wanted = list(sha256s)
        named = union(*(select(column).where(column.in_(wanted)) for column in NAMING))
        return {sha256 for sha256 in (await self._session.execute(named)).scalars() if sha256 is not None}
