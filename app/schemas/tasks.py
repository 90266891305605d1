"""Long-running work on the wire."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from app.event_base import Instant
from app.models import TaskStatus
from app.presets import PresetChanges, Quality
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.files import ProjectPath
from app.schemas.texts import NO_NUL_NOR_BLANK, Truth, require_content, shown_as


class TaskFailure(Schema):
    """A try that went wrong before the last one."""

    attempt: int
    at: Timestamp
    code: str
    message: str


class TaskRead(Read):
    """`preset`: what the quality means here; `progress` runs from 0 to 1; `error` has `code`, `message`, `details`.

    `failures`: earlier tries, the newest last; `waits_for`: so many tasks that it comes after have not succeeded yet;
    `run_after`: it is not begun, or not tried again, before this time.
    """

    id: UUID
    project_id: UUID
    task_type: str
    quality: str
    params: dict[str, Any]
    preset: dict[str, Any]
    status: TaskStatus
    progress: float
    message: str
    preview_url: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    failures: list[TaskFailure]
    waits_for: int
    run_after: Timestamp
    schedule_id: UUID | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class TaskOrder(Schema):
    task_type: str = Field(max_length=100, examples=["reingest_project"])
    params: dict[str, Any] = Field(default_factory=dict)
    quality: Quality | None = Field(None, description="Your own setting `default_quality`, or else `standard`.")
    preset: PresetChanges = Field(PresetChanges(), description="Single values that differ from those of the quality.")


class TaskCreate(TaskOrder):
    run_at: Instant | None = Field(None, description="Not before this time.")
    after: list[UUID] = Field(
        default_factory=list, max_length=20, description="Tasks of this project that have to succeed before it begins."
    )


class TaskTypeRead(Read):
    """A kind of work. `params` is the JSON Schema of its parameters; `presets`: what each quality means for it."""

    name: str
    description: str
    may_be_started: bool
    params: dict[str, Any]
    presets: dict[Quality, dict[str, int | float | str]]


class IngestDocumentParams(Schema):
    """Read a document, and make its passages searchable."""

    model_config = ConfigDict(extra="forbid")

    document_id: UUID


class ReingestProjectParams(Schema):
    """Read documents of a project again: all of them, or those that failed."""

    model_config = ConfigDict(extra="forbid")

    only_failed: Truth = Field(False, description="Leave alone what is ready.")


class AnswerMessageParams(Schema):
    """Let the spirit answer a message in a room; `key_id` is the API key that it was sent with."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    message_id: UUID
    key_id: UUID | None = None


class NoteCandidateParams(Schema):
    """Put what a message asks to remember among its author's candidates."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    message_id: UUID


class ExtractMemoriesParams(Schema):
    """Propose to whoever starts the task what of a room's last messages to remember."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID


class SummarizeSessionParams(Schema):
    """Sum up all that was said in a room of the project."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID


class SummarizeDocumentParams(Schema):
    """Sum up a document of the project."""

    model_config = ConfigDict(extra="forbid")

    document_id: UUID


class ReembedProjectParams(Schema):
    """Make the vectors and words of all passages of a project anew."""

    model_config = ConfigDict(extra="forbid")


class ExportProjectParams(Schema):
    """Put everything in the project into one ZIP archive among its files."""

    model_config = ConfigDict(extra="forbid")

    path: ProjectPath | None = Field(None, description="Where; left out: in the folder `exports`.")


class TextToImageParams(Schema):
    """Make pictures from words. They are kept in `folder`, left out: `images`."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(max_length=32_000), AfterValidator(require_content), shown_as(NO_NUL_NOR_BLANK)]
    shape: Literal["square", "landscape", "portrait"] = "square"
    count: int = Field(1, ge=1, le=4, description="Pictures, one after another.")
    folder: ProjectPath | None = None


class ImageToImageParams(TextToImageParams):
    """Make pictures from words and a picture among the project's files.

    Where `mask`, of the same size, is transparent, the picture is changed; without one, it is as a whole.
    """

    image: ProjectPath
    mask: ProjectPath | None = None


class RenderMediaParams(Schema):
    """Make what is shown of a picture."""

    model_config = ConfigDict(extra="forbid")

    media_id: UUID


class SummarizeRoomParams(Schema):
    """Sum up what was said in a room, at the cost of `user_id` and the API key `key_id`."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    user_id: UUID
    key_id: UUID | None = None


class DeleteAccountParams(Schema):
    """Remove what a deleted account leaves behind, and the account."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID
    erase_messages: bool = False
