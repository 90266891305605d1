"""Which memories are meant: the shelves that somebody may look at, and what a list of them is narrowed to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import cos, radians
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, Select, String, Uuid, any_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.models import Location, Member, Memory, MemoryPerson, MemoryTerms

EARTH_RADIUS: Final = 6_371_008.8  # metres
METRES_PER_DEGREE: Final = 111_195.0  # of latitude, rounded up to nothing: the box is drawn a little larger
NEAR_A_POLE: Final = 89.0  # degrees, from where on a box has all longitudes


@dataclass(frozen=True, slots=True)
class Near:
    """Everything within so many metres of a point."""

    latitude: float
    longitude: float
    radius: float


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the map in degrees; where `west` is greater than `east`, it lies across the date line."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody whom a question names: any of these people was there, or a passage has all words of one of the names."""

    person_ids: tuple[UUID, ...]
    names: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """What memories are narrowed to by whatever is given; all of it must hold. Equal to `MemoryFilter()`: to nothing.

    `occurred_from` and `occurred_before` are instants, `wall_from` and `wall_before` times of the wall clock; a memory
    that lasts is meant when any part of it lies between. `person_ids`: all of them were there. `tags`: all of them.
    `term_ids`: words that a passage has, all of them.
    """

    project_id: UUID | None = None
    is_mine: bool = False
    is_deleted: bool = False
    occurred_from: datetime | None = None
    occurred_before: datetime | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    wall_from: datetime | None = None
    wall_before: datetime | None = None
    person_ids: tuple[UUID, ...] = ()
    location_id: UUID | None = None
    location_ids: Sequence[UUID] | None = None
    near: Near | None = None
    box: Box | None = None
    tags: tuple[str, ...] = ()
    term_ids: tuple[int, ...] = ()
    mentions: tuple[Mention, ...] = ()
    memory_ids: Sequence[UUID] | None = None


def shelves_of(user_id: UUID) -> Select[Any]:
    """The ids of the shelves that a user may look at: their own and those of their projects."""
    own = select(literal(user_id, Uuid()).label("id"))
    return select(
        own.union_all(select(Member.project_id.label("id")).where(Member.user_id == user_id)).subquery("visible").c.id
    )


async def resolved(session: AsyncSession, user_id: UUID, filters: MemoryFilter) -> MemoryFilter:
    """The same with the places that lie on the part of the map which is meant, and the memories that have the words:
    plans know then how many these are.
    """
    if filters.term_ids:
        having = MemoryTerms.term_ids.contains(literal(list(filters.term_ids), ARRAY(Integer)))
        # Written out, so that the plan knows how much lies there: of a large shelf the index of words is asked.
        shelves = (await session.scalars(shelves_of(user_id))).all()
        found = set(
            await session.scalars(select(MemoryTerms.memory_id).where(having, MemoryTerms.shelf_id.in_(shelves)))
        )
        chosen = found if filters.memory_ids is None else found.intersection(filters.memory_ids)
        filters = replace(filters, term_ids=(), memory_ids=list(chosen))
    return await _with_places(session, user_id, filters)


async def _with_places(session: AsyncSession, user_id: UUID, filters: MemoryFilter) -> MemoryFilter:
    on_map = [*(near(filters.near) if filters.near else ()), *(inside(filters.box) if filters.box else ())]
    if not on_map:
        return filters
    own = aliased(Member)
    fellows = select(Member.user_id).join(own, own.project_id == Member.project_id).where(own.user_id == user_id)
    query = select(Location.id).where(or_(Location.owner_id == user_id, Location.owner_id.in_(fellows)), *on_map)
    found = (await session.scalars(query)).all()
    return replace(filters, near=None, box=None, location_ids=found)


def narrowing(user_id: UUID, filters: MemoryFilter) -> list[ColumnElement[bool]]:
    """The conditions on `Memory`, words and the map apart (see `resolved`); who may see it is not among them."""
    mentioned = [_mentioned(user_id, mention) for mention in filters.mentions]
    return [*_own(user_id, filters), *_times(filters), *_surroundings(filters), *mentioned]


