"""Finds passages in what a caller may see."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from app.adapters.batching import FloatArray
from app.adapters.chroma import ChromaVectors
from app.adapters.embeddings import Embedder
from app.adapters.reranker import Reranker
from app.adapters.sparse import SparseEncoder
from app.errors import NotFound, ServiceUnavailable
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.repositories.memory_filters import MemoryFilter
from app.repositories.retrieval import Match, Probe, Ranking, Reach, Scope, Weights
from app.schemas.conditions import compile_condition
from app.schemas.search import (
    DocumentCheck,
    Explanation,
    HitRead,
    SearchFields,
    SearchFilters,
    SearchRequest,
    SearchResult,
)
from app.services.explanations import Checked, check_result, explain, scores_of
from app.services.fusion import fused, preferring
from app.services.known_callers import Remembered
from app.services.lexicon import latin_share, question_terms, rarity, term_id, words
from app.services.neighbours import Neighbours
from app.services.recall import Recalled, RecallService, given_by
from app.telemetry.meters import RETRIEVAL_SECONDS
from app.telemetry.timing import stage

log = structlog.get_logger(__name__)

# Measured on six question sets (`benchmarks/retrieval_quality.py`): nearly equal weights, the same for all.
WEIGHTS: Final = Weights(dense=1.2, text=1.0, sparse=1.0)
FOREIGN_WEIGHT = 0.25  # of a leg whose model does not know the question's script
ENGLISH_MODELS: Final = frozenset({"all-MiniLM-L6-v2", "splade-tiny"})
QUESTION_PIECES = 48  # word pieces of an expanded question that are looked for
BEYOND = 100  # passages behind the last one that is shown, which an explanation tells of


@dataclass(frozen=True, slots=True)
class Preset:
    """How many passages each leg names, whether word pieces are looked for, and how many passages are reranked."""

    candidates: int
    is_sparse: bool = True
    reranked: int = 0


PRESETS: Final[Mapping[str, Preset]] = {
    "draft": Preset(50, is_sparse=False),
    "standard": Preset(100),
    "high": Preset(200, reranked=30),
    "ultra": Preset(400, reranked=100),
}
# A ranking is used again only where what the person may see is as it was, which each search asks the database first.
REMEMBERED_FOR: Final = timedelta(minutes=1)
REMEMBERED, LONGEST_REMEMBERED = 256, 50  # rankings, and passages of one
NOTHING: Final = Ranking([], 0, {})
PASSAGES_PER_MEMORY = 2  # that may be found, so that there are as many memories as are asked for
CHECKED: Final = SearchFields(top_k=100, quality="high")


@dataclass(frozen=True, slots=True)
class Found:
    """The best passages, best first, the question's vector, and the milliseconds that each stage took."""

    matches: Sequence[Match]
    vector: FloatArray
    timings_ms: Mapping[str, float]
    explanation: Explanation | None = None


class _Known(NamedTuple):
    """What was asked, by whom, and what there was for this person at that moment: `state` and `counts` of a `Reach`."""

    user_id: UUID
    question: str
    fields: str
    limit: int
    state: int | None
    counts: str


