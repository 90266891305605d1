"""What the server tells clients: one class each, and their unions. What clients may say is in `commands.py`.

Every frame is a JSON text with `type`, `id`, `timestamp` and the id of its channel. *Durable* events are numbered rows
of the event log and carry `seq`; ephemeral ones have no number, and the latest value wins.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from app.event_base import Event as Event
from app.event_base import Timestamp as Timestamp
from app.event_base import Told as Told
from app.event_base import utc_now as utc_now
from app.project_events import FileChanged as FileChanged
from app.project_events import ProjectEvent as ProjectEvent
from app.project_events import ProjectUpdated as ProjectUpdated
from app.project_events import StateChanged as StateChanged
from app.project_events import WebhookDisabled as WebhookDisabled
from app.project_events import WebhookPinged as WebhookPinged

WORKERS = UUID(int=0)
"""The channel on which workers are told that there is something to do. It has no log: a worker also polls."""


class Wanted(StrEnum):
    """What there is to do for workers."""

    ANYTHING = "anything"
    TASKS = "tasks"  # to be begun
    STOPS = "stops"  # of tasks that run
    MAILS = "mails"
    MEMORIES = "memories"  # to be indexed
    WEBHOOKS = "webhooks"  # to be told


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded event on its way to a channel's members. `seq` is None for ephemeral ones."""

    channel_id: UUID
    seq: int | None
    text: str


class Person(Told):
    """Somebody in a room, as others see them."""

    id: UUID
    name: str


class Citation(Told):
    """A passage that supports an answer: `quote` stands verbatim at `char_start`:`char_end` of the document's text, or
    of the memory's content (of its title, where it has no content). Of the two ids one is null.
    """

    marker: int
    document_id: UUID | None
    memory_id: UUID | None = None
    title: str
    page: int | None
    char_start: int
    char_end: int
    quote: str
    document_version: str | None = Field(
        None, description="The text that the offsets count in: a document that was read anew has another one."
    )


# --- events of a room ---------------------------------------------------------------------------------------------


class RoomEvent(Event):
    session_id: UUID


class TaskState(Told):
    """A task that is under way, for those who join late."""

    task_id: UUID
    task_type: str
    status: str
    progress: float
    message: str
    preview_url: str | None = None


class Welcome(Event):
    """First frame of a connection. `recovered` is false when `after_seq` lies before what the log still holds."""

    type: Literal["welcome"] = "welcome"
    session_id: UUID | None = None
    project_id: UUID | None = None
    you: Person
    participants: tuple[Person, ...]
    last_seq: int
    recovered: bool
    active_tasks: tuple[TaskState, ...] = ()


class UserJoined(RoomEvent):
    type: Literal["user_joined"] = "user_joined"
    user: Person
    participants: int


class UserLeft(RoomEvent):
    type: Literal["user_left"] = "user_left"
    user: Person
    participants: int


class UserTyping(RoomEvent):
    type: Literal["typing"] = "typing"
    user: Person


class MessageReceived(RoomEvent):
    """Durable. `id`, `seq` and `timestamp` are the message's own; a replay shows it as it is by now.

    A deleted one has no text. A spirit's is `is_partial` when somebody stopped it, or its end was lost.
    """

    type: Literal["message_received"] = "message_received"
    seq: int = 0
    user_id: UUID | None
    user_name: str
    text: str
    is_spirit: bool
    citations: tuple[Citation, ...] = ()
    client_id: str | None = None
    in_reply_to: UUID | None = None
    reply_to: UUID | None = None
    is_partial: bool = False
    edited_at: Timestamp | None = None
    deleted_at: Timestamp | None = None


class MessageEdited(RoomEvent):
    """Durable. `text` is null in a replay where a later event edits the message again, or deletes it."""

    type: Literal["message_edited"] = "message_edited"
    seq: int = 0
    message_id: UUID
    user_id: UUID
    text: str | None
    edited_at: Timestamp


class MessageDeleted(RoomEvent):
    """Durable. `user_id`: who deleted it, its author or a host."""

    type: Literal["message_deleted"] = "message_deleted"
    seq: int = 0
    message_id: UUID
    user_id: UUID


class ReactionAdded(RoomEvent):
    """Durable."""

    type: Literal["reaction_added"] = "reaction_added"
    seq: int = 0
    message_id: UUID
    user_id: UUID
    emoji: str


class ReactionRemoved(RoomEvent):
    """Durable."""

    type: Literal["reaction_removed"] = "reaction_removed"
    seq: int = 0
    message_id: UUID
    user_id: UUID
    emoji: str


