"""Rooms: who may enter, who is there, and how strangers are let in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import NotFound, PermissionDenied
from app.events import Person, SessionUpdated, utc_now
from app.gathering import BEHIND_THE_DOOR, LINGER, Gathering
from app.models import AuditAction, Invite, Session, User
from app.permissions import Action, Principal, Role, may
from app.realtime.presence import Presence
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.pages import Columns
from app.schemas.sessions import InviteCreate, SessionCreate, SessionUpdate
from app.security import SecretKind, digest_of, make_secret
from app.services.audit import record_by
from app.services.callers import CallerService
from app.services.versions import Versions, require_version

GUEST_NAME = "Guest"
MOST_TOGETHER = 1000
ACCESS = frozenset({"is_active", "shares_documents"})
"""What lets people in or keeps them out, or shows them documents: changes of it are audited."""


@dataclass(frozen=True, slots=True)
class NewInvite:
    """`invite` is the secret itself, which is not stored."""

    id: UUID
    invite: str
    session_id: UUID
    max_uses: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """`access_token` and `expires_in` (seconds) are a guest's; None for a caller who was signed in."""

    session: Session
    user: Person
    access_token: str | None
    expires_in: int | None
    token_type: str = "bearer"  # noqa: S105 - a scheme


class SessionService:
    def __init__(self, uow: OpenUnitOfWork, presence: Presence, callers: CallerService) -> None:
        self._uow = uow
        self._presence = presence
        self._callers = callers
        self._visible = Gathering(self._find_visible, most=MOST_TOGETHER, longest_pause=BEHIND_THE_DOOR, linger=LINGER)

    async def create(self, actor: Principal, data: SessionCreate) -> Session:
        """Raises NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor."""
        async with self._uow() as uow:
            project = await uow.projects.get_visible_or_default(actor, data.project_id)
            if project is None:
                raise NotFound("Project not found", project_id=str(data.project_id))
            if not may(actor, Action.EDIT, await uow.projects.get_editing_role(actor.user_id, project.id)):
                raise PermissionDenied("Viewers of a project cannot open rooms in it.", project_id=str(project.id))
            room = Session(
                id=uuid7(),
                project_id=project.id,
                owner_id=actor.user_id,
                name=data.name,
                max_users=data.max_users,
                spirit_mode=data.spirit_mode,
                shares_documents=data.shares_documents,
            )
            uow.events.open(room.id)
            uow.sessions.add(room)
            await uow.flush()
        return room

    async def get(self, actor: Principal, session_id: UUID) -> Session:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await visible_room(uow, actor, session_id)

    async def list(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[Columns]:
        """Of the actor's projects, and those the actor was invited to; the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.sessions.list_visible(actor, before=before, limit=limit)

    async def update(
        self, actor: Principal, session_id: UUID, changes: SessionUpdate, *, expected: Versions | None
    ) -> Session:
        """Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            room = await hosted_room(uow, actor, session_id, expected)
            given = changes.model_dump(exclude_none=True)
            changed = {name: value for name, value in given.items() if getattr(room, name) != value}
            for name, value in changed.items():
                setattr(room, name, value)
            await uow.flush()
            if changed.keys() & ACCESS:
                what = {name: changed[name] for name in sorted(changed.keys() & ACCESS)}
                record_by(uow, actor, AuditAction.ROOM_CHANGED, target_type="session", target_id=session_id, **what)
            if changed:
                await uow.events.append(room.id, session_updated(room))
        return room

    async def delete(self, actor: Principal, session_id: UUID, *, expected: Versions | None) -> None:
        """With everything said in it. Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            room = await hosted_room(uow, actor, session_id, expected)
            await uow.sessions.delete(room)
            record_by(uow, actor, AuditAction.ROOM_DELETED, target_type="session", target_id=session_id)

    async def participants(self, actor: Principal, session_id: UUID) -> Sequence[Person]:
        """Who is there now. Raises NotFound, ServiceUnavailable."""
        await self.get(actor, session_id)
        return await self._presence.people(session_id)

    async def people(self, session_id: UUID) -> Sequence[Person]:
        """Who is there now, for somebody who is there. Raises ServiceUnavailable."""
        return await self._presence.people(session_id)

    async def require_open(self, actor: Principal, session_id: UUID) -> Session:
        """A room to follow. Raises NotFound; PermissionDenied: it is closed."""
        room = await self._visible.ask((actor, session_id))
        if room is None:
            raise NotFound("Session not found", session_id=str(session_id))
        if not room.is_active:
            raise PermissionDenied("This room is closed.", session_id=str(session_id), reason="closed")
        return room

    @asynccontextmanager
    async def presence(self, actor: Principal, session_id: UUID) -> AsyncIterator[Session]:
        """Be in the room for the length of the block.

        Raises:
            NotFound, SessionFull, ServiceUnavailable
            PermissionDenied: the room is closed.
        """
        room = await self.require_open(actor, session_id)
        async with self._presence.seat(session_id, person_of(actor), max_users=room.max_users):
            yield room

    async def _find_visible(self, asked: Sequence[tuple[Principal, UUID]]) -> Sequence[Session | None]:
        async with self._uow(is_reading=True) as uow:
            return await uow.sessions.list_visible_to_each(asked)

    async def invite(self, actor: Principal, session_id: UUID, data: InviteCreate) -> NewInvite:
        """Make a secret that lets its holders in. Raises NotFound, PermissionDenied."""
        secret, invite_id = make_secret(SecretKind.INVITE), uuid7()
        expires_at = utc_now() + timedelta(seconds=data.expires_in)
        async with self._uow() as uow:
            room = await hosted_room(uow, actor, session_id)
            uow.sessions.add_invite(
                Invite(
                    id=invite_id,
                    session_id=room.id,
                    created_by=actor.user_id,
                    digest=digest_of(secret),
                    expires_at=expires_at,
                    uses_left=data.max_uses,
                )
            )
            uses = {"max_uses": data.max_uses, "expires_in": data.expires_in}
            record_by(uow, actor, AuditAction.ROOM_INVITE_CREATED, target_type="session", target_id=session_id, **uses)
        return NewInvite(invite_id, secret, session_id, data.max_uses, expires_at)

    async def list_invites(
        self, actor: Principal, session_id: UUID, *, before: UUID | None, limit: int
    ) -> Sequence[Invite]:
        """Those that can still be used, the newest first; the secrets are not known any more.

        Raises:
            NotFound, PermissionDenied
        """
        async with self._uow() as uow:
            await require_host(uow, actor, await visible_room(uow, actor, session_id), Action.READ_HOSTED)
            return await uow.sessions.list_invites(session_id, before=before, limit=limit)

    async def revoke_invite(self, actor: Principal, session_id: UUID, invite_id: UUID) -> None:
        """Whoever came in by it stays. Raises NotFound, PermissionDenied."""
        async with self._uow() as uow:
            await hosted_room(uow, actor, session_id)
            if not await uow.sessions.delete_invite(session_id, invite_id):
                raise NotFound("Invite not found", invite_id=str(invite_id))
            record_by(uow, actor, AuditAction.ROOM_INVITE_REVOKED, target_type="session", target_id=session_id)

    async def join(self, actor: Principal | None, *, invite: str, name: str | None) -> Joined:
        """Use an invite: a signed-in caller becomes a participant, anybody else a guest of this room alone.

        Raises:
            NotFound: the invite is unknown, used up, revoked or expired, or older than the actor's removal.
        """
        digest = digest_of(invite)
        if actor is not None and not actor.is_guest:
            return Joined(await self._join_as(actor, digest), person_of(actor), None, None)
        guest = User(id=uuid7(), name=name or GUEST_NAME, role=Role.GUEST)
        async with self._uow() as uow:
            room = _open_room(await uow.sessions.use_invite(digest))
            uow.users.add(guest)
            await uow.flush()
            await uow.sessions.add_participant(room.id, guest.id)
        token, expires_in = self._callers.guest_token(guest.id, guest.name, room.id)
        return Joined(room, Person(id=guest.id, name=guest.name), token, expires_in)

    async def _join_as(self, actor: Principal, digest: bytes) -> Session:
        async with self._uow() as uow:
            room = await uow.sessions.get_invited(actor, digest)
            if room is None:
                room = _open_room(await uow.sessions.use_invite(digest))
                if not await uow.sessions.readmit(room.id, actor.user_id, digest=digest):
                    raise _not_valid()
                await uow.sessions.add_participant(room.id, actor.user_id)
            return _open_room(room)


def _open_room(room: Session | None) -> Session:
    if room is None or not room.is_active:
        raise _not_valid()
    return room


def _not_valid() -> NotFound:
    return NotFound("This invite is not valid, or not any more.")


def session_updated(room: Session) -> SessionUpdated:
    return SessionUpdated(
        session_id=room.id,
        name=room.name,
        max_users=room.max_users,
        spirit_mode=room.spirit_mode,
        is_active=room.is_active,
        shares_documents=room.shares_documents,
    )


async def visible_room(uow: UnitOfWork, actor: Principal, session_id: UUID) -> Session:
    """Raises NotFound."""
    room = await uow.sessions.get_visible(actor, session_id)
    if room is None:
        raise NotFound("Session not found", session_id=str(session_id))
    return room


async def hosted_room(uow: UnitOfWork, actor: Principal, session_id: UUID, expected: Versions | None = None) -> Session:
    """The room, locked, if the actor is a host of it. Raises NotFound, PermissionDenied, PreconditionFailed."""
    room = await uow.sessions.lock_visible(actor, session_id)
    if room is None:
        raise NotFound("Session not found", session_id=str(session_id))
    await require_host(uow, actor, room, Action.HOST)
    require_version(room, expected)
    return room


async def require_host(uow: UnitOfWork, actor: Principal, room: Session, action: Action) -> None:
    """Raises PermissionDenied: hosts are the editors and owners of the room's project. ProjectArchived."""
    projects = uow.projects
    get_role = projects.get_editing_role if action is Action.HOST else projects.get_role
    if not may(actor, action, await get_role(actor.user_id, room.project_id)):
        raise PermissionDenied("Only editors and owners of the project may do this.", session_id=str(room.id))


async def room_to_talk_in(uow: UnitOfWork, actor: Principal, session_id: UUID) -> Session:
    """The room, locked before its channel, as removing it does: the other way round they would block each other.

    Raises:
        NotFound
        PermissionDenied: the room is closed, or the actor is muted there.
    """
    found = await uow.sessions.hold_visible(actor, session_id)
    if found is None:
        raise NotFound("Session not found", session_id=str(session_id))
    room, is_muted = found
    if not room.is_active:
        raise PermissionDenied("This room is closed.", session_id=str(session_id), reason="closed")
    if is_muted:
        raise PermissionDenied("You are muted in this room.", session_id=str(session_id), reason="muted")
    return room


def person_of(actor: Principal) -> Person:
    return Person(id=actor.user_id, name=actor.name)
