"""What can be said through a socket, and what it means: commands in, calls of services out."""

from typing import Protocol
from uuid import UUID

from app.commands import (
    AddReaction,
    Authenticate,
    CancelTask,
    DeleteMessage,
    EditMessage,
    MarkRead,
    MessageCommand,
    Ping,
    RemoveReaction,
    Resume,
    RetryTask,
    SendMessage,
    StartGeneration,
    Stop,
    Typing,
    project_command,
    room_command,
)
from app.errors import AppError, BadRequest, PermissionDenied
from app.events import ErrorOccurred, Pong, SpiritThinking, SpiritToken, Welcome
from app.permissions import Action, Principal, may
from app.realtime.channels import Listener
from app.resources import Resources
from app.schemas.tasks import TaskCreate
from app.services.chat import received
from app.services.sessions import person_of


class Conversation(Protocol):
    """One connection's talk in one channel."""

    listener: Listener

    async def begin(self, after_seq: int | None) -> None:
        """Welcome, then what was missed, then live."""

    async def carry_out(self, text: str) -> None:
        """Raises pydantic's ValidationError (no frame of the protocol), AppError (refused)."""

    def complain(self, error: AppError) -> None: ...


class RoomConversation:
    def __init__(self, actor: Principal, session_id: UUID, listener: Listener, resources: Resources) -> None:
        self.listener = listener
        self._actor = actor
        self._session_id = session_id
        self._hub = resources.hub
        self._services = resources.services
        self._told_after = 0  # this connection was told what comes after this number, and nothing before

    async def begin(self, after_seq: int | None) -> None:
        recovered = await self._hub.can_replay(self.listener, after_seq)
        people = await self._services.sessions.people(self._session_id)
        answer = await self._services.chat.answer_so_far(self._session_id)
        last_seq = self.listener.last_seq
        self.listener.send(
            Welcome(
                session_id=self._session_id,
                you=person_of(self._actor),
                participants=people,
                last_seq=last_seq,
                recovered=recovered,
            )
        )
        if answer is not None:
            self.listener.ignores = answer.contains
            room_and_message = {"session_id": self._session_id, "in_reply_to": answer.in_reply_to}
            self.listener.send(SpiritThinking(**room_and_message))
            self.listener.send(SpiritToken(**room_and_message, delta=answer.text, offset=0))
        start = last_seq if after_seq is None else min(after_seq, last_seq)
        await self._hub.follow(self.listener, start)
        self._told_after = min(start, self.listener.last_seq)

    async def carry_out(self, text: str) -> None:
        match room_command.validate_json(text):
            case SendMessage() as command:
                _require_write(self._actor)
                await self._say(command)
            case EditMessage() | DeleteMessage() | AddReaction() | RemoveReaction() | MarkRead() as command:
                _require_write(self._actor)
                await self._change(command)
            case Typing():
                _require_write(self._actor)
                await self._services.chat.announce_typing(self._actor, self._session_id, besides=self.listener)
            case Stop():
                _require_write(self._actor)
                await self._services.chat.stop(self._actor, self._session_id)
            case Resume(after_seq=after_seq):
                self._told_after = min(self._told_after, after_seq)
                await self._hub.follow(self.listener, after_seq)
            case Ping():
                self.listener.send(Pong(session_id=self._session_id))
            case Authenticate():
                raise BadRequest("This connection is authenticated already.")

    async def _say(self, command: SendMessage) -> None:
        message = await self._services.chat.post(
            self._actor, self._session_id, command.text, client_id=command.client_id, reply_to=command.reply_to
        )
        if message.seq <= self._told_after:  # sent again, since an earlier connection broke before the answer
            self.listener.send(received(message))

    async def _change(self, command: MessageCommand) -> None:
        messages, room = self._services.messages, (self._actor, self._session_id)
        match command:
            case EditMessage(message_id=message_id, text=text):
                await messages.edit(*room, message_id, text)
            case DeleteMessage(message_id=message_id):
                await messages.delete(*room, message_id)
            case AddReaction(message_id=message_id, emoji=emoji):
                await messages.add_reaction(*room, message_id, emoji)
            case RemoveReaction(message_id=message_id, emoji=emoji):
                await messages.remove_reaction(*room, message_id, emoji)
            case MarkRead(seq=seq):
                await messages.mark_read(*room, seq)

    def complain(self, error: AppError) -> None:
        self.listener.send(
            ErrorOccurred(
                session_id=self._session_id, error_code=error.code, message=error.message, details=error.details
            )
        )


class ProjectConversation:
    def __init__(self, actor: Principal, project_id: UUID, listener: Listener, resources: Resources) -> None:
        self.listener = listener
        self._actor = actor
        self._project_id = project_id
        self._hub = resources.hub
        self._tasks = resources.services.tasks

    async def begin(self, after_seq: int | None) -> None:
        recovered = await self._hub.can_replay(self.listener, after_seq)
        active = await self._tasks.active_in(self._project_id)
        last_seq = self.listener.last_seq
        self.listener.send(
            Welcome(
                project_id=self._project_id,
                you=person_of(self._actor),
                participants=(),
                last_seq=last_seq,
                recovered=recovered,
                active_tasks=active,
            )
        )
        await self._hub.follow(self.listener, last_seq if after_seq is None else min(after_seq, last_seq))

    async def carry_out(self, text: str) -> None:
        match project_command.validate_json(text):
            case StartGeneration() as order:
                _require_write(self._actor)
                await self._tasks.start(
                    self._actor, self._project_id, TaskCreate.model_validate(order.model_dump(exclude={"type"}))
                )
            case CancelTask(task_id=task_id):
                _require_write(self._actor)
                await self._tasks.cancel(self._actor, task_id)
            case RetryTask(task_id=task_id):
                _require_write(self._actor)
                await self._tasks.retry(self._actor, task_id)
            case Resume(after_seq=after_seq):
                await self._hub.follow(self.listener, after_seq)
            case Ping():
                self.listener.send(Pong(project_id=self._project_id))
            case Authenticate():
                raise BadRequest("This connection is authenticated already.")

    def complain(self, error: AppError) -> None:
        self.listener.send(
            ErrorOccurred(
                project_id=self._project_id, error_code=error.code, message=error.message, details=error.details
            )
        )


def _require_write(actor: Principal) -> None:
    if not may(actor, Action.TALK):
        raise PermissionDenied("This API key lacks the scope `write`.")
