"""What every event has, and how times are written and read."""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from uuid_utils.compat import uuid7

FIRST_YEAR: Final = 1000
LAST_YEAR: Final = 9000  # so that no time zone and no end of a year leads out of the calendar


def utc_now() -> datetime:
    return datetime.now(UTC)


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo is UTC else at.astimezone(UTC)


Timestamp = Annotated[datetime, PlainSerializer(_in_utc, return_type=datetime, when_used="json")]


def _in_calendar(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment


Instant = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
"""A time that clients give."""


class Told(BaseModel):
    """What clients are told has all its fields, always."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Event(Told):
    type: str
    id: UUID = Field(default_factory=uuid7)
    timestamp: Timestamp = Field(default_factory=utc_now)
