"""Who did what: written once, never changed."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Model


class AuditAction(StrEnum):
    """What is noted; the name is a noun and what became of it."""

    LOGIN = "login.begun"
    LOGIN_FAILED = "login.failed"
    LOGIN_LOCKED = "login.locked"
    LOGOUT = "login.ended"
    REFRESH_REUSED = "login.refresh_token_reused"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    USER_EXPORTED = "user.exported"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - an action
    PASSWORD_RESET = "password.reset"  # noqa: S105 - an action
    EMAIL_VERIFIED = "email.verified"
    IDENTITY_LINKED = "identity.linked"
    IDENTITY_REMOVED = "identity.removed"
    KEY_CREATED = "api_key.created"
    KEY_DELETED = "api_key.deleted"
    PROJECT_DELETED = "project.deleted"
    PROJECT_ARCHIVED = "project.archived"
    PROJECT_UNARCHIVED = "project.unarchived"
    PROJECT_EXPORTED = "project.exported"
    FILE_DELETED = "file.deleted"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_DELETED = "webhook.deleted"
    MEMBER_SET = "member.set"
    MEMBER_REMOVED = "member.removed"
    ROOM_DELETED = "session.deleted"
    ROOM_CHANGED = "session.changed"
    ROOM_INVITE_CREATED = "session.invite_created"
    ROOM_INVITE_REVOKED = "session.invite_revoked"
    ROOM_MUTED = "session.participant_muted"
    ROOM_UNMUTED = "session.participant_unmuted"
    ROOM_REMOVED = "session.participant_removed"
    MESSAGE_DELETED = "message.deleted"  # somebody else's, by a host
    DOCUMENT_DELETED = "document.deleted"
    MEDIA_DELETED = "media.deleted"  # somebody else's, by the owner of the memory
    MEMORY_SHARED = "memory.shared"  # with another project than before, or with none
    TASK_CANCELLED = "task.cancelled"  # by an admin: people end those of their own projects
    REGISTRATION_INVITED = "invite.created"
    REGISTRATION_INVITE_REVOKED = "invite.revoked"
    LIMITS_CHANGED = "limits.changed"
    ADMIN_READ = "admin.read"


class AuditEntry(Model):
    """Names nobody but by id, so that it outlives accounts without remembering persons.

    A trigger refuses every change; entries go only when they are older than the retention allows.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index(None, "actor_id", "id"),
        Index(None, "action", "id"),
        Index(None, "target_id", "id"),
        Index(None, "created_at"),
    )

    actor_id: Mapped[UUID | None]
    key_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(String(50))
    target_type: Mapped[str | None] = mapped_column(String(30))
    target_id: Mapped[UUID | None]
    address: Mapped[str] = mapped_column(String(64), default="", server_default="")
    request_id: Mapped[str] = mapped_column(String(128), default="", server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
