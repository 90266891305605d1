"""What the spirit remembers of a room beyond its last messages."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Message, RoomSummary


class RoomSummaryRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, session_id: UUID) -> RoomSummary | None:
        return await self._session.get(RoomSummary, session_id, populate_existing=True)

    async def count_beyond(self, session_id: UUID, seq: int, *, enough: int) -> int:
        """How many messages came after this number; counted up to `enough`."""
        some = select(Message.id).where(Message.session_id == session_id, Message.seq > seq).limit(enough).subquery()
        return await self._session.scalar(select(func.count()).select_from(some)) or 0

    async def list_last(
        self, session_id: UUID, after_seq: int, before_seq: int | None, *, limit: int
    ) -> Sequence[Message]:
        """The last messages between these numbers that were not deleted, the oldest first."""
        there = (Message.session_id == session_id, Message.seq > after_seq, Message.deleted_at.is_(None))
        query = select(Message).where(*there)
        if before_seq is not None:
            query = query.where(Message.seq < before_seq)
        return list(reversed((await self._session.scalars(query.order_by(Message.seq.desc()).limit(limit))).all()))

    async def has_changed(self, session_id: UUID, *, upto_seq: int, since: datetime) -> bool:
        """Whether a message up to this number was edited or deleted since then."""
        later = or_(Message.edited_at >= since, Message.deleted_at >= since)
        query = select(Message.id).where(Message.session_id == session_id, Message.seq <= upto_seq, later)
        return await self._session.scalar(query.limit(1)) is not None

    async def put(self, session_id: UUID, upto_seq: int, text: str) -> None:
        row = insert(RoomSummary).values(session_id=session_id, upto_seq=upto_seq, text=text)
        changes = {"upto_seq": upto_seq, "text": text, "created_at": func.clock_timestamp()}
        await self._session.execute(row.on_conflict_do_update(index_elements=["session_id"], set_=changes))

    async def forget(self, session_id: UUID, *, told_of: int) -> None:
        """What tells of the message with this number is no longer true."""
        stale = (RoomSummary.session_id == session_id, RoomSummary.upto_seq >= told_of)
        await self._session.execute(delete(RoomSummary).where(*stale), execution_options={"synchronize_session": False})
