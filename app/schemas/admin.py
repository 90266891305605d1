"""Administration on the wire: accounts, invites, numbers, tasks and the audit log; never what people keep."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field

from app.models import DocumentStatus, RegistrationInvite, TaskStatus
from app.permissions import Role
from app.schemas.auth import Email
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.users import Name

SHORTEST_INVITE: Final = 3_600  # seconds
LONGEST_INVITE: Final = 30 * 86_400
AccountRole = Literal[Role.USER, Role.ADMIN]
"""What can be given; guests are made by invites into rooms."""


def _code_of(error: object) -> object:
    return error.get("code") if isinstance(error, dict) else error


class AdminUserRead(Read):
    """An account, as admins see it."""

    id: UUID
    email: str | None
    name: str
    role: Role
    is_active: bool
    email_verified_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class AdminUserUpdate(Schema):
    """What is left out stays as it is; nothing else can be changed for somebody."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    role: AccountRole | None = None
    is_active: bool | None = Field(None, description="False ends every log-in, and the account's keys stop working.")


class RegistrationInviteCreate(Schema):
    model_config = ConfigDict(extra="forbid")

    email: Email | None = Field(None, description="The only address that may use it; none: any.")
    role: AccountRole = Role.USER
    expires_in: int = Field(7 * 86_400, ge=SHORTEST_INVITE, le=LONGEST_INVITE, description="Seconds.")


class RegistrationInviteRead(Read):
    """Good for one account, while whoever made it is an active admin."""

    id: UUID
    email: str | None
    role: Role
    created_by: UUID | None
    expires_at: Timestamp
    used_at: Timestamp | None
    used_by: UUID | None
    created_at: Timestamp


class RegistrationInviteCreated(RegistrationInviteRead):
    """The only time that the invite itself is shown."""

    invite: str = Field(examples=["hearth_reg_…"])

    @classmethod
    def of(cls, row: RegistrationInvite, invite: str) -> Self:
        return cls(**RegistrationInviteRead.model_validate(row).model_dump(), invite=invite)


class UserCountRead(Read):
    role: Role
    is_active: bool
    count: int


class DocumentCountRead(Read):
    status: DocumentStatus
    count: int
    bytes: int = Field(description="As they were uploaded: what is in several projects counts in each.")


class TaskCountRead(Read):
    task_type: str
    status: TaskStatus
    count: int


class QueueRead(Read):
    waiting: int
    running: int
    oldest_age_seconds: float | None = Field(description="Since the task that waits longest was queued.")


class StatisticsRead(Read):
    """Numbers alone. Where it says so, tables of more than 10,000 rows are estimated."""

    users: list[UserCountRead]
    documents: list[DocumentCountRead]
    tasks: list[TaskCountRead]
    projects: int = Field(description="Estimated above 10,000.")
    rooms: int = Field(description="Estimated above 10,000.")
    passages: int = Field(description="Estimated above 10,000.")
    messages: int = Field(description="Estimated above 10,000.")
    queue: QueueRead
    logins_last_day: int


class AdminTaskRead(Read):
    """A task without what it works on and without what came of it; internal ones are not listed to users."""

    id: UUID
    project_id: UUID
    owner_id: UUID
    task_type: str
    quality: str
    status: TaskStatus
    progress: float
    error_code: Annotated[str | None, BeforeValidator(_code_of)] = Field(validation_alias="error")
    attempts: int
    priority: int
    is_internal: bool
    cancel_requested: bool
    run_after: Timestamp
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class AuditEntryRead(Read):
    """Who (`actor_id`, and by which key), what, on what, from where; ids, so that it outlives names."""

    id: UUID
    created_at: Timestamp
    actor_id: UUID | None
    key_id: UUID | None
    action: str
    target_type: str | None
    target_id: UUID | None
    address: str
    request_id: str
    details: dict[str, Any]


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
