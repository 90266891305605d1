"""What the server tells of a project itself, its state, its files and its webhooks."""

from typing import Any, Literal
from uuid import UUID

from app.event_base import Event, Timestamp


class ProjectEvent(Event):
    project_id: UUID


class ProjectUpdated(ProjectEvent):
    """Durable. The project as it is now; since `archived_at` it is read-only."""

    type: Literal["project_updated"] = "project_updated"
    seq: int = 0
    name: str
    description: str
    archived_at: Timestamp | None


class StateChanged(ProjectEvent):
    """The state is now of this `version` and was of the one before; 0 is none.

    `changes` is the merge patch (RFC 7396) that leads from one to the other; null where the state was replaced, or the
    patch is long: then, or after a version that was not told of, the state is read over HTTP.
    """

    type: Literal["state_changed"] = "state_changed"
    version: int
    previous_version: int
    changes: dict[str, Any] | None
    by: UUID


class FileChanged(ProjectEvent):
    """Durable. `change` is created, updated or deleted; `version` is what the file's `ETag` says."""

    type: Literal["file_changed"] = "file_changed"
    seq: int = 0
    path: str
    change: str
    size: int
    media_type: str
    version: str
    by: UUID | None


class WebhookPinged(ProjectEvent):
    """Sent to one webhook, to see whether it arrives."""

    type: Literal["webhook_ping"] = "webhook_ping"
    webhook_id: UUID


class WebhookDisabled(ProjectEvent):
    """Durable. Nothing arrived there for long, so nothing is sent there any more."""

    type: Literal["webhook_disabled"] = "webhook_disabled"
    seq: int = 0
    webhook_id: UUID
    url: str
    reason: str
