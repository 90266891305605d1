"""What was said in a room."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, delete, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_expression

from app.models import Message, Reaction, ReadMarker


class MessageRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, message: Message) -> None:
        self._session.add(message)

    async def get(self, session_id: UUID, message_id: UUID) -> Message | None:
        return await self._session.scalar(_in_room(session_id).where(Message.id == message_id))

    async def get_with_reactions(self, session_id: UUID, message_id: UUID) -> Message | None:
        query = _with_reactions(session_id).where(Message.id == message_id)
        return await self._session.scalar(query, execution_options={"populate_existing": True})

    async def lock(self, session_id: UUID, message_id: UUID) -> Message | None:
        """For a change: nobody else changes the message, or reacts to it, until this transaction ends."""
        return await self._session.scalar(_in_room(session_id).where(Message.id == message_id).with_for_update())

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
        query = _with_reactions(session_id)
        if before_seq is not None:
            query = query.where(Message.seq < before_seq)
        if before is not None:
            query = query.where(Message.seq < _seq_of(before))
        return (await self._session.scalars(query.order_by(Message.seq.desc()).limit(limit))).all()

    async def list_after(
        self, session_id: UUID, seq: int, *, after: UUID | None = None, limit: int
    ) -> Sequence[Message]:
        """The oldest first; those after a number, and after a message."""
        query = _with_reactions(session_id).where(Message.seq > seq)
        if after is not None:
            query = query.where(Message.seq > _seq_of(after))
        return (await self._session.scalars(query.order_by(Message.seq).limit(limit))).all()

    async def react(self, message_id: UUID, user_id: UUID, emoji: str) -> bool:
        """Whether this is new."""
        row = insert(Reaction).values(message_id=message_id, user_id=user_id, emoji=emoji).on_conflict_do_nothing()
        return await self._session.scalar(row.returning(Reaction.emoji)) is not None

    async def take_reaction_back(self, message_id: UUID, user_id: UUID, emoji: str) -> bool:
        """Whether it was there."""
        own = (Reaction.message_id == message_id, Reaction.user_id == user_id, Reaction.emoji == emoji)
        return await self._session.scalar(delete(Reaction).where(*own).returning(Reaction.emoji)) is not None

    async def has_emoji(self, message_id: UUID, emoji: str) -> bool:
        query = select(Reaction.emoji).where(Reaction.message_id == message_id, Reaction.emoji == emoji)
        return await self._session.scalar(query.limit(1)) is not None

    async def count_emojis(self, message_id: UUID) -> int:
        """How many different ones there are."""
        query = select(func.count(Reaction.emoji.distinct())).where(Reaction.message_id == message_id)
        return await self._session.scalar(query) or 0

    async def delete_reactions(self, message_id: UUID) -> None:
        await self._session.execute(delete(Reaction).where(Reaction.message_id == message_id))

    async def mark_read(self, session_id: UUID, user_id: UUID, seq: int) -> int | None:
        """Move the marker to the last message up to `seq`; where it stands now, or None if it has not moved."""
        last = await self._session.scalar(
            select(func.max(Message.seq)).where(Message.session_id == session_id, Message.seq <= seq)
        )
        if last is None:
            return None
        row = insert(ReadMarker).values(session_id=session_id, user_id=user_id, last_read_seq=last)
        moved = row.on_conflict_do_update(
            index_elements=["session_id", "user_id"],
            set_={"last_read_seq": row.excluded.last_read_seq},
            where=ReadMarker.last_read_seq < row.excluded.last_read_seq,
        )
        return await self._session.scalar(moved.returning(ReadMarker.last_read_seq))

    async def list_markers(self, session_id: UUID) -> Sequence[ReadMarker]:
        """Of everybody, the one who has read furthest first."""
        query = select(ReadMarker).where(ReadMarker.session_id == session_id)
        ordered = query.order_by(ReadMarker.last_read_seq.desc(), ReadMarker.user_id)
        return (await self._session.scalars(ordered, execution_options={"populate_existing": True})).all()


def _with_reactions(session_id: UUID) -> Select[Message]:
    pair = func.jsonb_build_object("emoji", Reaction.emoji, "user_id", Reaction.user_id)
    pairs = func.jsonb_agg(aggregate_order_by(pair, Reaction.created_at, Reaction.user_id))
    of_message = select(pairs).where(Reaction.message_id == Message.id).correlate(Message).scalar_subquery()
    return _in_room(session_id).options(with_expression(Message.reactions, of_message))


def _in_room(session_id: UUID) -> Select[Message]:
    return select(Message).where(Message.session_id == session_id)


def _seq_of(message_id: UUID) -> ScalarSelect[int]:
    return select(Message.seq).where(Message.id == message_id).scalar_subquery()
