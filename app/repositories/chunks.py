"""Passages: made as drafts, published together. The search over them is in `retrieval.py`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.models import Chunk, ChunkDraft

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
        self._session.add_all(drafts)
        await self._session.flush()

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

    async def _delete(self, entity: type[Any], document_id: UUID) -> None:
        statement = delete(entity).where(entity.document_id == document_id)
        await self._session.execute(statement, execution_options={"synchronize_session": False})
