"""What may become memories, for whoever it was said by or proposed to."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import MemoryCandidate
from app.repositories.pages import newest_first

COLUMNS = (
    "id", "owner_id", "status", "title", "content", "occurred_at", "occurred_end", "precision", "begins", "ends",
    "people", "source", "fingerprint", "duplicate_of",
)  # fmt: skip


class CandidateRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, candidate: MemoryCandidate) -> MemoryCandidate | None:
        """None where the same was proposed before, whatever has become of it."""
        values = {name: getattr(candidate, name) for name in COLUMNS}
        add = insert(MemoryCandidate).values(values).on_conflict_do_nothing(index_elements=["owner_id", "fingerprint"])
        return await self._session.scalar(add.returning(MemoryCandidate))

    async def get_owned(self, owner_id: UUID, candidate_id: UUID) -> MemoryCandidate | None:
        query = select(MemoryCandidate).where(MemoryCandidate.id == candidate_id, MemoryCandidate.owner_id == owner_id)
        return (await self._session.scalars(query)).one_or_none()

    async def lock_owned(self, owner_id: UUID, candidate_id: UUID) -> MemoryCandidate | None:
        query = select(MemoryCandidate).where(MemoryCandidate.id == candidate_id, MemoryCandidate.owner_id == owner_id)
        return (await self._session.scalars(query.with_for_update(key_share=True))).one_or_none()

    async def list_owned(
        self, owner_id: UUID, *, status: str, before: UUID | None, limit: int
    ) -> Sequence[MemoryCandidate]:
        """The newest first."""
        query = select(MemoryCandidate).where(MemoryCandidate.owner_id == owner_id, MemoryCandidate.status == status)
        return await newest_first(self._session, query, MemoryCandidate, before=before, limit=limit)
