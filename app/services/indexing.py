"""What a passage is found by: its vector, its words and the word pieces it speaks of; made, proven, and made anew."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from pgvector import SparseVector

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder
from app.adapters.sparse import SparseEncoder
from app.adapters.splade import Expansion
from app.errors import AppError
from app.models import Chunk, Document
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.chunks import Renewal
from app.repositories.retrieval import Probe, Scope
from app.services.lexicon import TERM_IDS, passage_terms, question_terms, rarity

log = structlog.get_logger(__name__)

READ_BACK: Final = 10  # passages that each leg names when a document is looked for


class NotFoundAgain(AppError):
    """What was stored is not found by a search; it is rolled back, and tried again."""

    status, code = 500, "READ_BACK_FAILED"


@dataclass(frozen=True, slots=True)
class Indexed:
    """Everything that one passage is found by."""

    embedding: Sequence[float]
    term_ids: Sequence[int]
    terms: SparseVector
    expansion: SparseVector | None


class Indexer:
    def __init__(self, embedder: Embedder, sparse: SparseEncoder | None) -> None:
        self._embedder = embedder
        self._sparse = sparse

    @property
    def embedding_model(self) -> str:
        return self._embedder.model

    @property
    def expansion_model(self) -> str | None:
        return self._sparse.model if self._sparse else None

    async def index(self, texts: Sequence[str], headings: Sequence[str | None]) -> list[Indexed]:
        """In the order of `texts`. Headings count for words alone; what is said again is embedded once.

        Raises:
            ServiceUnavailable: a model does not work.
        """
        different = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        headed = [f"{heading or ''}\n{text}" for text, heading in zip(texts, headings, strict=True)]
        vectors, expansions, words = await asyncio.gather(
            self._embedder.embed_passages([*different]),
            self._expand([*different]),
            asyncio.to_thread(_all_terms, headed),
        )
        numbers = [different[text] for text in texts]
        return [
            Indexed(vectors[number].tolist(), ids, terms, expansions[number])
            for number, (ids, terms) in zip(numbers, words, strict=True)
        ]

    async def _expand(self, texts: Sequence[str]) -> Sequence[SparseVector | None]:
        if self._sparse is None:
            return [None] * len(texts)
        size = self._sparse.size
        return [_sparse_vector(expansion, size) for expansion in await self._sparse.expand_passages(texts)]


async def require_findable(uow: UnitOfWork, document: Document, user_id: UUID) -> None:
    """Look for the document by its first passage, with the very search that people use.

    Raises:
        NotFoundAgain: it is not found.
    """
    [first] = await uow.chunks.list_of(document.id, after=-1, limit=1)
    probe = Probe(
        vector=first.embedding,
        model=first.embedding_model,
        candidates=READ_BACK,
        term_ids=list(question_terms(first.text)),
    )
    scope = Scope(user_id, project_ids=[document.project_id], document_ids=[document.id])
    found = await uow.retrieval.search(scope, probe, limit=READ_BACK, rarity=rarity)
    if not found.matches:
        raise NotFoundAgain("The document was stored, but a search does not find it.", document_id=str(document.id))


class RenewalService:
    """Makes anew what other models made, or earlier versions left out, while searches go on with what is there."""

    def __init__(self, uow: OpenUnitOfWork, indexer: Indexer, *, batch_size: int) -> None:
        self._uow = uow
        self._indexer = indexer
        self._batch_size = batch_size

    async def renew(self) -> int:
        """All documents that need it, one after another; how many did. A document changes as a whole."""
        count = 0
        document_id = await self._next(None)
        while document_id is not None:
            await self.renew_document(document_id)
            count += 1
            document_id = await self._next(document_id)
        if count:
            log.info("passages.renewed", documents=count, model=self._indexer.embedding_model)
        return count

    async def count_waiting(self) -> int:
        """Passages that other models made, or that have no words yet."""
        models = self._indexer.embedding_model, self._indexer.expansion_model
        async with self._uow() as uow:
            return await uow.chunks.count_outdated(*models)

    async def renew_document(
        self, document_id: UUID, *, in_transaction: Callable[[UnitOfWork], Awaitable[None]] | None = None
    ) -> int:
        """How many passages it has; `in_transaction` is done first in the one that replaces them all."""
        passages = await self._passages(document_id)
        renewals: list[Renewal] = []
        for start in range(0, len(passages), self._batch_size):
            batch = passages[start : start + self._batch_size]
            made = await self._indexer.index([one.text for one in batch], [one.heading for one in batch])
            renewals += [self._renewal(one, indexed) for one, indexed in zip(batch, made, strict=True)]
        async with self._uow() as uow:
            if in_transaction is not None:
                await in_transaction(uow)
            if await uow.documents.lock(document_id) is None:
                return 0
            there = {one.id for one in await uow.chunks.list_of(document_id, after=-1, limit=len(passages) + 1)}
            if there == {one.id for one in passages}:  # else it was read anew meanwhile
                await uow.chunks.renew(renewals)
        return len(passages)

    async def _next(self, after: UUID | None) -> UUID | None:
        models = self._indexer.embedding_model, self._indexer.expansion_model
        async with self._uow() as uow:
            return await uow.chunks.next_outdated(*models, after=after)

    async def _passages(self, document_id: UUID) -> list[Chunk]:
        found: list[Chunk] = []
        while True:
            async with self._uow() as uow:
                after = found[-1].ordinal if found else -1
                page = await uow.chunks.list_of(document_id, after=after, limit=1000)
            if not page:
                return found
            found += page

    def _renewal(self, chunk: Chunk, made: Indexed) -> Renewal:
        return Renewal(
            chunk=chunk,
            embedding=made.embedding,
            embedding_model=self._indexer.embedding_model,
            term_ids=made.term_ids,
            terms=made.terms,
            expansion=made.expansion,
            expansion_model=self._indexer.expansion_model,
        )


def _all_terms(texts: Sequence[str]) -> list[tuple[Sequence[int], SparseVector]]:
    found = [passage_terms(text) for text in texts]
    return [
        (
            one.ids,
            SparseVector({term_id - 1: weight for term_id, weight in zip(one.ids, one.weights, strict=True)}, TERM_IDS),
        )
        for one in found
    ]


def _sparse_vector(expansion: Expansion, size: int) -> SparseVector:
    weights: FloatArray = expansion.weights
    return SparseVector(dict(zip(expansion.ids.tolist(), weights.tolist(), strict=True)), size)
