"""From a stored file to passages that can be searched. Each step is kept, so another attempt goes on from the last."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from app.adapters.embeddings import Embedder
from app.adapters.extraction import Extracted, Extractor, Heading, Page
from app.adapters.storage import Storage
from app.errors import AppError, ExtractionFailed, NotFound
from app.models import ChunkDraft, Document, DocumentStatus, DocumentTextDraft, Task
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.chunking import Chunk, chunk
from app.services.indexing import Indexed, Indexer, require_findable
from app.services.running_tasks import RunningTask
from app.services.task_endings import TaskWasCancelled
from app.telemetry.meters import INGEST_SECONDS, INGESTED, PASSAGES
from app.telemetry.timing import stage

READ, SPLIT, EMBEDDED = 0.1, 0.15, 0.95  # of the whole way, when that step is done
BATCHES_AT_ONCE = 2  # that are embedded: the last passages of one leave processors to the next
PUBLISH_SIZE = 500  # passages per statement: the vector index takes milliseconds for each


@dataclass(frozen=True, slots=True)
class PassageSize:
    """In tokens of the embedding model; a passage begins up to `overlap` tokens before the last one ended."""

    max_tokens: int
    overlap: int


class IngestionService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        storage: Storage,
        extractor: Extractor,
        embedder: Embedder,
        indexer: Indexer,
        *,
        batch_size: int,
    ) -> None:
        self._uow = uow
        self._storage = storage
        self._extractor = extractor
        self._embedder = embedder
        self._indexer = indexer
        self._batch_size = batch_size  # passages; so many are embedded again when a worker is killed

    async def ingest(self, task: RunningTask, document_id: UUID, size: PassageSize) -> Mapping[str, Any]:
        """Read, split, embed and publish; a document that could not be read says why.

        Raises:
            ExtractionFailed: the file cannot be read, and will not be by trying again.
            NotFound: the document was deleted meanwhile.
            TaskLost: another worker goes on with it.
        """
        with stage(INGEST_SECONDS, "read", "ingest"):
            found = await self._read(task, document_id)
        await task.progress(READ, "splitting the text into passages")
        with stage(INGEST_SECONDS, "split", "ingest"):
            passages = await self._split(found, size)
        with stage(INGEST_SECONDS, "embed", "ingest"):
            await self._embed(task, document_id, passages)
        with stage(INGEST_SECONDS, "publish", "ingest"):
            result = await self._publish(task, document_id, found)
        INGESTED.labels("ready").inc()
        PASSAGES.inc(result["chunk_count"])
        return result

    async def abandon(self, uow: UnitOfWork, task: Task, error: AppError) -> None:
        """Say in the document why its task ended without success."""
        message = "Reading was cancelled." if isinstance(error, TaskWasCancelled) else error.message
        INGESTED.labels("failed").inc()
        await uow.documents.fail(UUID(task.params["document_id"]), {"code": error.code, "message": message})

    async def _read(self, task: RunningTask, document_id: UUID) -> Extracted:
        async with self._uow() as uow:
            await task.hold(uow)
            document = _there(await uow.documents.start_processing(document_id), document_id)
            kept = await uow.documents.get_text_draft(document_id)
        if kept is not None:
            return _from_row(kept)
        await task.progress(0.0, "reading the file")
        found = await self._extract(document)
        async with self._uow() as uow:
            await task.hold(uow)
            _there(await uow.documents.get(document_id), document_id)
            await uow.documents.put_text_draft(_to_row(document_id, found))
            if found.title:
                await uow.documents.suggest_title(document_id, found.title)
        return found

    async def _extract(self, document: Document) -> Extracted:
        try:
            async with self._storage.local(document.sha256) as path:
                return await self._extractor.extract(path, document.media_type)
        except NotFound as error:
            raise ExtractionFailed("FILE_MISSING", "The file is not in the store any more.") from error

    async def _split(self, found: Extracted, size: PassageSize) -> list[Chunk]:
        max_tokens = min(size.max_tokens, self._embedder.max_tokens)
        spans = await self._embedder.token_spans(found.text)
        return await asyncio.to_thread(chunk, found, spans, max_tokens=max_tokens, overlap=size.overlap)

    async def _embed(self, task: RunningTask, document_id: UUID, passages: Sequence[Chunk]) -> None:
        done = await self._resume(task, document_id, passages)
        async with aclosing(self._indexed(passages[done:])) as indexed:
            await task.progress(_share(done, len(passages)), f"embedding {done} of {len(passages)} passages")
            async for batch in indexed:
                drafts = [self._draft(document_id, passage, found) for passage, found in batch]
                async with self._uow() as uow:
                    await task.hold(uow)
                    _there(await uow.documents.get(document_id), document_id)
                    await uow.chunks.add_drafts(drafts)
                done += len(batch)
                await task.progress(_share(done, len(passages)), f"embedding {done} of {len(passages)} passages")

    async def _indexed(self, passages: Sequence[Chunk]) -> AsyncGenerator[list[tuple[Chunk, Indexed]]]:
        """Batches in order; the next ones are in the works meanwhile, so that no model waits for the database."""
        batches = [passages[first : first + self._batch_size] for first in range(0, len(passages), self._batch_size)]
        waiting = deque(batches)
        working: deque[asyncio.Task[list[Indexed]]] = deque()
        try:
            for batch in batches:
                while waiting and len(working) < BATCHES_AT_ONCE:
                    working.append(asyncio.create_task(self._index(waiting.popleft())))
                yield list(zip(batch, await working.popleft(), strict=True))
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def _index(self, batch: Sequence[Chunk]) -> list[Indexed]:
        return await self._indexer.index([one.text for one in batch], [one.heading for one in batch])

    async def _resume(self, task: RunningTask, document_id: UUID, passages: Sequence[Chunk]) -> int:
        """How many passages are embedded already; drafts that do not fit these passages are dropped."""
        async with self._uow() as uow:
            await task.hold(uow)
            last = await uow.chunks.last_draft(document_id)
            if last is None:
                return 0
            models = last.embedding_model, last.expansion_model
            if models == (self._indexer.embedding_model, self._indexer.expansion_model) and last.ordinal < len(
                passages
            ):
                passage = passages[last.ordinal]
                if (last.char_start, last.char_end) == (passage.char_start, passage.char_end):
                    return last.ordinal + 1
            await uow.chunks.delete_drafts(document_id)
        return 0

    def _draft(self, document_id: UUID, passage: Chunk, made: Indexed) -> ChunkDraft:
        return ChunkDraft(
            document_id=document_id,
            ordinal=passage.ordinal,
            text=passage.text,
            char_start=passage.char_start,
            char_end=passage.char_end,
            page=passage.page,
            heading=passage.heading,
            token_count=passage.token_count,
            embedding=made.embedding,
            embedding_model=self._indexer.embedding_model,
            term_ids=made.term_ids,
            terms=made.terms,
            expansion=made.expansion,
            expansion_model=self._indexer.expansion_model,
        )

    async def _publish(self, task: RunningTask, document_id: UUID, found: Extracted) -> Mapping[str, Any]:
        """Everything becomes searchable at once, is found by a search, and the task is done: all, or nothing.

        The task's row is not locked before the end, since publishing may take seconds, and a stop must get through.
        """
        async with self._uow() as uow:
            document = _there(await uow.documents.get(document_id), document_id)
            await uow.documents.publish_text_draft(document_id)
            count = await self._publish_passages(task, uow, document)
            document.status = DocumentStatus.READY
            document.page_count = len(found.pages) or None
            document.chunk_count = count
            await uow.flush()
            reader = await uow.projects.get_member_id(document.project_id)
            if count and reader is not None:
                await require_findable(uow, document, reader)
            result = {"document_id": str(document_id), "page_count": document.page_count, "chunk_count": count}
            await task.finish(uow, result)
        return result

    async def _publish_passages(self, task: RunningTask, uow: UnitOfWork, document: Document) -> int:
        count = await uow.chunks.count_drafts(document.id)
        await uow.chunks.delete_of(document.id)
        for first in range(0, count, PUBLISH_SIZE):
            share = EMBEDDED + (1 - EMBEDDED) * first / count
            await task.progress(share, f"made {first} of {count} passages searchable")
            await uow.chunks.publish_drafts(document.id, document.project_id, first=first, size=PUBLISH_SIZE)
        await uow.chunks.publish_terms(document.id)
        await uow.chunks.delete_drafts(document.id)
        return count


def _there(document: Document | None, document_id: UUID) -> Document:
    if document is None:
        raise NotFound("The document was deleted.", document_id=str(document_id))
    return document


def _share(done: int, count: int) -> float:
    return SPLIT + (EMBEDDED - SPLIT) * done / max(count, 1)


def _to_row(document_id: UUID, found: Extracted) -> DocumentTextDraft:
    return DocumentTextDraft(
        document_id=document_id,
        text=found.text,
        pages=[asdict(page) for page in found.pages],
        headings=[asdict(heading) for heading in found.headings],
    )


def _from_row(kept: DocumentTextDraft) -> Extracted:
    return Extracted(
        text=kept.text,
        pages=tuple(Page(**page) for page in kept.pages),
        headings=tuple(Heading(**heading) for heading in kept.headings),
        title=None,  # was taken over when the text was kept
    )
