"""Rooms, who belongs to them, and invites."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Select,
    Uuid,
    and_,
    bindparam,
    column,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Channel, Invite, Member, Participant, Restriction, RestrictionKind, Session, User
from app.permissions import Principal, Role
from app.repositories.pages import Columns, by_name, newest_first

ROOM: Final = Session.__table__.c


class SessionRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, room: Session) -> None:
        self._session.add(room)

    async def get(self, session_id: UUID) -> Session | None:
        """For tasks, which act in any room."""
        return await self._session.get(Session, session_id)

    async def get_visible(self, actor: Principal, session_id: UUID) -> Session | None:
        return await self._session.scalar(_visible_to(actor).where(Session.id == session_id), _who(actor))

    async def list_visible_to_each(self, asked: Sequence[tuple[Principal, UUID]]) -> Sequence[Session | None]:
        """`get_visible` for many actors in one question."""
        columns = (
            bindparam("session_ids", [session_id for _, session_id in asked], ARRAY(Uuid())),
            bindparam("user_ids", [actor.user_id for actor, _ in asked], ARRAY(Uuid())),
            bindparam("guests_rooms", [actor.room_id for actor, _ in asked], ARRAY(Uuid())),
        )
        wanted = (
            func.unnest(*columns)
            .table_valued(
                *(column(name, Uuid()) for name in ("session_id", "user_id", "guests_room")),
                with_ordinality="number",
            )
            .render_derived("wanted")
        )
        own = or_(wanted.c.guests_room.is_(None), wanted.c.guests_room == Session.id)
        query = select(wanted.c.number, Session).join(Session, Session.id == wanted.c.session_id)
        rows = await self._session.execute(query.where(own, *_is_visible_to(wanted.c.user_id)))
        rooms: dict[int, Session] = {row.number: row.Session for row in rows}
        return [rooms.get(number) for number in range(1, len(asked) + 1)]

    async def hold(self, session_id: UUID) -> Session | None:
        """The room, which nobody removes until this transaction ends; for tasks, which act in any room."""
        return await self._session.get(Session, session_id, with_for_update={"key_share": True, "read": True})

    async def hold_visible(self, actor: Principal, session_id: UUID) -> tuple[Session, bool] | None:
        """A room to say something in, and whether the actor is muted there.

        Nobody removes it until this transaction ends, and others may talk meanwhile.
        """
        muted = _restricted(actor.user_id, RestrictionKind.MUTED).exists().label("is_muted")
        query = _visible_to(actor).where(Session.id == session_id).add_columns(muted)
        query = query.with_for_update(of=Session, key_share=True, read=True)
        row = (await self._session.execute(query, _who(actor))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def lock_visible(self, actor: Principal, session_id: UUID) -> Session | None:
        """For a change: nobody else changes the room until this transaction ends."""
        query = _visible_to(actor).where(Session.id == session_id)
        return await self._session.scalar(query.with_for_update(of=Session), _who(actor))

    async def list_visible(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[Columns]:
        query = listed_rooms(is_guests=actor.room_id is not None, goes_on=before is not None)
        return by_name(await self._session.execute(query, _who(actor) | {"before": before, "most": limit}))

    async def delete(self, room: Session) -> None:
        """With everything said in it, and its log."""
        await self._session.delete(room)
        await self._session.execute(delete(Channel).where(Channel.id == room.id))

    async def add_participant(self, session_id: UUID, user_id: UUID) -> None:
        row = insert(Participant).values(session_id=session_id, user_id=user_id)
        await self._session.execute(row.on_conflict_do_nothing())

    # --- people ---

    async def set_open(
        self, project_id: UUID, session_ids: Sequence[UUID] | None, *, is_open: bool
    ) -> Sequence[Session]:
        """Open or close rooms of a project, or all of them; those that this changes, locked, by their ids."""
        rooms = select(Session).where(Session.project_id == project_id, Session.is_active.is_(not is_open))
        rooms = rooms if session_ids is None else rooms.where(Session.id.in_(session_ids))
        found = (await self._session.scalars(rooms.order_by(Session.id).with_for_update())).all()
        for room in found:
            room.is_active = is_open
        await self._session.flush()
        return found

    async def is_known(self, session_id: UUID, user_id: UUID) -> bool:
        """Whether somebody was let into the room, or is a member of its project; shown out or not."""
        let_in = select(Participant.user_id).where(Participant.session_id == session_id, Participant.user_id == user_id)
        members = select(Member.user_id).join(Session, Session.project_id == Member.project_id)
        as_member = members.where(Session.id == session_id, Member.user_id == user_id)
        return await self._session.scalar(let_in.union_all(as_member).limit(1)) is not None

    async def remove_participant(self, session_id: UUID, user_id: UUID) -> None:
        own = (Participant.session_id == session_id, Participant.user_id == user_id)
        await self._session.execute(delete(Participant).where(*own))

    async def restrict(self, session_id: UUID, user_id: UUID, kind: RestrictionKind) -> bool:
        """Whether this changes anything. Who was shown out does not become muted."""
        row = insert(Restriction).values(session_id=session_id, user_id=user_id, kind=kind)
        stronger = (Restriction.kind != kind) & (Restriction.kind != RestrictionKind.REMOVED)
        put = row.on_conflict_do_update(
            index_elements=["session_id", "user_id"],
            set_={"kind": kind, "created_at": func.clock_timestamp()},
            where=stronger,
        )
        return await self._session.scalar(put.returning(Restriction.user_id)) is not None

    async def unmute(self, session_id: UUID, user_id: UUID) -> bool:
        """Whether they were muted."""
        muted = (Restriction.session_id == session_id, Restriction.user_id == user_id)
        rows = delete(Restriction).where(*muted, Restriction.kind == RestrictionKind.MUTED)
        return await self._session.scalar(rows.returning(Restriction.user_id)) is not None

    async def readmit(self, session_id: UUID, user_id: UUID, *, digest: bytes) -> bool:
        """Let somebody in again who was shown out before the invite was made; whether they may come in now."""
        removed = (Restriction.session_id == session_id, Restriction.user_id == user_id)
        made = select(Invite.created_at).where(Invite.digest == digest).scalar_subquery()
        gone = delete(Restriction).where(
            *removed, Restriction.kind == RestrictionKind.REMOVED, Restriction.created_at < made
        )
        await self._session.execute(gone.execution_options(synchronize_session=False))
        still = select(Restriction.user_id).where(*removed, Restriction.kind == RestrictionKind.REMOVED)
        return await self._session.scalar(still) is None

    async def list_restricted(self, session_id: UUID) -> Sequence[Restriction]:
        query = select(Restriction).where(Restriction.session_id == session_id)
        return (await self._session.scalars(query.order_by(Restriction.created_at))).all()

    async def get_reader_for_all(self, session_id: UUID, *, guests_for: timedelta) -> UUID | None:
        """A member of the room's project, if everybody who may follow the room may see what its members see.

        A guest counts as long as a token may still be good, `guests_for` after it was given out.
        """
        room = select(Session.project_id, Session.shares_documents).where(Session.id == session_id).subquery()
        member = select(Member.user_id).where(Member.project_id == room.c.project_id)
        is_gone = and_(User.role == Role.GUEST, User.created_at < func.clock_timestamp() - guests_for)
        outsider = (
            select(Participant.user_id)
            .join(User, User.id == Participant.user_id)
            .where(Participant.session_id == session_id, User.is_active, ~is_gone)
            .where(Participant.user_id.not_in(member.correlate(room)))
        )
        allowed = or_(room.c.shares_documents, ~outsider.correlate(room).exists())
        reader = member.correlate(room).order_by(Member.user_id).limit(1).scalar_subquery()
        return await self._session.scalar(select(reader).select_from(room).where(allowed))

    # --- invites ---

    def add_invite(self, invite: Invite) -> None:
        self._session.add(invite)

    async def list_invites(self, session_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Invite]:
        """Those that can still be used, the newest first."""
        good = (Invite.session_id == session_id, Invite.uses_left > 0, Invite.expires_at > func.clock_timestamp())
        return await newest_first(self._session, select(Invite).where(*good), Invite, before=before, limit=limit)

    async def delete_invite(self, session_id: UUID, invite_id: UUID) -> bool:
        """Whether it was there."""
        row = delete(Invite).where(Invite.session_id == session_id, Invite.id == invite_id)
        return await self._session.scalar(row.returning(Invite.id)) is not None

    async def get_invited(self, actor: Principal, digest: bytes) -> Session | None:
        """The room that the invite opens, if the actor is let in already: nothing is used up by that."""
        invites = select(Invite.session_id).where(Invite.digest == digest, Invite.expires_at > func.clock_timestamp())
        return await self._session.scalar(_visible_to(actor).where(Session.id.in_(invites)), _who(actor))

    async def use_invite(self, digest: bytes) -> Session | None:
        """The room that the invite opens; None when it is unknown, used up or expired. Counts the use."""
        good = (Invite.digest == digest, Invite.uses_left > 0, Invite.expires_at > func.clock_timestamp())
        use = update(Invite).where(*good).values(uses_left=Invite.uses_left - 1).returning(Invite.session_id)
        session_id = await self._session.scalar(use)
        return None if session_id is None else await self._session.get(Session, session_id)


def _who(actor: Principal) -> dict[str, UUID | None]:
    """What statements below ask of the actor."""
    return {"actor_id": actor.user_id, "actors_room": actor.room_id}


def _visible_to(actor: Principal) -> Select[Session]:
    """Members of the project see its rooms; others those they were invited to; a guest its one room.

    Nobody sees a room that they were shown out of. Executed with `_who(actor)`.
    """
    return _visible(is_guests=actor.room_id is not None)


@cache  # to put it together takes longer than to run it
def _visible(*, is_guests: bool) -> Select[Session]:
    query = select(Session).where(*_is_visible_to(bindparam("actor_id", type_=Uuid())))
    return query.where(Session.id == bindparam("actors_room", type_=Uuid())) if is_guests else query


@cache
def listed_rooms(*, is_guests: bool, goes_on: bool) -> Select[Any]:
    """A page of the rooms, the newest first: `most` of those made before the room `before`."""
    query = select(*ROOM).where(*_is_visible_to(bindparam("actor_id", type_=Uuid())))
    if is_guests:
        query = query.where(ROOM.id == bindparam("actors_room", type_=Uuid()))
    if goes_on:
        query = query.where(ROOM.id < bindparam("before", type_=Uuid()))
    return query.order_by(ROOM.id.desc()).limit(bindparam("most", type_=Integer()))


def _is_visible_to(user_id: UUID | ColumnElement[UUID]) -> tuple[ColumnElement[bool], ...]:
    """Columns of tables, not of entities: of the latter a statement makes entities."""
    member, participant, removal = Member.__table__.c, Participant.__table__.c, Restriction.__table__.c
    as_member = exists().where(member.project_id == ROOM.project_id, member.user_id == user_id)
    invited = exists().where(participant.session_id == ROOM.id, participant.user_id == user_id)
    removed = exists().where(
        removal.session_id == ROOM.id, removal.user_id == user_id, removal.kind == RestrictionKind.REMOVED
    )
    return or_(as_member, invited), ~removed


def _restricted(user_id: UUID, kind: RestrictionKind) -> Select[int]:
    """Of the room that the query around it is about."""
    own = (Restriction.session_id == Session.id, Restriction.user_id == user_id, Restriction.kind == kind)
    return select(literal(1)).where(*own).correlate(Session)
