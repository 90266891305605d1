"""Long-running work on the wire."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.models import TaskStatus
from app.schemas.common import Read, Timestamp
from app.schemas.texts import Truth

Quality = Literal["draft", "standard", "high", "ultra"]


class TaskRead(Read):
    """`progress` runs from 0 to 1; `error` has `code`, `message` and `details`."""

    id: UUID
    project_id: UUID
    task_type: str
    quality: str
    params: dict[str, Any]
    status: TaskStatus
    progress: float
    message: str
    preview_url: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class TaskCreate(BaseModel):
    task_type: str = Field(max_length=100, examples=["reingest_project"])
    params: dict[str, Any] = Field(default_factory=dict)
    quality: Quality | None = Field(None, description="Your own setting `default_quality`, or else `standard`.")


class TaskTypeRead(Read):
    """A kind of work. `params` is the JSON Schema of its parameters."""

    name: str
    description: str
    may_be_started: bool
    params: dict[str, Any]

    @field_validator("params", mode="before")
    @classmethod
    def _describe(cls, params: Any) -> Any:
        return params.model_json_schema() if isinstance(params, type) and issubclass(params, BaseModel) else params


class IngestDocumentParams(BaseModel):
    """Read a document, and make its passages searchable."""

    model_config = ConfigDict(extra="forbid")

    document_id: UUID


class ReingestProjectParams(BaseModel):
    """Read documents of a project again: all of them, or those that failed."""

    model_config = ConfigDict(extra="forbid")

    only_failed: Truth = Field(False, description="Leave alone what is ready.")


class AnswerMessageParams(BaseModel):
    """Let the spirit answer a message in a room; `key_id` is the API key that it was sent with."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    message_id: UUID
    key_id: UUID | None = None


class NoteCandidateParams(BaseModel):
    """Put what a message asks to remember among its author's candidates."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    message_id: UUID


class ExtractMemoriesParams(BaseModel):
    """Propose to whoever starts the task what of a room's last messages to remember."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID


class RenderMediaParams(BaseModel):
    """Make what is shown of a picture."""

    model_config = ConfigDict(extra="forbid")

    media_id: UUID


class SummarizeRoomParams(BaseModel):
    """Sum up what was said in a room, at the cost of `user_id` and the API key `key_id`."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID
    user_id: UUID
    key_id: UUID | None = None


class DeleteAccountParams(BaseModel):
    """Remove what a deleted account leaves behind, and the account."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID
    erase_messages: bool = False
