"""Finds passages in what a caller may see."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.repositories.retrieval import Match, Probe, Scope
from app.schemas.search import HitRead, ScoresRead, SearchFields, SearchRequest, SearchResult

CANDIDATES: Final[Mapping[str, int]] = {"draft": 30, "standard": 100, "high": 200, "ultra": 400}


@dataclass(frozen=True, slots=True)
class Found:
    """The best passages, best first, the question's vector, and the milliseconds that each stage took."""

    matches: Sequence[Match]
    vector: FloatArray
    timings_ms: Mapping[str, float]


class RetrievalService:
    def __init__(self, uow: OpenUnitOfWork, embedder: Embedder) -> None:
        self._uow = uow
        self._embedder = embedder

    async def search(self, actor: Principal, request: SearchRequest) -> SearchResult:
        """The passages that fit `request.query` best, out of all that the actor may see.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        started = time.perf_counter()
        found = await self.find(actor.user_id, request.query, request)
        items = [_hit(match) for match in found.matches]
        return SearchResult(items=items, timings_ms={**found.timings_ms, "total": milliseconds_since(started)})

    async def find(self, user_id: UUID, question: str, fields: SearchFields) -> Found:
        """The same for other services: `user_id`'s memberships bound what is found."""
        started = time.perf_counter()
        vector = await self._embedder.embed_query(question)
        embedded = time.perf_counter()
        matches: Sequence[Match] = []
        if "documents" in fields.sources:  # the other kinds of things are not searchable
            probe = Probe(question, vector.tolist(), self._embedder.model, CANDIDATES[fields.quality])
            async with self._uow() as uow:
                matches = await uow.retrieval.search(_scope(user_id, fields), probe, limit=fields.top_k)
        timings = {"embed": round((embedded - started) * 1000, 2), "search": milliseconds_since(embedded)}
        return Found(matches, vector, timings)


def milliseconds_since(started: float) -> float:
    """`started` is a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 2)


def _scope(user_id: UUID, fields: SearchFields) -> Scope:
    return Scope(
        user_id,
        project_ids=fields.project_ids,
        document_ids=fields.filters.document_ids,
        media_type=fields.filters.media_type,
        metadata=fields.filters.metadata,
    )


def _hit(match: Match) -> HitRead:
    return HitRead(
        source="documents",
        id=match.id,
        document_id=match.document_id,
        title=match.title,
        text=match.text,
        page=match.page,
        heading=match.heading,
        char_start=match.char_start,
        char_end=match.char_end,
        score=round(match.score, 6),
        scores=ScoresRead(dense=match.dense, text=match.rank),
    )