class RetrievalService:
    """`vectors` is another store that names the nearest passages of documents; without it PostgreSQL does."""

    def __init__(
        self,
        uow: OpenUnitOfWork,
        embedder: Embedder,
        sparse: SparseEncoder | None,
        reranker: Reranker | None,
        vectors: ChromaVectors | None = None,
    ) -> None:
        self._recall = RecallService(uow)
        self._neighbours = Neighbours(uow, vectors) if vectors else None
        self._uow = uow
        self._embedder = embedder
        self._sparse = sparse
        self._reranker = reranker
        self._rankings = Remembered[_Known, Ranking](REMEMBERED_FOR, size=REMEMBERED)

    async def search(self, actor: Principal, request: SearchRequest) -> SearchResult:
        """The passages that fit `request.query` best, out of all that the actor may see.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        started = time.perf_counter()
        found = await self.find(actor.user_id, request.query, request)
        items = [_hit(match) for match in found.matches]
        timings = {**found.timings_ms, "total": milliseconds_since(started)}
        return SearchResult(items=items, timings_ms=timings, explanation=found.explanation)

    async def find(self, user_id: UUID, question: str, fields: SearchFields) -> Found:
        """The same for other services: `user_id`'s memberships bound what is found."""
        preset = PRESETS[fields.quality]
        with stage(RETRIEVAL_SECONDS, "embed", "retrieval"):
            probe, vector, timings = await self._probe(question, preset)
        started = time.perf_counter()
        reranked = preset.reranked if self._reranker else 0
        limit = max(fields.top_k + (BEYOND if fields.explain else 0), reranked)
        with stage(RETRIEVAL_SECONDS, "documents", "retrieval"):
            ranking = await self._documents(user_id, question, fields, probe, limit)
        with stage(RETRIEVAL_SECONDS, "memories", "retrieval"):
            recalled = await self._memories(user_id, question, fields, probe, limit)
        matches = fused([ranking.matches, recalled.ranking.matches], probe.weights, candidates=probe.candidates)
        ranking = replace(ranking, matches=preferring(matches, recalled.bonus)[:limit])
        timings["search"] = milliseconds_since(started)
        if reranked and ranking.matches:
            started = time.perf_counter()
            with stage(RETRIEVAL_SECONDS, "rerank", "retrieval"):
                ranking = replace(ranking, matches=await self._rerank(question, ranking.matches, reranked))
            timings["rerank"] = milliseconds_since(started)
        explanation = explain(question, fields, probe, ranking, recalled) if fields.explain else None
        return Found(ranking.matches[: fields.top_k], vector, timings, explanation)

    async def recall(self, user_id: UUID, question: str, filters: MemoryFilter, *, limit: int) -> Sequence[UUID]:
        """The memories that fit a question best, best first. Raises ServiceUnavailable."""
        ask = partial(self._asked, preset=PRESETS["standard"])
        most = PASSAGES_PER_MEMORY * limit
        found = await self._recall.search(user_id, question, filters, await ask(question), ask, limit=most)
        matches = preferring(found.ranking.matches, found.bonus)
        return list(dict.fromkeys(match.document_id for match in matches))[:limit]

    async def _documents(self, user_id: UUID, question: str, fields: SearchFields, probe: Probe, limit: int) -> Ranking:
        if "documents" not in fields.sources or fields.filters.are_for_memories:
            return NOTHING
        scope = _scope(user_id, fields)
        async with self._uow() as uow:
            reach = await uow.retrieval.reach(scope, probe)
            known = _Known(user_id, question, fields.model_dump_json(), limit, reach.state, str(reach.counts))
            ranking = self._rankings.get(known)
            if ranking is None and (self._neighbours is None or reach.passages == 0):
                ranking = await uow.retrieval.rank(reach, probe, limit=limit, rarity=rarity)
        if ranking is None:
            ranking = await self._mirrored(scope, reach, probe, limit)
        if reach.state is not None and limit <= LONGEST_REMEMBERED and ranking.fallback is None:
            self._rankings.put(known, ranking)
        return ranking

    async def _mirrored(self, scope: Scope, reach: Reach, probe: Probe, limit: int) -> Ranking:
        """With what the other store proposes; it is asked between two transactions, so the reach is found again."""
        assert self._neighbours is not None
        proposed = await self._neighbours.find(reach, probe)
        async with self._uow() as uow:
            reach = await uow.retrieval.reach(scope, probe)
            ranking = await uow.retrieval.rank(reach, probe, limit=limit, rarity=rarity, proposal=proposed.proposal)
        return replace(ranking, fallback=proposed.fallback)

    async def _memories(self, user_id: UUID, question: str, fields: SearchFields, probe: Probe, limit: int) -> Recalled:
        if "memories" not in fields.sources or fields.filters.are_for_documents:
            return Recalled(NOTHING, [], {})
        given = given_by(fields.filters)
        ask = partial(self._asked, preset=PRESETS[fields.quality])
        return await self._recall.search(
            user_id, question, given, probe, ask, project_ids=fields.project_ids, limit=limit
        )

    async def _asked(self, question: str, preset: Preset) -> Probe:
        return (await self._probe(question, preset))[0]

    async def check(self, actor: Principal, document_id: UUID, question: str) -> DocumentCheck:
        """Why this document does or does not come up for `question`.

        Raises:
            NotFound: there is no such document.
            ServiceUnavailable: the embedding model does not answer.
        """
        probe, *_ = await self._probe(question, PRESETS[CHECKED.quality])
        everywhere = Scope(actor.user_id)
        async with self._uow() as uow:
            document = await uow.documents.get_visible(actor, document_id)
            if document is None:
                raise NotFound("Document not found", document_id=str(document_id))
            all_found = await uow.retrieval.search(everywhere, probe, limit=CHECKED.top_k, rarity=rarity)
            inside = replace(everywhere, document_ids=[document_id])
            own = await uow.retrieval.search(inside, probe, limit=CHECKED.top_k, rarity=rarity)
            asked = question_terms(question)
            present = await uow.chunks.terms_of(document_id, list(asked))
        checked = Checked(document, question, all_found.matches, own.matches, asked, present)
        return check_result(checked, [_hit(match) for match in own.matches[:3]])

    async def is_found(self, user_id: UUID, document_id: UUID, text: str) -> bool:
        """Whether a search for words that stand in this document finds it, as it is stored now."""
        probe, *_ = await self._probe(text, PRESETS["draft"])
        scope = Scope(user_id, document_ids=[document_id])
        async with self._uow() as uow:
            ranking = await uow.retrieval.search(scope, probe, limit=1, rarity=rarity)
        return bool(ranking.matches)

    async def _probe(self, question: str, preset: Preset) -> tuple[Probe, FloatArray, dict[str, float]]:
        """The question as each leg takes it; both models work at the same time."""
        started = time.perf_counter()
        sparse = self._sparse if preset.is_sparse else None
        vector, expansion = await asyncio.gather(self._embedder.embed_query(question), _expanded(sparse, question))
        probe = Probe(
            vector=vector.tolist(),
            model=self._embedder.model,
            candidates=preset.candidates,
            term_ids=list(question_terms(question)),
            expansion=expansion,
            weights=_weights(question, self._embedder.model, sparse),
            implied_ids=implied_terms(sparse, expansion),
        )
        return probe, vector, {"embed": milliseconds_since(started)}

    async def _rerank(self, question: str, matches: Sequence[Match], count: int) -> Sequence[Match]:
        """The first `count` in the reranker's order; while it does not answer, all in the order they have."""
        assert self._reranker is not None
        try:
            scores = await self._reranker.rerank(question, [match.text for match in matches[:count]])
        except ServiceUnavailable as error:
            log.warning("retrieval.not_reranked", error=str(error.__cause__ or error))
            return matches
        scored = [replace(match, rerank=score) for match, score in zip(matches[:count], scores, strict=True)]
        return [*sorted(scored, key=lambda match: -(match.rerank or 0.0)), *matches[count:]]


