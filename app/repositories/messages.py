"""What was said in a room."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Message


class MessageRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, message: Message) -> None:
        self._session.add(message)

    async def get(self, session_id: UUID, message_id: UUID) -> Message | None:
        return await self._session.scalar(_in_room(session_id).where(Message.id == message_id))

    async def get_sent(self, session_id: UUID, user_id: UUID, client_id: str) -> Message | None:
        """What this author sent under `client_id`."""
        query = _in_room(session_id).where(Message.user_id == user_id, Message.client_id == client_id)
        return await self._session.scalar(query)

    async def get_answer(self, session_id: UUID, in_reply_to: UUID) -> Message | None:
        """What the spirit said to a message."""
        return await self._session.scalar(
            _in_room(session_id).where(Message.is_spirit, Message.in_reply_to == in_reply_to)
        )

    async def list_latest(
        self, session_id: UUID, *, before_seq: int | None, before: UUID | None, limit: int
    ) -> Sequence[Message]:
        """The newest first; those before a number, or before a message."""
        query = _in_room(session_id)
        if before_seq is not None:
            query = query.where(Message.seq < before_seq)
        if before is not None:
            query = query.where(Message.seq < _seq_of(before))
        return (await self._session.scalars(query.order_by(Message.seq.desc()).limit(limit))).all()

    async def list_after(
        self, session_id: UUID, seq: int, *, after: UUID | None = None, limit: int
    ) -> Sequence[Message]:
        """The oldest first; those after a number, and after a message."""
        query = _in_room(session_id).where(Message.seq > seq)
        if after is not None:
            query = query.where(Message.seq > _seq_of(after))
        return (await self._session.scalars(query.order_by(Message.seq).limit(limit))).all()


def _in_room(session_id: UUID) -> Select[Message]:
    return select(Message).where(Message.session_id == session_id)


def _seq_of(message_id: UUID) -> ScalarSelect[int]:
    return select(Message.seq).where(Message.id == message_id).scalar_subquery()
