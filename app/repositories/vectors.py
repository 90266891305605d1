"""What the mirror of the passages' vectors is, and what it has to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Chunk, Document, VectorChange, VectorMirror
from app.repositories.taking import taken

UNSYNCHRONIZED = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Mirror:
    """The collection that is to be asked, the model of its vectors, and the documents that it has to be told of."""

    collection_id: str
    embedding_model: str
    untold_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Change:
    document_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class MirroredPassage:
    """What the mirror knows of a passage."""

    id: UUID
    document_id: UUID
    project_id: UUID
    embedding: Sequence[float]


class VectorRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def mirror(self, *, most: int) -> Mirror | None:
        """None while nothing mirrors; at most `most` documents are named."""
        row = (await self._session.execute(select(VectorMirror.collection_id, VectorMirror.embedding_model))).first()
        if row is None:
            return None
        return Mirror(*row, (await self._session.scalars(select(VectorChange.document_id).limit(most))).all())

    async def begin(self, collection_id: str, embedding_model: str) -> bool:
        """From now on this collection mirrors, and has to be told of everything; False if it does already."""
        same = select(VectorMirror).filter_by(collection_id=collection_id, embedding_model=embedding_model)
        if await self._session.scalar(same) is not None:
            return False
        # Who is adding passages at this moment does not see yet that they are to be noted: their end is waited for.
        await self._session.execute(text("LOCK TABLE chunks IN SHARE ROW EXCLUSIVE MODE"))
        if await self._session.scalar(same) is not None:
            return False
        await self._session.execute(delete(VectorMirror), execution_options=UNSYNCHRONIZED)
        made = {"collection_id": collection_id, "embedding_model": embedding_model}
        await self._session.execute(insert(VectorMirror).values(made))
        await self.note_all()
        return True

    async def end(self) -> None:
        """Nothing mirrors any more, and nothing is noted."""
        await self._session.execute(delete(VectorMirror), execution_options=UNSYNCHRONIZED)
        await self._session.execute(delete(VectorChange), execution_options=UNSYNCHRONIZED)

    async def note_all(self) -> None:
        """The mirror has to be told of every document."""
        await self._note(upsert(VectorChange).from_select(["document_id"], select(Document.id).order_by(Document.id)))

    async def note(self, document_ids: Sequence[UUID]) -> None:
        """The mirror has to be told of these."""
        await self._note(upsert(VectorChange).values([{"document_id": one} for one in sorted(document_ids)]))

    async def take(self, collection_id: str, *, most: int, hold: timedelta) -> list[Change]:
        """What has waited longest, as long as this collection mirrors; nobody else takes it for `hold`."""
        is_free = or_(VectorChange.held_until.is_(None), VectorChange.held_until < func.clock_timestamp())
        mirrors = select(VectorMirror).filter_by(collection_id=collection_id).exists()
        due = select(VectorChange.document_id).where(is_free, mirrors).order_by(VectorChange.version).limit(most)
        rows = await self._session.execute(
            update(VectorChange)
            .where(VectorChange.document_id.in_(taken(due)))
            .values(held_until=func.clock_timestamp() + hold)
            .returning(VectorChange.document_id, VectorChange.version),
            execution_options=UNSYNCHRONIZED,
        )
        return [Change(*row) for row in rows]

    async def settle(self, changes: Sequence[Change]) -> None:
        """The mirror was told of these; what has changed meanwhile, or was told by somebody else, is told again."""
        versions = [change.version for change in changes]
        told = delete(VectorChange).where(VectorChange.version.in_(versions)).returning(VectorChange.document_id)
        done = set(await self._session.scalars(told, execution_options=UNSYNCHRONIZED))
        again = [change.document_id for change in changes if change.document_id not in done]
        if again:
            await self.note(again)

    async def release(self, changes: Sequence[Change]) -> None:
        """The mirror could not be told: whoever is next may try."""
        ids = [change.document_id for change in changes]
        free = update(VectorChange).where(VectorChange.document_id.in_(ids)).values(held_until=None)
        await self._session.execute(free, execution_options=UNSYNCHRONIZED)

    async def passages_of(
        self, document_ids: Sequence[UUID], embedding_model: str, *, after: UUID | None, limit: int
    ) -> list[MirroredPassage]:
        """Those that this model has embedded, by id."""
        query = select(Chunk.id, Chunk.document_id, Chunk.project_id, Chunk.embedding).where(
            Chunk.document_id.in_(document_ids), Chunk.embedding_model == embedding_model
        )
        if after is not None:
            query = query.where(Chunk.id > after)
        rows = await self._session.execute(query.order_by(Chunk.id).limit(limit))
        return [MirroredPassage(*row) for row in rows]

    async def those_there(self, passage_ids: Sequence[UUID], embedding_model: str) -> set[UUID]:
        """Of these the ones that are passages of this model."""
        query = select(Chunk.id).where(Chunk.id.in_(passage_ids), Chunk.embedding_model == embedding_model)
        return set(await self._session.scalars(query))

    async def count_waiting(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(VectorChange)) or 0

    async def _note(self, statement: Insert) -> None:
        again = {"version": statement.excluded.version, "held_until": None}
        await self._session.execute(statement.on_conflict_do_update(index_elements=["document_id"], set_=again))
