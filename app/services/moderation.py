"""What hosts of a room do with people: mute them, let them talk again, show them out."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import Conflict, NotFound
from app.events import ParticipantMuted, ParticipantRemoved, ParticipantUnmuted
from app.models import AuditAction, Restriction, RestrictionKind, Session
from app.permissions import RULES, Action, Principal, ProjectRole, Role, suffices
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.audit import record_by
from app.services.known_callers import KnownCallers
from app.services.sessions import hosted_room, require_host, visible_room


class ModerationService:
    def __init__(self, uow: OpenUnitOfWork, known: KnownCallers) -> None:
        self._uow = uow
        self._known = known

    async def list(self, actor: Principal, session_id: UUID) -> Sequence[Restriction]:
        """Who is muted or was removed. Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            await require_host(uow, actor, await visible_room(uow, actor, session_id), Action.READ_HOSTED)
            return await uow.sessions.list_restricted(session_id)

    async def set_muted(self, actor: Principal, session_id: UUID, user_id: UUID, *, is_muted: bool) -> None:
        """Muted people follow the room, and may neither talk nor react. Doing it twice changes nothing.

        Raises:
            NotFound: no such room, or nobody there with this id.
            PermissionDenied: the actor is no host.
            Conflict: it is a host.
        """
        async with self._uow() as uow:
            await _require_guided(uow, await hosted_room(uow, actor, session_id), user_id)
            if is_muted:
                if await uow.sessions.restrict(session_id, user_id, RestrictionKind.MUTED):
                    _record(uow, actor, AuditAction.ROOM_MUTED, session_id, user_id)
                    event = ParticipantMuted(session_id=session_id, user_id=user_id, by=actor.user_id)
                    await uow.events.append(session_id, event)
            elif await uow.sessions.unmute(session_id, user_id):
                _record(uow, actor, AuditAction.ROOM_UNMUTED, session_id, user_id)
                await uow.events.append(
                    session_id, ParticipantUnmuted(session_id=session_id, user_id=user_id, by=actor.user_id)
                )

    async def remove(self, actor: Principal, session_id: UUID, user_id: UUID) -> None:
        """Show somebody out: the room is not there for them any more, and a guest's token is good for nothing.

        Raises:
            NotFound, PermissionDenied, Conflict: as for muting.
        """
        async with self._uow() as uow:
            room = await hosted_room(uow, actor, session_id)
            await _require_guided(uow, room, user_id)
            await uow.sessions.remove_participant(session_id, user_id)
            if await uow.sessions.restrict(session_id, user_id, RestrictionKind.REMOVED):
                user = await uow.users.get(user_id)
                if user is not None and user.role == Role.GUEST:
                    user.is_active = False
                _record(uow, actor, AuditAction.ROOM_REMOVED, session_id, user_id)
                event = ParticipantRemoved(session_id=session_id, user_id=user_id, by=actor.user_id)
                await uow.events.append(session_id, event)
        self._known.forget_user(user_id)


async def _require_guided(uow: UnitOfWork, room: Session, user_id: UUID) -> None:
    """Raises NotFound: nobody here has this id. Conflict: hosts do not mute or remove each other, or themselves."""
    if not await uow.sessions.is_known(room.id, user_id):
        raise NotFound("Participant not found", user_id=str(user_id))
    role: ProjectRole | None = await uow.projects.get_role(user_id, room.project_id)
    if suffices(role, RULES[Action.HOST].role):
        raise Conflict("A host of the room cannot be muted or removed.", user_id=str(user_id))


def _record(uow: UnitOfWork, actor: Principal, action: AuditAction, session_id: UUID, user_id: UUID) -> None:
    record_by(uow, actor, action, target_type="session", target_id=session_id, user_id=str(user_id))