class MessagesRead(RoomEvent):
    """Durable. Somebody has read everything up to the message with the number `last_read_seq`."""

    type: Literal["read"] = "read"
    seq: int = 0
    user_id: UUID
    last_read_seq: int


class ParticipantEvent(RoomEvent):
    """Durable. `by`: the host who did it."""

    seq: int = 0
    user_id: UUID
    by: UUID


class ParticipantMuted(ParticipantEvent):
    type: Literal["participant_muted"] = "participant_muted"


class ParticipantUnmuted(ParticipantEvent):
    type: Literal["participant_unmuted"] = "participant_unmuted"


class ParticipantRemoved(ParticipantEvent):
    type: Literal["participant_removed"] = "participant_removed"


class SessionUpdated(RoomEvent):
    """Durable. The room as it is now; when it is not `is_active`, sockets are closed with 4403."""

    type: Literal["session_updated"] = "session_updated"
    seq: int = 0
    name: str
    max_users: int
    spirit_mode: str
    is_active: bool
    shares_documents: bool


class SpiritBusy(RoomEvent):
    """Durable. So many messages wait for the spirit that it will not answer this one."""

    type: Literal["spirit_busy"] = "spirit_busy"
    seq: int = 0
    in_reply_to: UUID
    waiting: int


class SpiritThinking(RoomEvent):
    type: Literal["spirit_thinking"] = "spirit_thinking"
    in_reply_to: UUID


class SpiritToken(RoomEvent):
    """The next piece of the answer; for a joiner in the middle the first `delta` is all that was said so far.

    `offset`: how many code points of the answer come before `delta`; null when that is not known.
    """

    type: Literal["spirit_token"] = "spirit_token"
    in_reply_to: UUID
    delta: str
    offset: int | None = None


# --- events of a project -------------------------------------------------------------------------------------------


class TaskEvent(ProjectEvent):
    task_id: UUID
    task_type: str


class TaskStarted(TaskEvent):
    """Durable."""

    type: Literal["task_started"] = "task_started"
    seq: int = 0
    params: dict[str, Any]
    attempt: int


class TaskProgress(TaskEvent):
    type: Literal["progress"] = "progress"
    progress: float
    message: str
    preview_url: str | None = None


class TaskCompleted(TaskEvent):
    """Durable. `duration` in seconds."""

    type: Literal["complete"] = "complete"
    seq: int = 0
    result: dict[str, Any]
    duration: float


class TaskFailed(TaskEvent):
    """Durable."""

    type: Literal["error"] = "error"
    seq: int = 0
    error_code: str
    message: str
    details: dict[str, Any]


# --- events of a person -------------------------------------------------------------------------------------------


class MemoryChanged(Event):
    """Durable; for the owner of the memory alone. What it says now is read by its id."""

    type: Literal["memory_changed"] = "memory_changed"
    seq: int = 0
    user_id: UUID
    memory_id: UUID
    change: str


class MemoriesImported(Event):
    """Durable; for their owner alone. `count` memories of a file were added or changed."""

    type: Literal["memories_imported"] = "memories_imported"
    seq: int = 0
    user_id: UUID
    import_id: UUID
    count: int


# --- answers to one client ----------------------------------------------------------------------------------------


class ErrorOccurred(Event):
    """A frame was refused; the connection lives on."""

    type: Literal["error"] = "error"
    session_id: UUID | None = None
    project_id: UUID | None = None
    error_code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class Pong(Event):
    type: Literal["pong"] = "pong"
    session_id: UUID | None = None
    project_id: UUID | None = None


DurableRoomEvent = (
    MessageReceived
    | MessageEdited
    | MessageDeleted
    | ReactionAdded
    | ReactionRemoved
    | MessagesRead
    | ParticipantMuted
    | ParticipantUnmuted
    | ParticipantRemoved
    | SessionUpdated
    | SpiritBusy
)
DurableProjectEvent = TaskStarted | TaskCompleted | TaskFailed | ProjectUpdated | FileChanged | WebhookDisabled
DurableEvent = DurableRoomEvent | DurableProjectEvent | MemoryChanged | MemoriesImported
EphemeralEvent = UserJoined | UserLeft | UserTyping | SpiritThinking | SpiritToken | TaskProgress | StateChanged
PersonalEvent = Welcome | ErrorOccurred | Pong

_NUMBER: Final = '"seq":0'


def around_number(event: "DurableEvent") -> tuple[str, str]:
    """The encoded event before and after its number, for whoever numbers it as it is stored. No class has a text that
    people write before its number.
    """
    head, number, tail = event.model_copy(update={"seq": 0}).model_dump_json().partition(_NUMBER)
    assert number
    return head + _NUMBER[:-1], tail
