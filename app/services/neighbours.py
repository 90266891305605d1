"""Asks the mirror of the passages' vectors which are nearest, or says why it is not asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.adapters.chroma import ChromaVectors
from app.errors import ServiceUnavailable
from app.repositories import OpenUnitOfWork
from app.repositories.retrieval import MOST_WAITING, POOL, Probe, Proposal, Reach

MOST_NAMES: Final = 1000  # projects or documents that one question names
SPARE: Final = 2  # times as many as are wanted: some may be gone, or not be the asker's


@dataclass(frozen=True, slots=True)
class Proposed:
    """What may be near, or None and the reason, and PostgreSQL compares the vectors itself."""

    proposal: Proposal | None
    fallback: str | None = None


class Neighbours:
    def __init__(self, uow: OpenUnitOfWork, vectors: ChromaVectors) -> None:
        self._uow = uow
        self._vectors = vectors

    async def find(self, reach: Reach, probe: Probe) -> Proposed:
        """Never fails because of the mirror: PostgreSQL has all vectors, too."""
        if self._vectors.is_silent:
            return Proposed(None, "Chroma does not answer.")
        async with self._uow(is_reading=True) as uow:
            mirror = await uow.vectors.mirror(most=MOST_WAITING + 1)
        if mirror is None:
            return Proposed(None, "No worker has begun to fill Chroma yet.")
        if mirror.embedding_model != probe.model:
            return Proposed(None, f"Chroma has the vectors of another model, {mirror.embedding_model}.")
        if len(mirror.untold_ids) > MOST_WAITING:
            return Proposed(None, "Chroma is being filled.")
        narrowing = _narrowing(reach, probe)
        if narrowing is None:
            return Proposed(None, "Too many projects for a question to Chroma.")
        within, count = narrowing
        try:
            ids = await self._vectors.nearest(mirror.collection_id, probe.vector, within=within, count=count)
        except ServiceUnavailable as error:
            return Proposed(None, error.message)
        return Proposed(Proposal(ids, mirror.untold_ids))


def _narrowing(reach: Reach, probe: Probe) -> tuple[tuple[str, Sequence[UUID]], int] | None:
    """Where to look, and how many to ask for: more, where filters that Chroma is not told of leave fewer."""
    scope = reach.scope
    projects, documents = scope.project_ids or (), scope.document_ids or ()
    if reach.is_listed and len(documents) <= MOST_NAMES:
        return ("document_id", documents), SPARE * probe.candidates
    is_exact = reach.is_scanned and not scope.is_narrowed
    count = (SPARE if is_exact else POOL) * probe.candidates
    return (("project_id", projects), count) if len(projects) <= MOST_NAMES else None
