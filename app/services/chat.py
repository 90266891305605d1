"""What is said in rooms: stored and numbered in one transaction, then told to everybody there."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.errors import InvalidInput, NotFound
from app.events import Citation, Frame, MessageReceived, SpiritBusy, UserTyping, utc_now
from app.models import Message, Session, SpiritMode, Task
from app.permissions import Principal
from app.realtime.channels import Listener
from app.realtime.hub import Hub
from app.realtime.state import AnswerSoFar, AnswerState
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.posting import Posting
from app.services.remembering import note_task, wish_in
from app.services.sessions import person_of, room_to_talk_in, visible_room
from app.services.task_types import queue_task
from app.services.tasks import TaskService
from app.settings import ChatSettings

ANSWER_MESSAGE = "answer_message"
ANSWER_PRIORITY = 10  # people wait for it
EXPORT_BATCH = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What the spirit says. Partial: it was stopped, or its end was lost."""

    text: str
    citations: Sequence[Citation] = ()
    is_partial: bool = False


def serial_key(session_id: UUID) -> str:
    """Answers of one room come one at a time, in order."""
    return f"session:{session_id}"


class ChatService:
    def __init__(
        self, uow: OpenUnitOfWork, hub: Hub, settings: ChatSettings, *, answers: AnswerState, tasks: TaskService
    ) -> None:
        self._uow = uow
        self._hub = hub
        self._answers = answers
        self._tasks = tasks
        self._settings = settings
        self._posting = Posting(uow)
        self._mention = re.compile(rf"(?<!\w)@{re.escape(settings.spirit_name)}(?!\w)", re.IGNORECASE)

    async def post(
        self,
        actor: Principal,
        session_id: UUID,
        text: str,
        *,
        client_id: str | None = None,
        reply_to: UUID | None = None,
    ) -> Message:
        """Say something. The same `client_id` again gives the message that is there.

        Raises:
            NotFound: no such room for the actor, or no such message there to reply to.
            PermissionDenied: the room is closed, or the actor is muted.
            InvalidInput: the text is empty or too long.
        """
        said = acceptable(text, self._settings)
        message = _message_of(actor, session_id, said, client_id=client_id, reply_to=reply_to)
        for_spirit = [mode for mode in SpiritMode if self._is_for_spirit(mode, said)]
        is_plain = reply_to is None and wish_in(said) is None
        if is_plain and await self._posting.store(actor, message, received(message), not_in=for_spirit):
            return message
        try:
            async with self._uow() as uow:
                room = await room_to_talk_in(uow, actor, session_id)
                there = await self._sent(uow, actor, session_id, client_id)
                if there is not None:
                    return there
                if reply_to is not None:
                    await there_message(uow, session_id, reply_to)
                return await self._add(uow, actor, room, message)
        except IntegrityError:  # sent twice at once
            async with self._uow() as uow:
                there = await self._sent(uow, actor, session_id, client_id)
            if there is None:
                raise NotFound("Session not found", session_id=str(session_id)) from None
            return there

    async def post_spirit(self, session_id: UUID, answer: Answer, *, in_reply_to: UUID) -> Message | None:
        """The spirit's answer, made once however often this is called; None when room or question are gone."""
        try:
            async with self._uow() as uow:
                return await self.add_spirit(uow, session_id, answer, in_reply_to=in_reply_to)
        except NotFound:  # the room was removed at this moment
            return None
        except IntegrityError:  # given twice at once, or the room was removed meanwhile
            async with self._uow() as uow:
                return await uow.messages.get_answer(session_id, in_reply_to)

    async def add_spirit(
        self, uow: UnitOfWork, session_id: UUID, answer: Answer, *, in_reply_to: UUID
    ) -> Message | None:
        """The same within a transaction, as the last thing in it."""
        if await uow.sessions.hold(session_id) is None:
            return None
        there = await uow.messages.get_answer(session_id, in_reply_to)
        if there is not None:
            return there
        question = await uow.messages.get(session_id, in_reply_to)
        if question is None or question.deleted_at is not None:
            return None
        message = Message(
            session_id=session_id,
            user_name=self._settings.spirit_name,
            text=answer.text,
            is_spirit=True,
            citations=[citation.model_dump(mode="json") for citation in answer.citations],
            in_reply_to=in_reply_to,
            is_partial=answer.is_partial,
        )
        return await _store(uow, message, await uow.events.next_seq(session_id))

    async def list(
        self,
        actor: Principal,
        session_id: UUID,
        *,
        after_seq: int | None,
        before_seq: int | None,
        cursor: UUID | None,
        limit: int,
    ) -> Sequence[Message]:
        """The newest first; with `after_seq` the oldest first, for catching up. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_room(uow, actor, session_id)
            if after_seq is not None:
                return await uow.messages.list_after(session_id, after_seq, after=cursor, limit=limit)
            return await uow.messages.list_latest(session_id, before_seq=before_seq, before=cursor, limit=limit)

    async def export(self, actor: Principal, session_id: UUID) -> AsyncIterator[Sequence[Message]]:
        """Everything that was said, in order, in batches. Raises NotFound, before the first one."""
        await self._require_visible(actor, session_id)
        return self._batches(session_id)

    async def announce_typing(self, actor: Principal, session_id: UUID, *, besides: Listener | None = None) -> None:
        event = UserTyping(session_id=session_id, user=person_of(actor))
        self._hub.publish(Frame(session_id, None, event.model_dump_json()), besides=besides)

    async def answer_so_far(self, session_id: UUID) -> AnswerSoFar | None:
        """What the spirit has said until now, for somebody who joins in the middle; None when it is silent."""
        return await self._answers.get(session_id)

    async def stop(self, actor: Principal, session_id: UUID) -> None:
        """End the spirit's answer, and those that wait. Raises NotFound."""
        await self._require_visible(actor, session_id)
        await self._tasks.cancel_serial(serial_key(session_id))

    async def _batches(self, session_id: UUID) -> AsyncIterator[Sequence[Message]]:
        seq = 0
        while True:
            async with self._uow() as uow:
                batch = await uow.messages.list_after(session_id, seq, limit=EXPORT_BATCH)
            if not batch:
                return
            yield batch
            seq = batch[-1].seq

    async def _require_visible(self, actor: Principal, session_id: UUID) -> None:
        async with self._uow(is_reading=True) as uow:
            await visible_room(uow, actor, session_id)

    async def _sent(self, uow: UnitOfWork, actor: Principal, session_id: UUID, client_id: str | None) -> Message | None:
        return None if client_id is None else await uow.messages.get_sent(session_id, actor.user_id, client_id)

    async def _add(self, uow: UnitOfWork, actor: Principal, room: Session, message: Message) -> Message:
        """Number it, and ask the spirit: from then until the commit the channel's row is locked."""
        is_for_spirit = self._is_for_spirit(room.spirit_mode, message.text)
        if not actor.is_guest and wish_in(message.text) is not None:
            queue_task(uow, note_task(room, message))
        seq = await uow.events.next_seq(room.id)
        waiting = await uow.tasks.count_unfinished(serial_key(room.id)) if is_for_spirit else 0
        is_heard = is_for_spirit and waiting < self._settings.spirit_queue
        if is_heard:
            queue_task(uow, _answer_task(actor, room, message))
        await _store(uow, message, seq)
        if is_for_spirit and not is_heard:
            busy = SpiritBusy(session_id=room.id, in_reply_to=message.id, waiting=waiting)
            await uow.events.append(room.id, busy)
        return message

    def _is_for_spirit(self, spirit_mode: str, text: str) -> bool:
        if spirit_mode == SpiritMode.MENTION:
            return self._mention.search(text) is not None
        return spirit_mode == SpiritMode.ALWAYS


