"""What every event has."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from uuid_utils.compat import uuid7


def utc_now() -> datetime:
    return datetime.now(UTC)


Timestamp = Annotated[
    datetime, PlainSerializer(lambda at: at.astimezone(UTC).isoformat().replace("+00:00", "Z"), when_used="json")
]


class Told(BaseModel):
    """What clients are told has all its fields, always."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Event(Told):
    type: str
    id: UUID = Field(default_factory=uuid7)
    timestamp: Timestamp = Field(default_factory=utc_now)