def milliseconds_since(started: float) -> float:
    """`started` is a reading of `time.perf_counter`."""
    return round((time.perf_counter() - started) * 1000, 2)


async def _expanded(sparse: SparseEncoder | None, question: str) -> Mapping[int, float]:
    if sparse is None:
        return {}
    found = await sparse.expand_query(question)
    strongest = zip(found.ids[:QUESTION_PIECES].tolist(), found.weights[:QUESTION_PIECES].tolist(), strict=True)
    return dict(strongest)


def implied_terms(sparse: SparseEncoder | None, expansion: Mapping[int, float]) -> list[int]:
    found = [sparse.word(piece) for piece in expansion] if sparse else []
    return list(dict.fromkeys(term_id(term) for word in found if word for term in words(word)))


def _weights(question: str, model: str, sparse: SparseEncoder | None) -> Weights:
    known = max(FOREIGN_WEIGHT, latin_share(question))
    return Weights(
        dense=WEIGHTS.dense * (known if model in ENGLISH_MODELS else 1.0),
        text=WEIGHTS.text,
        sparse=0.0 if sparse is None else WEIGHTS.sparse * (known if sparse.model in ENGLISH_MODELS else 1.0),
    )


def _scope(user_id: UUID, fields: SearchFields) -> Scope:
    filters: SearchFilters = fields.filters
    predicate = None if filters.where is None else compile_condition(filters.where)
    return Scope(
        user_id,
        project_ids=fields.project_ids,
        document_ids=filters.document_ids,
        media_type=filters.media_type,
        metadata=filters.metadata,
        created_from=filters.created_from,
        created_before=filters.created_before,
        condition=predicate.path if predicate else None,
        operands=predicate.operands if predicate else {},
    )


def _hit(match: Match) -> HitRead:
    return HitRead(
        source="memories" if match.memory_id else "documents",
        id=match.id,
        document_id=None if match.memory_id else match.document_id,
        memory_id=match.memory_id,
        title=match.title,
        text=match.text,
        page=match.page,
        heading=match.heading,
        char_start=match.char_start,
        char_end=match.char_end,
        score=round(match.score, 6) if math.isfinite(match.score) else 0.0,
        scores=scores_of(match),
    )
