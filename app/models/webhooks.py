"""Who is told of a project's events by HTTP, and what was, or is to be, told."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Model

IS_PENDING = "status = 'pending'"
IS_PENDING_PROGRESS = f"event_type = 'progress' AND {IS_PENDING}"


class Webhook(Model):
    """The secrets are encrypted; the previous one still signs until `previous_until`.

    `disabled_reason`: why this server switched it off. `failures` in a row, since `failing_since`; nothing is sent
    before `paused_until`.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "project_id", "id"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(String(300), default="", server_default="")
    events: Mapped[list[str]] = mapped_column(ARRAY(String(40)))
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[datetime | None]
    is_active: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    disabled_reason: Mapped[str | None] = mapped_column(String(300))
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    failing_since: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class WebhookDelivery(Model):
    """An event on its way to one webhook, stored with the event itself; `message_id` is the event's id.

    Whoever sends it moves `run_after` on, so that nobody else sends it meanwhile, and it is tried again after a crash.
    `tries`: when, with which status, how long it took, and the beginning of the answer. Of a task's progress only the
    latest word waits.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(None, "webhook_id", "id"),
        Index("ix_webhook_deliveries_queue", "run_after", postgresql_where=text(IS_PENDING)),
        Index(
            "uq_webhook_deliveries_task_id_webhook_id_progress",
            "task_id",
            "webhook_id",
            unique=True,
            postgresql_where=text(IS_PENDING_PROGRESS),
        ),
        Index(None, "finished_at"),
    )

    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    message_id: Mapped[UUID]
    event_type: Mapped[str] = mapped_column(String(40))
    task_id: Mapped[UUID | None]
    frame: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(
        String(20), default=DeliveryStatus.PENDING, server_default=DeliveryStatus.PENDING
    )
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    run_after: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    tries: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    finished_at: Mapped[datetime | None]

    @property
    def next_attempt_at(self) -> datetime | None:
        return self.run_after if self.status == DeliveryStatus.PENDING else None
