"""Keeps another store's vectors in line with the passages that there are.

What changes is noted in the transaction that changes it; here it is told, document by document, as soon as the store
can be reached, and forgotten only then.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from app.adapters.chroma import ChromaVectors, is_ours
from app.adapters.embeddings import Embedder
from app.errors import ServiceUnavailable
from app.repositories import OpenUnitOfWork
from app.repositories.vectors import Change, MirroredPassage

log = structlog.get_logger(__name__)

DOCUMENTS_AT_ONCE: Final = 20
PASSAGES_AT_ONCE: Final = 500  # some megabytes as JSON
IDS_AT_ONCE: Final = 1000
HOLD: Final = timedelta(minutes=2)  # a dead worker's documents are taken over then
LONGEST_PAUSE: Final = 4.0  # seconds between two tries while the store does not answer


class VectorMirror:
    """`vectors` is None where PostgreSQL alone compares vectors, and so nothing is mirrored."""

    def __init__(self, uow: OpenUnitOfWork, vectors: ChromaVectors | None, embedder: Embedder) -> None:
        self._uow = uow
        self._vectors = vectors
        self._embedder = embedder
        self._is_ended = False
        self._pause = 0.5

    async def run_due(self) -> None:
        """Tell the store everything that it has not been told of; while it does not answer, wait a little."""
        if self._vectors is None:
            await self._end()
            return
        try:
            collection_id = await self._begin(self._vectors)
            while changes := await self._take(collection_id):
                await self._tell(self._vectors, collection_id, changes)
        except ServiceUnavailable:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self._pause = 0.5

    async def repair(self) -> tuple[int, int]:
        """Have everything told again, and take out what belongs to nothing: (documents that wait, vectors removed).

        Raises:
            ServiceUnavailable: the store does not answer.
        """
        if self._vectors is None:
            await self._end()
            return 0, 0
        collection_id = await self._begin(self._vectors)
        removed = await self._remove_strays(self._vectors, collection_id)
        async with self._uow() as uow:
            await uow.vectors.note_all()
            return await uow.vectors.count_waiting(), removed

    async def _end(self) -> None:
        if not self._is_ended:
            async with self._uow() as uow:
                await uow.vectors.end()
            self._is_ended = True

    async def _begin(self, vectors: ChromaVectors) -> str:
        """Asked each time: a store that lost its data has made another collection, and is told of everything."""
        collection_id = await vectors.open(self._embedder.model, self._embedder.dimensions)
        async with self._uow() as uow:
            if await uow.vectors.begin(collection_id, self._embedder.model):
                log.info("vectors.mirror_begun", collection=collection_id, model=self._embedder.model)
        return collection_id

    async def _take(self, collection_id: str) -> Sequence[Change]:
        async with self._uow() as uow:
            return await uow.vectors.take(collection_id, most=DOCUMENTS_AT_ONCE, hold=HOLD)

    async def _tell(self, vectors: ChromaVectors, collection_id: str, changes: Sequence[Change]) -> None:
        document_ids = [change.document_id for change in changes]
        try:
            there = await vectors.ids_of(collection_id, document_ids)
            there -= await self._put(vectors, collection_id, document_ids)
            for ids in _parts(sorted(there), IDS_AT_ONCE):
                await vectors.remove(collection_id, ids)
        except BaseException:
            async with self._uow() as uow:
                await uow.vectors.release(changes)
            raise
        async with self._uow() as uow:
            await uow.vectors.settle(changes)

    async def _put(self, vectors: ChromaVectors, collection_id: str, document_ids: Sequence[UUID]) -> set[str]:
        """The ids of what these documents have."""
        told: set[str] = set()
        after: UUID | None = None
        while True:
            async with self._uow(is_reading=True) as uow:
                passages = await uow.vectors.passages_of(
                    document_ids, self._embedder.model, after=after, limit=PASSAGES_AT_ONCE
                )
            if not passages:
                return told
            ids = [str(passage.id) for passage in passages]
            await vectors.put(collection_id, ids, [one.embedding for one in passages], [*map(_metadata, passages)])
            told |= set(ids)
            after = passages[-1].id

    async def _remove_strays(self, vectors: ChromaVectors, collection_id: str) -> int:
        removed = offset = 0
        while ids := await vectors.page(collection_id, offset=offset, limit=IDS_AT_ONCE):
            async with self._uow(is_reading=True) as uow:
                ours = [UUID(each) for each in ids if is_ours(each)]
                known = {str(each) for each in await uow.vectors.those_there(ours, self._embedder.model)}
            strays = [each for each in ids if each not in known]
            if strays:
                await vectors.remove(collection_id, strays)
            removed += len(strays)
            offset += len(ids) - len(strays)
        return removed


def _metadata(passage: MirroredPassage) -> dict[str, str]:
    return {"document_id": str(passage.document_id), "project_id": str(passage.project_id)}


def _parts(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
