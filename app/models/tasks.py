"""Long-running work: the row is the resource that users see and the queue that workers lease from."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Float, ForeignKey, Index, SmallInteger, String, Text, desc, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Model


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


IS_UNFINISHED = "status IN ('queued', 'running')"
UNFINISHED = (TaskStatus.QUEUED, TaskStatus.RUNNING)


class Task(Model):
    """`attempts` fences out a worker that was thought dead; `serial_key` keeps tasks of one room in line.

    The higher `priority` is, the sooner.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "owner_id"),
        Index("ix_tasks_queue", "project_id", desc("priority"), "id", postgresql_where=text(IS_UNFINISHED)),
        Index("ix_tasks_serial_key_unfinished", "serial_key", postgresql_where=text(IS_UNFINISHED)),
        Index("uq_tasks_serial_key_running", "serial_key", unique=True, postgresql_where=text("status = 'running'")),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    task_type: Mapped[str] = mapped_column(String(100))
    quality: Mapped[str] = mapped_column(String(20), default="standard")
    params: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    status: Mapped[str] = mapped_column(String(20), default=TaskStatus.QUEUED)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    preview_url: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0)
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    is_internal: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # not listed to users
    serial_key: Mapped[str | None] = mapped_column(String(100))
    run_after: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    leased_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
