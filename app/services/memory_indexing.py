"""Makes memories searchable, right after they are written: workers take what waits, a few at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from app.adapters.embeddings import Embedder
from app.adapters.extraction import Extracted
from app.errors import ServiceUnavailable
from app.repositories import OpenUnitOfWork
from app.repositories.memories import IN_BULK
from app.repositories.recall import Findable, Wanted
from app.services.chunking import chunk
from app.services.indexing import Indexer

log = structlog.get_logger(__name__)

BATCH_SIZE: Final = 64  # memories
PAUSE: Final = timedelta(seconds=30)  # for which nobody else takes what somebody has taken
LONGEST_WHOLE: Final = 600  # characters: a shorter text is one passage
PASSAGE_TOKENS, OVERLAP = 200, 30


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage to be: `text` stands in the memory, `spoken` is what is embedded, `around` counts for words alone."""

    memory_id: UUID
    text: str
    char_start: int
    char_end: int
    spoken: str
    around: str


class MemoryIndexing:
    def __init__(self, uow: OpenUnitOfWork, indexer: Indexer, embedder: Embedder) -> None:
        self._uow = uow
        self._indexer = indexer
        self._embedder = embedder

    async def run_due(self) -> None:
        """Everything that waits now."""
        is_more = True
        while is_more:
            is_more = await self._run_some()

    async def renew(self) -> None:
        """What other models made waits again, as long as there is any."""
        models = self._indexer.embedding_model, self._indexer.expansion_model
        while True:
            async with self._uow() as uow:
                outdated = await uow.recall.list_outdated(*models, limit=BATCH_SIZE)
                await uow.memories.want_indexing(outdated, priority=IN_BULK)
            if not outdated:
                return
            await self.run_due()

    async def _run_some(self) -> bool:
        """Whether there may be more."""
        async with self._uow() as uow:
            wanted = await uow.recall.take_wanted(limit=BATCH_SIZE, pause=PAUSE)
        if not wanted:
            return False
        try:
            made = await self._make(wanted)
        except ServiceUnavailable as error:  # they are taken again after a pause
            log.warning("memories.not_indexed", count=len(wanted), error=error.message)
            return False
        tickets = {one.memory_id: one.ticket for one in wanted}
        model, sparse = self._indexer.embedding_model, self._indexer.expansion_model
        async with self._uow() as uow:
            await uow.recall.put_passages(made, tickets, model=model, sparse=sparse)
        return len(wanted) == BATCH_SIZE

    async def _make(self, wanted: Sequence[Wanted]) -> Mapping[UUID, Sequence[Findable]]:
        pieces = [piece for one in wanted for piece in await self._pieces(one)]
        indexed = await self._indexer.index([one.spoken for one in pieces], [one.around for one in pieces])
        made: dict[UUID, list[Findable]] = {one.memory_id: [] for one in wanted}
        for piece, found in zip(pieces, indexed, strict=True):
            made[piece.memory_id].append(
                Findable(
                    piece.text,
                    piece.char_start,
                    piece.char_end,
                    found.embedding,
                    found.term_ids,
                    found.terms,
                    found.expansion,
                )
            )
        return made

    async def _pieces(self, wanted: Wanted) -> Sequence[Piece]:
        """Of the content; of the title where there is none. What the content does not begin with is said before it."""
        text = text_of(wanted.title, wanted.content)
        around = " ".join(wanted.around)
        named = "" if text.lstrip().startswith(wanted.title.rstrip("\u2026")) else f"{wanted.title}\n"
        return [
            Piece(wanted.memory_id, text[start:end], start, end, named + text[start:end], around)
            for start, end in await self._cut(text)
        ]

    async def _cut(self, text: str) -> Sequence[tuple[int, int]]:
        if len(text) <= LONGEST_WHOLE:
            return [(0, len(text))]
        spans = await self._embedder.token_spans(text)
        most = min(PASSAGE_TOKENS, self._embedder.max_tokens)
        found = await asyncio.to_thread(chunk, Extracted(text, (), (), None), spans, max_tokens=most, overlap=OVERLAP)
        return [(one.char_start, one.char_end) for one in found]


def text_of(title: str, content: str) -> str:
    """What is searched and quoted; offsets count its code points."""
    return content if content.strip() else title
