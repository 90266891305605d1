"""What lists of memories are narrowed to, and where they go on: taken from the query."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AfterValidator, WithJsonSchema

from app.event_base import Instant
from app.repositories.memories import Place
from app.repositories.memory_filters import Box, MemoryFilter, Near
from app.schemas.moments import WRITTEN, parse_moment
from app.services.memory_views import MemoryView
from app.services.moments import narrowed_by

NUMBER: Final = r"-?[0-9]{1,3}(?:\.[0-9]{1,12})?"
POINT: Final = rf"^{NUMBER},{NUMBER}$"
BOX: Final = rf"^{NUMBER},{NUMBER},{NUMBER},{NUMBER}$"
PLACE_PATTERN: Final = "^[A-Za-z0-9_-]{32}$"
NO_NUL: Final = r"^[^\x00]*$"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(value: str) -> str:
    parse_moment(value)
    return value


def _point(value: str | None) -> str | None:
    if value is None:
        return None
    latitude, longitude = (float(part) for part in value.split(","))
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError("must be a latitude from -90 to 90 and a longitude from -180 to 180")
    return value


def _box(value: str | None) -> str | None:
    if value is None:
        return None
    west, south, east, north = (float(part) for part in value.split(","))
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90 or south > north:
        raise ValueError("must be west,south,east,north in degrees")
    return value


Moment = Annotated[str, AfterValidator(_moment)]
IS_MOMENT: Final = "A time is an instant; a year, a month or a day is meant as a whole, on the clock of the place."


Radius = Annotated[float, Query(gt=0, le=1_000_000, allow_inf_nan=False, description="Metres around `near`.")]


async def _near(
    near: Annotated[str | None, Query(pattern=POINT, description="latitude,longitude"), AfterValidator(_point)] = None,
    radius: Radius = 1000,
) -> Near | None:
    if near is None:
        return None
    latitude, longitude = (float(part) for part in near.split(","))
    return Near(latitude, longitude, radius)


NearDep = Annotated[Near | None, Depends(_near)]


async def _memory_filter(
    near: NearDep,
    project_id: Annotated[UUID | None, Query(description="Shared with this project.")] = None,
    mine: Annotated[bool, Query(description="Without what others share with you.")] = False,
    from_: Annotated[
        Moment | None, Query(alias="from", pattern=WRITTEN, description=f"Occurred then or later. {IS_MOMENT}")
    ] = None,
    to: Annotated[Moment | None, Query(pattern=WRITTEN, description=f"Occurred before. {IS_MOMENT}")] = None,
    created_from: Annotated[Instant | None, Query(description="Written down then or later.")] = None,
    created_before: Annotated[Instant | None, Query(description="Written down before.")] = None,
    person: Annotated[list[UUID] | None, Query(max_length=20, description="All of them were there.")] = None,
    location: UUID | None = None,
    box: Annotated[
        str | None,
        Query(
            pattern=BOX, description="west,south,east,north in degrees; where west is greater, across the date line."
        ),
        AfterValidator(_box),
    ] = None,
    tag: Annotated[
        list[Annotated[str, Query(min_length=1, max_length=50, pattern=NO_NUL)]] | None,
        Query(max_length=20, description="All of them."),
    ] = None,
) -> MemoryFilter:
    return narrowed_by(
        MemoryFilter(
            project_id=project_id,
            is_mine=mine,
            created_from=created_from,
            created_before=created_before,
            person_ids=tuple(person or ()),
            location_id=location,
            near=near,
            box=Box(*(float(part) for part in box.split(","))) if box else None,
            tags=tuple(one.strip().lower() for one in tag or ()),
        ),
        parse_moment(from_) if from_ else None,
        parse_moment(to) if to else None,
    )


async def _listed(
    filters: Annotated[MemoryFilter, Depends(_memory_filter)],
    deleted: Annotated[bool, Query(description="Your own that can be restored, instead of the others.")] = False,
) -> MemoryFilter:
    return replace(filters, is_deleted=deleted)


ListFilterDep = Annotated[MemoryFilter, Depends(_listed)]
MemoryFilterDep = Annotated[MemoryFilter, Depends(_memory_filter)]


def encode_place(memory: MemoryView) -> str:
    """An opaque cursor: when the last memory that is shown occurred, and its id."""
    micros = (memory.memory.occurred_at - EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(micros.to_bytes(8, signed=True) + memory.id.bytes).decode()


def decode_place(cursor: str) -> Place:
    """Raises ValueError: not a cursor of ours."""
    if not re.fullmatch(PLACE_PATTERN, cursor):
        raise ValueError("not a cursor of this list")
    packed = base64.urlsafe_b64decode(cursor)
    try:
        at = EPOCH + timedelta(microseconds=int.from_bytes(packed[:8], signed=True))
    except OverflowError:
        raise ValueError("not a cursor of this list") from None
    return Place(at, UUID(bytes=packed[8:]))


def _checked_place(cursor: str | None) -> str | None:
    if cursor is not None:
        decode_place(cursor)
    return cursor


async def _after(
    cursor: Annotated[
        str | None,
        AfterValidator(_checked_place),
        WithJsonSchema({"type": "string", "pattern": PLACE_PATTERN}),
        Query(description="`next_cursor` of the page before."),
    ] = None,
) -> Place | None:
    return decode_place(cursor) if cursor else None


After = Annotated[Place | None, Depends(_after)]
