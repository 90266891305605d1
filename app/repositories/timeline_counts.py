"""How many memories there are in each day, month or year, with whom, and where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    CompoundSelect,
    Date,
    Integer,
    TableValuedAlias,
    Uuid,
    any_,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Location, Memory, MemoryPerson, Person
from app.repositories.memory_filters import MemoryFilter

Unit = Literal["day", "month", "year"]
NAMED: Final = 5  # people and places that a bucket tells
MOMENTS: Final = ARRAY(Memory.begins.type)


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody or somewhere, and in how many memories."""

    id: UUID
    name: str
    count: int


Counted: TypeAlias = tuple[dict[date, int], dict[date, list[Named]], dict[date, list[Named]]]
"""Of each bucket: how many, with whom, where."""


def is_in_indexes(filters: MemoryFilter) -> bool:
    """Whether the indexes of the timeline tell by themselves what is meant: all, or all of some places."""
    return replace(filters, location_id=None, location_ids=None) == MemoryFilter()


async def count_in_indexes(
    session: AsyncSession, shelves: Sequence[UUID], filters: MemoryFilter, starts: Sequence[date], unit: Unit
) -> Counted:
    """Bucket by bucket, so that no memory has to be asked which one is its own."""
    wanted = wanted_of(starts, unit)
    people = (
        select(MemoryPerson.person_id.label("id"), func.count().label("count"))
        .where(MemoryPerson.shelf_id.in_(shelves), *_within(MemoryPerson, wanted), *at_places(MemoryPerson, filters))
        .group_by(MemoryPerson.person_id)
        .lateral("people_there")
    )
    places = (
        select(Memory.location_id.label("id"), func.count().label("count"))
        .where(
            Memory.shelf_id.in_(shelves),
            Memory.deleted_at.is_(None),
            *_within(Memory, wanted),
            *at_places(Memory, filters),
        )
        .group_by(Memory.location_id)
        .lateral("places_there")
    )
    legs = (
        select(cast(wanted.c.first, Date).label("start"), literal(kind).label("kind"), leg.c.id, leg.c.count)
        .select_from(wanted)
        .join(leg, true())
        for kind, leg in enumerate((people, places))
    )
    return await _named(session, union_all(*legs))


async def count_chosen(session: AsyncSession, chosen: CTE) -> Counted:
    """Of memories that were found in another way: their `id`, `location_id` and the `start` of their bucket."""
    people = (
        select(
            chosen.c.start, literal(0).label("kind"), MemoryPerson.person_id.label("id"), func.count().label("count")
        )
        .join(MemoryPerson, MemoryPerson.memory_id == chosen.c.id)
        .group_by(chosen.c.start, MemoryPerson.person_id)
    )
    places = select(chosen.c.start, literal(1), chosen.c.location_id, func.count()).group_by(
        chosen.c.start, chosen.c.location_id
    )
    return await _named(session, union_all(people, places))


async def _named(session: AsyncSession, counts: CompoundSelect[Any]) -> Counted:
    """The people and places that most memories of a bucket have.

    Those without a place are a row as well, so that the rows of places add up to all of a bucket.
    """
    each = counts.subquery("each")
    bucket = (each.c.kind, each.c.start)
    order = (each.c.id.is_(None), each.c.count.desc(), each.c.id)
    place = func.row_number().over(partition_by=bucket, order_by=order).label("place")
    total = cast(func.sum(each.c.count).over(partition_by=bucket), Integer).label("total")
    ranked = select(each, place, total).subquery("ranked")
    name = func.coalesce(Person.name, Location.name)
    query = (
        select(ranked.c.start, ranked.c.kind, ranked.c.id, name, ranked.c.count, ranked.c.total)
        .outerjoin(Person, Person.id == ranked.c.id)
        .outerjoin(Location, Location.id == ranked.c.id)
        .where(ranked.c.place <= NAMED)
        .order_by(ranked.c.start, ranked.c.place)
    )
    totals: dict[date, int] = {}
    named: tuple[dict[date, list[Named]], dict[date, list[Named]]] = ({}, {})
    for start, kind, one, called, count, whole in await session.execute(query):
        if kind:
            totals[start] = whole
        if one is not None:
            named[kind].setdefault(start, []).append(Named(one, called, count))
    return totals, *named


def wanted_of(starts: Sequence[date], unit: Unit) -> TableValuedAlias:
    """A row for each bucket: its `first` moment, and the first one behind it, `last`."""
    begins = [midnight(one) for one in starts]
    ends = [midnight(next_start(one, unit)) for one in starts]
    pairs = func.unnest(literal(begins, MOMENTS), literal(ends, MOMENTS))
    return pairs.table_valued("first", "last").render_derived("wanted")


def next_start(start: date, unit: Unit) -> date:
    match unit:
        case "day":
            return start + timedelta(days=1)
        case "month":
            return (start + timedelta(days=31)).replace(day=1)
        case "year":
            return start.replace(year=start.year + 1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time())


def _within(table: type[Memory | MemoryPerson], wanted: TableValuedAlias) -> tuple[ColumnElement[bool], ...]:
    return table.begins >= wanted.c.first, table.begins < wanted.c.last


def at_places(table: type[Memory | MemoryPerson], filters: MemoryFilter) -> Iterable[ColumnElement[bool]]:
    """What of the filters is about places."""
    if filters.location_id is not None:
        yield table.location_id == filters.location_id
    if filters.location_ids is not None:
        yield table.location_id == any_(literal(list(filters.location_ids), ARRAY(Uuid())))