def acceptable(text: str, settings: ChatSettings) -> str:
    """What is stored of it. Raises InvalidInput: it is empty or too long."""
    said = text.strip()
    longest = settings.message_max_length
    if not said or len(said) > longest:
        raise InvalidInput(f"A message has 1 to {longest} characters.", field="text")
    if "\0" in said:
        raise InvalidInput("A message cannot hold NUL characters.", field="text")
    return said


async def there_message(uow: UnitOfWork, session_id: UUID, message_id: UUID) -> Message:
    """Raises NotFound: there is no such message in the room, or not any more."""
    message = await uow.messages.get(session_id, message_id)
    if message is None or message.deleted_at is not None:
        raise NotFound("Message not found", message_id=str(message_id))
    return message


def _message_of(
    actor: Principal, session_id: UUID, text: str, *, client_id: str | None, reply_to: UUID | None
) -> Message:
    """It gets its number where it is stored."""
    now = utc_now()
    return Message(
        id=uuid7(),
        session_id=session_id,
        seq=0,
        user_id=actor.user_id,
        user_name=actor.name,
        text=text,
        is_spirit=False,
        citations=[],
        client_id=client_id,
        reply_to=reply_to,
        is_partial=False,
        created_at=now,
        updated_at=now,
    )


def _answer_task(actor: Principal, room: Session, message: Message) -> Task:
    return Task(
        project_id=room.project_id,
        owner_id=room.owner_id,
        task_type=ANSWER_MESSAGE,
        params={
            "session_id": str(room.id),
            "message_id": str(message.id),
            "key_id": str(actor.key_id) if actor.key_id else None,
        },
        is_internal=True,
        serial_key=serial_key(room.id),
        priority=ANSWER_PRIORITY,
    )


async def _store(uow: UnitOfWork, message: Message, seq: int) -> Message:
    message.created_at, message.seq = utc_now(), seq
    uow.messages.add(message)
    await uow.flush()
    await uow.events.append(message.session_id, received(message), seq=seq)
    return message


def received(message: Message) -> MessageReceived:
    """What a room hears of a message."""
    return MessageReceived(
        id=message.id,
        seq=message.seq,
        timestamp=message.created_at,
        session_id=message.session_id,
        user_id=message.user_id,
        user_name=message.user_name,
        text=message.text,
        is_spirit=message.is_spirit,
        citations=[Citation.model_validate(citation) for citation in message.citations],
        client_id=message.client_id,
        in_reply_to=message.in_reply_to,
        reply_to=message.reply_to,
        is_partial=message.is_partial,
        edited_at=message.edited_at,
        deleted_at=message.deleted_at,
    )


async def rewrite(uow: UnitOfWork, message: Message) -> None:
    """Bring the room's log up to date with a changed message, so that a replay tells nothing else."""
    await uow.events.rewrite(message.session_id, message.seq, received(message))
    if message.last_edit_seq is not None:
        await uow.events.blank(message.session_id, message.last_edit_seq)