def _own(user_id: UUID, filters: MemoryFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if filters.project_id is not None:
        conditions.append(Memory.project_id == filters.project_id)
    if filters.is_mine:
        conditions.append(Memory.owner_id == user_id)
    if filters.memory_ids is not None:
        conditions.append(Memory.id == any_(literal(list(filters.memory_ids), ARRAY(Uuid()))))
    return conditions


def _times(filters: MemoryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.occurred_from is not None:
        # The instant at which the memory ends: as far behind its beginning as on the wall clock.
        end = Memory.occurred_at + (Memory.ends - Memory.begins)
        conditions.append(end > filters.occurred_from)
    if filters.occurred_before is not None:
        conditions.append(Memory.occurred_at < filters.occurred_before)
    if filters.wall_from is not None:
        conditions.append(Memory.ends > filters.wall_from)
    if filters.wall_before is not None:
        conditions.append(Memory.begins < filters.wall_before)
    if filters.created_from is not None:
        conditions.append(Memory.created_at >= filters.created_from)
    if filters.created_before is not None:
        conditions.append(Memory.created_at < filters.created_before)
    return conditions


def _surroundings(filters: MemoryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Memory.id.in_(select(MemoryPerson.memory_id).where(MemoryPerson.person_id == person_id))
        for person_id in dict.fromkeys(filters.person_ids)
    ]
    if filters.location_id is not None:
        conditions.append(Memory.location_id == filters.location_id)
    if filters.location_ids is not None:
        conditions.append(Memory.location_id == any_(literal(list(filters.location_ids), ARRAY(Uuid()))))
    if filters.tags:
        conditions.append(Memory.tags.contains(literal(list(filters.tags), ARRAY(String(50)))))
    return conditions


def _mentioned(user_id: UUID, mention: Mention) -> ColumnElement[bool]:
    linked = select(MemoryPerson.memory_id).where(MemoryPerson.person_id.in_(mention.person_ids))
    named = [
        select(MemoryTerms.memory_id).where(
            MemoryTerms.shelf_id.in_(shelves_of(user_id)),
            MemoryTerms.term_ids.contains(literal(list(name), ARRAY(Integer))),
        )
        for name in mention.names
    ]
    return Memory.id.in_(linked.union_all(*named))


def near(point: Near) -> list[ColumnElement[bool]]:
    """The box first, which an index knows; then the distance on the sphere."""
    height = point.radius / METRES_PER_DEGREE
    south, north = point.latitude - height, point.latitude + height
    farthest = max(abs(south), abs(north))
    width = 360.0 if farthest >= NEAR_A_POLE else height / cos(radians(farthest))
    conditions = [*between(Location.latitude, south, north), distance(point) <= point.radius]
    if width < 180:
        conditions.append(_within_longitudes(point.longitude - width, point.longitude + width))
    return conditions


def inside(box: Box) -> list[ColumnElement[bool]]:
    return [*between(Location.latitude, box.south, box.north), _within_longitudes(box.west, box.east)]


def distance(point: Near) -> ColumnElement[float]:
    """Metres from the point to a location, by the haversine."""
    phi, other = func.radians(literal(point.latitude)), func.radians(Location.latitude)
    halves = func.power(func.sin((other - phi) / 2), 2) + func.cos(phi) * func.cos(other) * func.power(
        func.sin(func.radians(Location.longitude - point.longitude) / 2), 2
    )
    return 2 * EARTH_RADIUS * func.asin(func.sqrt(func.least(1.0, halves)))


def between(
    column: InstrumentedAttribute[float | None], least: float, most: float
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column >= least, column <= most


def _within_longitudes(west: float, east: float) -> ColumnElement[bool]:
    """From west to east, across the date line where that is the way."""
    if west < -180:
        west += 360
    if east > 180:
        east -= 360
    if west <= east:
        return Location.longitude.between(west, east)
    return or_(Location.longitude >= west, Location.longitude <= east)
