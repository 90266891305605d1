"""What clients may say through a socket: one class each, a union for rooms and one for projects."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.event_base import Instant
from app.presets import PresetChanges, Quality

Emoji = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\s\x00-\x20\x7f]+$", examples=["👍"])]
MessageNumber = Annotated[int, Field(ge=0, le=2**62)]
ClientId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]  # PostgreSQL stores no NUL


class Command(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SendMessage(Command):
    """The same `client_id` again makes no second message; a connection that was not told of the first is told now."""

    type: Literal["send_message"]
    text: str
    client_id: ClientId | None = None
    reply_to: UUID | None = None


class EditMessage(Command):
    """One's own; the spirit does not answer it again."""

    type: Literal["edit_message"]
    message_id: UUID
    text: str


class DeleteMessage(Command):
    """One's own, or as a host anybody's."""

    type: Literal["delete_message"]
    message_id: UUID


class AddReaction(Command):
    type: Literal["add_reaction"]
    message_id: UUID
    emoji: Emoji


class RemoveReaction(Command):
    type: Literal["remove_reaction"]
    message_id: UUID
    emoji: Emoji


class MarkRead(Command):
    """Everything up to the number `seq` was read; a marker never moves back."""

    type: Literal["mark_read"]
    seq: MessageNumber


class Typing(Command):
    type: Literal["typing"]


class Ping(Command):
    type: Literal["ping"]


class Resume(Command):
    type: Literal["resume"]
    after_seq: MessageNumber


class Stop(Command):
    type: Literal["stop"]


class Authenticate(Command):
    type: Literal["authenticate"]
    token: str = Field(max_length=4096)


class StartGeneration(Command):
    type: Literal["start_generation"]
    task_type: str = Field(max_length=100)
    params: dict[str, Any] = Field(default_factory=dict)
    quality: Quality | None = None
    preset: PresetChanges = PresetChanges()
    run_at: Instant | None = None
    after: list[UUID] = Field(default_factory=list, max_length=20)


class CancelTask(Command):
    type: Literal["cancel_task"]
    task_id: UUID


class RetryTask(Command):
    """Of a task that has failed or was cancelled."""

    type: Literal["retry_task"]
    task_id: UUID


MessageCommand = EditMessage | DeleteMessage | AddReaction | RemoveReaction | MarkRead
RoomCommand = SendMessage | MessageCommand | Typing | Ping | Resume | Stop | Authenticate
ProjectCommand = StartGeneration | CancelTask | RetryTask | Ping | Resume | Authenticate

room_command: TypeAdapter[RoomCommand] = TypeAdapter(Annotated[RoomCommand, Field(discriminator="type")])
project_command: TypeAdapter[ProjectCommand] = TypeAdapter(Annotated[ProjectCommand, Field(discriminator="type")])
