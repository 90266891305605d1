"""Long-running work: the row is the resource that users see and the queue that workers lease from."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Float, ForeignKey, Index, SmallInteger, String, Text, desc, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model
from app.telemetry.spans import traceparent

TRACEPARENT = "traceparent"  # stands among the steps, and says which trace a task belongs to


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


IS_UNFINISHED = "status IN ('queued', 'running')"
IS_IN_LINE = f"{IS_UNFINISHED} AND NOT is_held"
UNFINISHED = (TaskStatus.QUEUED, TaskStatus.RUNNING)


def first_steps() -> dict[str, Any]:
    """Whoever carries the task out goes on with the trace of whoever queued it."""
    parent = traceparent()
    return {TRACEPARENT: parent} if parent else {}


class Task(Model):
    """`fence` rises with every worker that takes the task, so that one that was thought dead writes nothing more.

    `attempts` counts the tries that users hear of. `serial_key` keeps tasks of one room in line.

    The higher `priority` is, the sooner. A task is *held* out of the line while it waits for its time or for other
    tasks, so that taking the next one does not have to pass by it. `place` numbers the running tasks of a type of which
    only so many may run at once.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "owner_id"),
        Index(None, "schedule_id", postgresql_where=text("schedule_id IS NOT NULL")),
        Index("ix_tasks_queue", "project_id", desc("priority"), "id", postgresql_where=text(IS_IN_LINE)),
        Index("ix_tasks_held", "run_after", postgresql_where=text("is_held AND waits_for = 0")),
        Index("ix_tasks_serial_key_unfinished", "serial_key", postgresql_where=text(IS_UNFINISHED)),
        Index("uq_tasks_serial_key_running", "serial_key", unique=True, postgresql_where=text("status = 'running'")),
        Index("uq_tasks_place_running", "task_type", "place", unique=True, postgresql_where=text("status = 'running'")),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    task_type: Mapped[str] = mapped_column(String(100))
    quality: Mapped[str] = mapped_column(String(20), default="standard")
    params: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    preset: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    status: Mapped[str] = mapped_column(String(20), default=TaskStatus.QUEUED)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    preview_url: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    failures: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    steps: Mapped[dict[str, Any]] = mapped_column(JSONB, default=first_steps, server_default=text("'{}'"))  # finished
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    is_internal: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # not listed to users
    serial_key: Mapped[str | None] = mapped_column(String(100))
    place: Mapped[int | None] = mapped_column(SmallInteger)
    schedule_id: Mapped[UUID | None] = mapped_column(ForeignKey("task_schedules.id", ondelete="SET NULL"))
    waits_for: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))  # so many tasks
    is_awaited: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # by other tasks
    is_held: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    run_after: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    leased_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TaskDependency(Base):
    """`task_id` may begin when `after_id` has succeeded. A task names tasks that are there, so there are no circles."""

    __tablename__ = "task_dependencies"
    __table_args__ = (Index(None, "after_id"),)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    after_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)


class TaskSchedule(Model):
    """Work that is started again and again; `next_run_at` is empty while it is paused."""

    __tablename__ = "task_schedules"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "owner_id"),
        Index(None, "next_run_at", postgresql_where=text("next_run_at IS NOT NULL")),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    task_type: Mapped[str] = mapped_column(String(100))
    quality: Mapped[str] = mapped_column(String(20))
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    preset: Mapped[dict[str, Any]] = mapped_column(JSONB)
    cron: Mapped[str] = mapped_column(String(100))
    timezone: Mapped[str] = mapped_column(String(64))
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    pause_reason: Mapped[str] = mapped_column(Text, default="")

    @property
    def is_paused(self) -> bool:
        return self.next_run_at is None
