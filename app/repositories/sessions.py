"""Rooms, who belongs to them, and invites."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Channel, Invite, Member, Participant, Session
from app.permissions import Principal
from app.repositories.pages import newest_first


class SessionRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, room: Session) -> None:
        self._session.add(room)

    async def get(self, session_id: UUID) -> Session | None:
        """For tasks, which act in any room."""
        return await self._session.get(Session, session_id)

    async def get_visible(self, actor: Principal, session_id: UUID) -> Session | None:
        return await self._session.scalar(_visible_to(actor).where(Session.id == session_id))

    async def hold(self, session_id: UUID) -> Session | None:
        """The room, which nobody removes until this transaction ends; for tasks, which act in any room."""
        return await self._session.get(Session, session_id, with_for_update={"key_share": True, "read": True})

    async def hold_visible(self, actor: Principal, session_id: UUID) -> Session | None:
        """A room to say something in: nobody removes it until this transaction ends, and others may talk meanwhile."""
        query = _visible_to(actor).where(Session.id == session_id)
        return await self._session.scalar(query.with_for_update(of=Session, key_share=True, read=True))

    async def lock_visible(self, actor: Principal, session_id: UUID) -> Session | None:
        """For a change: nobody else changes the room until this transaction ends."""
        query = _visible_to(actor).where(Session.id == session_id)
        return await self._session.scalar(query.with_for_update(of=Session))

    async def list_visible(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[Session]:
        return await newest_first(self._session, _visible_to(actor), Session, before=before, limit=limit)

    async def delete(self, room: Session) -> None:
        """With everything said in it, and its log."""
        await self._session.delete(room)
        await self._session.execute(delete(Channel).where(Channel.id == room.id))

    async def add_participant(self, session_id: UUID, user_id: UUID) -> None:
        row = insert(Participant).values(session_id=session_id, user_id=user_id)
        await self._session.execute(row.on_conflict_do_nothing())

    def add_invite(self, invite: Invite) -> None:
        self._session.add(invite)

    async def get_invited(self, actor: Principal, digest: bytes) -> Session | None:
        """The room that the invite opens, if the actor is let in already: nothing is used up by that."""
        invites = select(Invite.session_id).where(Invite.digest == digest, Invite.expires_at > func.clock_timestamp())
        return await self._session.scalar(_visible_to(actor).where(Session.id.in_(invites)))

    async def use_invite(self, digest: bytes) -> Session | None:
        """The room that the invite opens; None when it is unknown, used up or expired. Counts the use."""
        good = (Invite.digest == digest, Invite.uses_left > 0, Invite.expires_at > func.clock_timestamp())
        use = update(Invite).where(*good).values(uses_left=Invite.uses_left - 1).returning(Invite.session_id)
        session_id = await self._session.scalar(use)
        return None if session_id is None else await self._session.get(Session, session_id)


def _visible_to(actor: Principal) -> Select[Session]:
    """Members of the project see its rooms; others those they were invited to; a guest its one room."""
    as_member = Session.project_id.in_(select(Member.project_id).where(Member.user_id == actor.user_id))
    invited = Session.id.in_(select(Participant.session_id).where(Participant.user_id == actor.user_id))
    query = select(Session).where(or_(as_member, invited))
    return query if actor.room_id is None else query.where(Session.id == actor.room_id)
