"""Passages: made as drafts, published together. The search over them is in `retrieval.py`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector import SparseVector
from sqlalchemy import Select, Uuid, bindparam, delete, false, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.models import Chunk, ChunkDraft, ChunkTerms, Document, DocumentStatus
from app.repositories.copying import copy_rows

PASSAGE_COLUMNS = (
    "ordinal",
    "text",
    "char_start",
    "char_end",
    "page",
    "heading",
    "token_count",
    "embedding",
    "embedding_model",
)
UNSYNCHRONIZED = {"synchronize_session": False}
TERM_COLUMNS = ("term_ids", "terms", "expansion", "expansion_model")
DRAFT_COLUMNS = ("document_id", *PASSAGE_COLUMNS, *TERM_COLUMNS)


@dataclass(frozen=True, slots=True)
class Renewal:
    """A passage's vector and words, made anew."""

    chunk: Chunk
    embedding: Sequence[float]
    embedding_model: str
    term_ids: Sequence[int]
    terms: SparseVector
    expansion: SparseVector | None
    expansion_model: str | None


class ChunkRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_of(self, document_id: UUID, *, after: int, limit: int) -> Sequence[Chunk]:
        """Passages of a document behind the ordinal `after`, in order."""
        query = select(Chunk).where(Chunk.document_id == document_id, Chunk.ordinal > after)
        return (await self._session.scalars(query.order_by(Chunk.ordinal).limit(limit))).all()

    async def last_draft(self, document_id: UUID) -> ChunkDraft | None:
        """How far an earlier attempt came."""
        query = select(ChunkDraft).where(ChunkDraft.document_id == document_id)
        return (await self._session.scalars(query.order_by(ChunkDraft.ordinal.desc()).limit(1))).one_or_none()

    async def add_drafts(self, drafts: Sequence[ChunkDraft]) -> None:
        """In a transaction that has begun."""
        rows = ([getattr(draft, name) for name in DRAFT_COLUMNS] for draft in drafts)
        await copy_rows(self._session, ChunkDraft, DRAFT_COLUMNS, rows)

    async def count_drafts(self, document_id: UUID) -> int:
        query = select(func.count()).where(ChunkDraft.document_id == document_id)
        return await self._session.scalar(query) or 0

    async def delete_drafts(self, document_id: UUID) -> None:
        await self._delete(ChunkDraft, document_id)

    async def delete_of(self, document_id: UUID) -> None:
        await self._delete(Chunk, document_id)

    async def publish_drafts(self, document_id: UUID, project_id: UUID, *, first: int, size: int) -> None:
        """Make passages of the drafts with the ordinals from `first` on, at most `size`; each takes milliseconds."""
        made = (
            func.unnest(bindparam("ids", [uuid7() for _ in range(size)], ARRAY(Uuid)))
            .table_valued("id", with_ordinality="position")
            .render_derived("made")
        )
        columns = [getattr(ChunkDraft, name) for name in PASSAGE_COLUMNS]
        drafts = (
            select(made.c.id, literal(document_id), literal(project_id), *columns)
            .join(ChunkDraft, ChunkDraft.ordinal == first + made.c.position - 1)
            .where(ChunkDraft.document_id == document_id)
        )
        names = ["id", "document_id", "project_id", *PASSAGE_COLUMNS]
        await self._session.execute(insert(Chunk).from_select(names, drafts, include_defaults=False))

    async def publish_terms(self, document_id: UUID) -> None:
        """Make the words of all its passages searchable; last in a transaction, since it counts for the project."""
        terms = (
            select(Chunk.id, Chunk.document_id, Chunk.project_id, *(getattr(ChunkDraft, name) for name in TERM_COLUMNS))
            .join(ChunkDraft, (ChunkDraft.document_id == Chunk.document_id) & (ChunkDraft.ordinal == Chunk.ordinal))
            .where(Chunk.document_id == document_id)
        )
        names = ["chunk_id", "document_id", "project_id", *TERM_COLUMNS]
        await self._session.execute(insert(ChunkTerms).from_select(names, terms, include_defaults=False))

    async def terms_of(self, document_id: UUID, term_ids: Sequence[int]) -> set[int]:
        """Those of `term_ids` that any passage of the document has."""
        each = select(func.unnest(ChunkTerms.term_ids).label("term_id")).where(ChunkTerms.document_id == document_id)
        found = each.subquery()
        query = select(found.c.term_id).where(found.c.term_id.in_(term_ids)).distinct()
        return set(await self._session.scalars(query))

    async def next_outdated(
        self, embedding_model: str, expansion_model: str | None, *, after: UUID | None
    ) -> UUID | None:
        """The next document behind `after` with a passage that other models made, or that has no words yet."""
        query = _outdated(select(Chunk.document_id), embedding_model, expansion_model)
        if after is not None:
            query = query.where(Chunk.document_id > after)
        found: UUID | None = await self._session.scalar(query.order_by(Chunk.document_id).limit(1))
        return found

    async def count_outdated(self, embedding_model: str, expansion_model: str | None) -> int:
        query = _outdated(select(func.count()).select_from(Chunk), embedding_model, expansion_model)
        return await self._session.scalar(query) or 0

    async def renew(self, renewals: Sequence[Renewal]) -> None:
        """Replace vectors and words of passages that are still there."""
        for renewal in renewals:
            values = {"embedding": renewal.embedding, "embedding_model": renewal.embedding_model}
            await self._session.execute(
                update(Chunk).where(Chunk.id == renewal.chunk.id).values(values), execution_options=UNSYNCHRONIZED
            )
        ids = [renewal.chunk.id for renewal in renewals]
        await self._session.execute(
            delete(ChunkTerms).where(ChunkTerms.chunk_id.in_(ids)), execution_options=UNSYNCHRONIZED
        )
        rows = [
            {
                "chunk_id": renewal.chunk.id,
                "document_id": renewal.chunk.document_id,
                "project_id": renewal.chunk.project_id,
                **{name: getattr(renewal, name) for name in TERM_COLUMNS},
            }
            for renewal in renewals
        ]
        if rows:
            await self._session.execute(insert(ChunkTerms), rows)
            await self._touch({renewal.chunk.document_id for renewal in renewals})

    async def _touch(self, document_ids: Collection[UUID]) -> None:
        """Give the documents' rows new versions that say the same, so that what was found before is searched anew."""
        unchanged = update(Document).where(Document.id.in_(document_ids)).values(updated_at=Document.updated_at)
        await self._session.execute(unchanged, execution_options=UNSYNCHRONIZED)

    async def _delete(self, entity: type[Any], document_id: UUID) -> None:
        statement = delete(entity).where(entity.document_id == document_id)
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)


def _outdated(query: Select[Any], embedding_model: str, expansion_model: str | None) -> Select[Any]:
    """Narrowed to passages of documents that are ready and were made otherwise than is done now."""
    is_outdated = or_(
        Chunk.embedding_model != embedding_model,
        ChunkTerms.chunk_id.is_(None),
        ChunkTerms.expansion_model.is_distinct_from(expansion_model) if expansion_model else false(),
    )
    return (
        query.join(Document, Document.id == Chunk.document_id)
        .outerjoin(ChunkTerms, ChunkTerms.chunk_id == Chunk.id)
        .where(Document.status == DocumentStatus.READY, is_outdated)
    )
