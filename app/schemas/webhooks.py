"""Webhooks on the wire, and what is listed of their deliveries."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, field_validator

from app.models import DeliveryStatus
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.texts import Storable, Truth

WebhookEvent = Literal[
    "task_started", "progress", "complete", "error", "file_changed", "project_updated", "webhook_disabled"
]
Url = Annotated[Storable, StringConstraints(min_length=1, max_length=2048)]
Description = Annotated[Storable, Field(max_length=300)]
Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=20)]


class WebhookCreate(Schema):
    url: Url = Field(examples=["https://example.com/hooks/hearth"])
    events: Events = Field(["task_started", "complete", "error"], description="What is told.")
    description: Description = ""


class WebhookUpdate(Schema):
    """What is left out stays as it is. `is_active` true begins anew where nothing arrived for long."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    is_active: Truth | None = None


class WebhookRead(Read):
    """`disabled_reason`: why this server switched it off. `failures`: in a row, since `failing_since`."""

    id: UUID
    project_id: UUID
    url: str
    description: str
    events: list[str]
    is_active: bool
    disabled_reason: str | None
    failures: int
    failing_since: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class WebhookCreated(WebhookRead):
    """`secret` is shown this once."""

    secret: str


class WebhookSecret(Schema):
    """`secret` is shown this once; until `previous_until` messages are signed with the one before, too."""

    secret: str
    previous_until: Timestamp


class DeliveryTry(Schema):
    """`status_code` is null where no answer came; `error` says why. `response`: how the answer begins."""

    at: datetime
    status_code: int | None
    latency_ms: int
    error: str | None
    response: str


class DeliveryRead(Read):
    """An event on its way. `message_id` is the event's own id, and what `webhook-id` says, however often it is sent."""

    id: UUID
    webhook_id: UUID
    message_id: UUID
    event_type: str
    status: DeliveryStatus
    attempts: int
    tries: list[DeliveryTry]
    next_attempt_at: Timestamp | None
    created_at: Timestamp
    finished_at: Timestamp | None


class DeliveryDetails(DeliveryRead):
    """`frame` is the event as it is told everywhere; the message has it as `data`."""

    frame: dict[str, Any]

    @field_validator("frame", mode="before")
    @classmethod
    def _parse(cls, frame: Any) -> Any:
        return json.loads(frame) if isinstance(frame, str) else frame
