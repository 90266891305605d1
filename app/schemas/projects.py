"""Projects and their members on the wire."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, ValidationInfo, field_validator

from app.models import DocumentStatus, TaskStatus
from app.permissions import ProjectRole
from app.schemas.auth import Email
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.texts import Storable
from app.schemas.users import Name

Description = Annotated[Storable, Field(max_length=2000)]


class ProjectCreate(Schema):
    name: Name = Field(examples=["Lighthouse"])
    description: Description = ""


class ProjectUpdate(Schema):
    """What is left out stays as it is."""

    name: Name | None = None
    description: Description | None = None


class ProjectRead(Read):
    """`role` is the caller's own. Since `archived_at` what is in the project can be read, and not changed."""

    id: UUID
    name: str
    description: str
    is_default: bool
    owner_id: UUID
    role: ProjectRole
    archived_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class ProjectStatistics(Read):
    """How much there is in a project; documents and tasks by their status. `memories`: that are shared with it."""

    documents: dict[DocumentStatus, int]
    documents_bytes: int
    passages: int
    sessions: int
    messages: int
    tasks: dict[TaskStatus, int]
    files: int
    files_bytes: int
    memories: int
    members: int
    webhooks: int

    @field_validator("documents", "tasks", mode="before")
    @classmethod
    def _with_zeros(cls, counts: Any, info: ValidationInfo) -> Any:
        kinds: type[DocumentStatus | TaskStatus] = DocumentStatus if info.field_name == "documents" else TaskStatus
        return dict.fromkeys(kinds, 0) | dict(counts)


class MemberPut(Schema):
    email: Email = Field(examples=["grace@example.com"])
    role: ProjectRole = ProjectRole.VIEWER


class MemberRead(Read):
    user_id: UUID
    name: str
    email: str | None
    role: ProjectRole
