"""Work that is started again and again, on the wire."""

from typing import Annotated, Any
from uuid import UUID

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from app.events import utc_now
from app.presets import PresetChanges, Quality
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.tasks import TaskOrder
from app.schemas.texts import Truth
from app.schemas.users import Name, Timezone


def _cron(value: str) -> str:
    """Five fields: nothing happens more often than once a minute."""
    if len(value.split()) != 5:
        raise ValueError("a cron expression has five fields: minute, hour, day of the month, month, day of the week")
    try:
        next(CronSim(value, utc_now()))
    except CronSimError as error:
        raise ValueError(f"{error} in the cron expression") from error
    except StopIteration as error:
        raise ValueError("this cron expression means no time of the next 50 years") from error
    return value


Cron = Annotated[str, Field(max_length=100, examples=["30 6 * * MON-FRI"]), AfterValidator(_cron)]


class ScheduleCreate(TaskOrder):
    name: Name
    cron: Cron = Field(description="When, in the time of `timezone`, as Debian's cron understands it.")
    timezone: Timezone = "UTC"


class ScheduleUpdate(Schema):
    """What is left out stays as it is."""

    name: Name | None = None
    cron: Cron | None = None
    timezone: Timezone | None = None
    params: dict[str, Any] | None = None
    quality: Quality | None = None
    preset: PresetChanges | None = None
    is_paused: Truth | None = None


class ScheduleRead(Read):
    """`next_run_at` is null while it is paused; `pause_reason` says why, when it was not somebody's wish."""

    id: UUID
    project_id: UUID
    owner_id: UUID
    name: str
    task_type: str
    params: dict[str, Any]
    quality: str
    preset: dict[str, Any]
    cron: str
    timezone: str
    is_paused: bool
    pause_reason: str
    next_run_at: Timestamp | None
    last_run_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
