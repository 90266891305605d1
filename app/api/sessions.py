"""Rooms over HTTP."""

from uuid import UUID

from fastapi import Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import SCHEMES, Actor, CallerDep, Cursor, Limit, RoomActor, ServicesDep
from app.api.routing import Router
from app.models import Session
from app.schemas.common import Page
from app.schemas.sessions import (
    InviteCreate,
    InviteListRead,
    InviteRead,
    JoinedRead,
    ParticipantsRead,
    ParticipantUpdate,
    RestrictionsRead,
    SessionCreate,
    SessionJoin,
    SessionRead,
    SessionUpdate,
)
from app.services.sessions import Joined, NewInvite

router = Router(prefix="/sessions", tags=["rooms"])

ROOM = "/{session_id:uuid}"  # so that `/sessions/join` is never taken for one


@router.post("", status_code=status.HTTP_201_CREATED, response_model=SessionRead)
async def create_session(
    actor: Actor, services: ServicesDep, data: SessionCreate, response: Response, conditional: ConditionalDep
) -> Session:
    """Open a room; its WebSocket is `/ws/chat/{id}`."""
    room = await services.sessions.create(actor, data)
    response.headers["Location"] = f"/api/v1/sessions/{room.id}"
    return conditional.tag(room)


@router.get("")
async def list_sessions(
    actor: RoomActor, services: ServicesDep, cursor: Cursor = None, limit: Limit = 20
) -> Page[SessionRead]:
    """Rooms of your projects, and those you were invited to, the newest first."""
    rows = await services.sessions.list(actor, before=cursor, limit=limit + 1)
    return Page[SessionRead].of(rows, limit)


@router.post(
    "/join",
    status_code=status.HTTP_201_CREATED,
    response_model=JoinedRead,
    openapi_extra={"security": [{}, *({name: []} for name in SCHEMES)]},  # credentials may be given
)
async def join_session(caller: CallerDep, services: ServicesDep, data: SessionJoin, response: Response) -> Joined:
    """Use an invite. Without credentials you become a guest, with a token for this room alone."""
    actor = await caller.principal_if_any()
    joined = await services.sessions.join(actor, invite=data.invite, name=data.name)
    response.headers["Location"] = f"/api/v1/sessions/{joined.session.id}"
    return joined


@router.get(ROOM, response_model=SessionRead)
async def get_session(
    actor: RoomActor, services: ServicesDep, session_id: UUID, conditional: ConditionalDep
) -> Session:
    """A room, and whether it is open."""
    return conditional.tag(await services.sessions.get(actor, session_id))


@router.patch(ROOM, response_model=SessionRead)
async def update_session(
    actor: Actor,
    services: ServicesDep,
    session_id: UUID,
    changes: SessionUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> Session:
    """Editors and owners of the project rename, close and change a room."""
    return conditional.tag(await services.sessions.update(actor, session_id, changes, expected=expected))


@router.delete(ROOM, status_code=status.HTTP_204_NO_CONTENT)
async def delete_session(actor: Actor, services: ServicesDep, session_id: UUID, expected: IfMatch) -> None:
    """Remove a room with everything that was said in it."""
    await services.sessions.delete(actor, session_id, expected=expected)


@router.get(f"{ROOM}/participants")
async def list_participants(actor: RoomActor, services: ServicesDep, session_id: UUID) -> ParticipantsRead:
    """Who is in the room at this moment."""
    return ParticipantsRead(items=list(await services.sessions.participants(actor, session_id)))


@router.post(f"{ROOM}/invites", status_code=status.HTTP_201_CREATED, response_model=InviteRead)
async def create_invite(
    actor: Actor, services: ServicesDep, session_id: UUID, data: InviteCreate | None = None
) -> NewInvite:
    """Make an invite for one or several people; it is shown this once."""
    return await services.sessions.invite(actor, session_id, data or InviteCreate())


@router.get(f"{ROOM}/invites")
async def list_invites(
    actor: Actor, services: ServicesDep, session_id: UUID, cursor: Cursor = None, limit: Limit = 20
) -> Page[InviteListRead]:
    """Invites that can still be used, the newest first."""
    rows = await services.sessions.list_invites(actor, session_id, before=cursor, limit=limit + 1)
    return Page[InviteListRead].of(rows, limit)


@router.delete(f"{ROOM}/invites/{{room_invite_id}}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_invite(actor: Actor, services: ServicesDep, session_id: UUID, room_invite_id: UUID) -> None:
    """Nobody comes in by it any more; whoever did stays."""
    await services.sessions.revoke_invite(actor, session_id, room_invite_id)


@router.patch(f"{ROOM}/participants/{{participant_id}}", status_code=status.HTTP_204_NO_CONTENT)
async def mute_participant(
    actor: Actor, services: ServicesDep, session_id: UUID, participant_id: UUID, data: ParticipantUpdate
) -> None:
    """Hosts mute people, and let them talk again."""
    await services.moderation.set_muted(actor, session_id, participant_id, is_muted=data.is_muted)


@router.delete(f"{ROOM}/participants/{{participant_id}}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_participant(actor: Actor, services: ServicesDep, session_id: UUID, participant_id: UUID) -> None:
    """Hosts show people out; only an invite that is made later lets them in again."""
    await services.moderation.remove(actor, session_id, participant_id)


@router.get(f"{ROOM}/restrictions")
async def list_restrictions(actor: Actor, services: ServicesDep, session_id: UUID) -> RestrictionsRead:
    """Who is muted, and who was removed."""
    return RestrictionsRead.model_validate({"items": await services.moderation.list(actor, session_id)})
