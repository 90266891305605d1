"""What becomes of messages that were said: edited, deleted, reacted to, read. Each change is told once, by number."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import Conflict, NotFound, PermissionDenied
from app.events import MessageDeleted, MessageEdited, MessagesRead, ReactionAdded, ReactionRemoved, utc_now
from app.models import AuditAction, Message, ReadMarker, Session
from app.permissions import Action, Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.audit import record_by
from app.services.chat import acceptable, rewrite
from app.services.sessions import require_host, room_to_talk_in, visible_room
from app.services.versions import Versions, require_version
from app.settings import ChatSettings


class MessageService:
    def __init__(self, uow: OpenUnitOfWork, settings: ChatSettings) -> None:
        self._uow = uow
        self._settings = settings

    async def get(self, actor: Principal, session_id: UUID, message_id: UUID) -> Message:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_room(uow, actor, session_id)
            return await _with_reactions(uow, session_id, message_id)

    async def edit(
        self, actor: Principal, session_id: UUID, message_id: UUID, text: str, *, expected: Versions | None = None
    ) -> Message:
        """Say it differently. The spirit does not answer again, and what was said before is gone.

        Raises:
            NotFound: no such room or message, or it is deleted.
            PermissionDenied: it is somebody else's, the room is closed, or the actor is muted.
            InvalidInput: the text is empty or too long.
            PreconditionFailed
        """
        said = acceptable(text, self._settings)
        async with self._uow() as uow:
            await room_to_talk_in(uow, actor, session_id)
            message = await _locked(uow, session_id, message_id)
            if message.user_id != actor.user_id:
                raise PermissionDenied("Only its author may edit a message.", message_id=str(message_id))
            require_version(message, expected)
            if message.text != said:
                await _edit(uow, actor, message, said)
            return await _with_reactions(uow, session_id, message_id)

    async def delete(
        self, actor: Principal, session_id: UUID, message_id: UUID, *, expected: Versions | None = None
    ) -> None:
        """Take back what one said, or as a host what anybody said: the text is gone, also from the room's log.

        Raises:
            NotFound: no such room or message.
            PermissionDenied: it is somebody else's, and the actor is no host.
            PreconditionFailed
        """
        async with self._uow() as uow:
            room = await _held(uow, actor, session_id)
            message = await uow.messages.lock(session_id, message_id)
            if message is None:
                raise NotFound("Message not found", message_id=str(message_id))
            is_own = message.user_id == actor.user_id
            if not is_own:
                await require_host(uow, actor, room, Action.HOST)
            if message.deleted_at is not None:
                return
            require_version(message, expected)
            await _delete(uow, actor, message, is_own=is_own)

    async def add_reaction(self, actor: Principal, session_id: UUID, message_id: UUID, emoji: str) -> Message:
        """Doing it twice changes nothing.

        Raises:
            NotFound: no such room or message, or it is deleted.
            PermissionDenied: the room is closed, or the actor is muted.
            Conflict: the message has as many different reactions as it may have.
        """
        async with self._uow() as uow:
            await room_to_talk_in(uow, actor, session_id)
            message = await _locked(uow, session_id, message_id)
            await self._require_room_for(uow, message_id, emoji)
            if await uow.messages.react(message_id, actor.user_id, emoji):
                await _touch(uow, message)
                event = ReactionAdded(session_id=session_id, message_id=message_id, user_id=actor.user_id, emoji=emoji)
                await uow.events.append(session_id, event)
            return await _with_reactions(uow, session_id, message_id)

    async def remove_reaction(self, actor: Principal, session_id: UUID, message_id: UUID, emoji: str) -> None:
        """Take one's own back; nothing happens where there is none. Raises NotFound."""
        async with self._uow() as uow:
            await _held(uow, actor, session_id)
            message = await _locked(uow, session_id, message_id)
            if await uow.messages.take_reaction_back(message_id, actor.user_id, emoji):
                await _touch(uow, message)
                event = ReactionRemoved(
                    session_id=session_id, message_id=message_id, user_id=actor.user_id, emoji=emoji
                )
                await uow.events.append(session_id, event)

    async def mark_read(self, actor: Principal, session_id: UUID, seq: int) -> None:
        """Everything up to `seq` was read. A marker never moves back. Raises NotFound."""
        async with self._uow() as uow:
            await _held(uow, actor, session_id)
            moved_to = await uow.messages.mark_read(session_id, actor.user_id, seq)
            if moved_to is not None:
                event = MessagesRead(session_id=session_id, user_id=actor.user_id, last_read_seq=moved_to)
                await uow.events.append(session_id, event)

    async def list_markers(self, actor: Principal, session_id: UUID) -> Sequence[ReadMarker]:
        """How far everybody has read. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_room(uow, actor, session_id)
            return await uow.messages.list_markers(session_id)

    async def _require_room_for(self, uow: UnitOfWork, message_id: UUID, emoji: str) -> None:
        most = self._settings.most_emojis
        if not await uow.messages.has_emoji(message_id, emoji) and await uow.messages.count_emojis(message_id) >= most:
            raise Conflict("This message has enough different reactions.", message_id=str(message_id), most=most)


async def _edit(uow: UnitOfWork, actor: Principal, message: Message, text: str) -> None:
    seq = await uow.events.next_seq(message.session_id)
    message.text, message.edited_at = text, utc_now()
    await uow.flush()
    await rewrite(uow, message)
    message.last_edit_seq = seq
    await uow.flush()
    await uow.room_summaries.forget(message.session_id, told_of=message.seq)
    event = MessageEdited(
        session_id=message.session_id,
        message_id=message.id,
        user_id=actor.user_id,
        text=text,
        edited_at=message.edited_at,
    )
    await uow.events.append(message.session_id, event, seq=seq)


async def _delete(uow: UnitOfWork, actor: Principal, message: Message, *, is_own: bool) -> None:
    seq = await uow.events.next_seq(message.session_id)
    message.text, message.citations, message.deleted_at = "", [], utc_now()
    await uow.flush()
    await uow.messages.delete_reactions(message.id)
    await rewrite(uow, message)
    await uow.room_summaries.forget(message.session_id, told_of=message.seq)
    if not is_own:
        record_by(uow, actor, AuditAction.MESSAGE_DELETED, target_type="message", target_id=message.id)
    event = MessageDeleted(session_id=message.session_id, message_id=message.id, user_id=actor.user_id)
    await uow.events.append(message.session_id, event, seq=seq)


async def _held(uow: UnitOfWork, actor: Principal, session_id: UUID) -> Session:
    """The room, closed or not, whether the actor is muted or not. Raises NotFound."""
    found = await uow.sessions.hold_visible(actor, session_id)
    if found is None:
        raise NotFound("Session not found", session_id=str(session_id))
    return found[0]


async def _locked(uow: UnitOfWork, session_id: UUID, message_id: UUID) -> Message:
    message = await uow.messages.lock(session_id, message_id)
    if message is None or message.deleted_at is not None:
        raise NotFound("Message not found", message_id=str(message_id))
    return message


async def _with_reactions(uow: UnitOfWork, session_id: UUID, message_id: UUID) -> Message:
    message = await uow.messages.get_with_reactions(session_id, message_id)
    if message is None:
        raise NotFound("Message not found", message_id=str(message_id))
    return message


async def _touch(uow: UnitOfWork, message: Message) -> None:
    """Another version of it: its reactions are part of what clients read."""
    message.updated_at = utc_now()
    await uow.flush()
