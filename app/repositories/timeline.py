"""Memories by the calendar: how many there are in each day, month or year, and those of one day of all years."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Date, Select, cast, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Location, Memory, MemoryPerson, Person, Precision
from app.permissions import Principal
from app.repositories.memories import Place
from app.repositories.memory_filters import MemoryFilter, narrowing, shelves_of

Unit = Literal["day", "month", "year"]
NAMED: Final = 5  # people and places that a bucket tells, and titles
TITLES: Final = 3
MOMENTS: Final = ARRAY(Memory.begins.type)


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody or somewhere, and in how many memories."""

    id: UUID
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A day, a month or a year, by its first day."""

    start: date
    count: int
    people: Sequence[Named] = ()
    places: Sequence[Named] = ()
    titles: Sequence[str] = ()


class TimelineRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_buckets(
        self, actor: Principal, filters: MemoryFilter, unit: Unit, *, before: date | None, limit: int
    ) -> Sequence[Bucket]:
        """The newest `limit` that are not empty, before the bucket that begins with `before`."""
        conditions = await self._conditions(actor, filters)
        if before is not None:
            conditions.append(Memory.begins < _midnight(before))
        start = _start(unit)
        counted = select(start, func.count().label("count")).where(*conditions).group_by(start)
        rows = (await self._session.execute(counted.order_by(start.desc()).limit(limit))).all()
        if not rows:
            return []
        first, last = rows[-1].start, rows[0].start
        inside = [*conditions, Memory.begins >= _midnight(first), Memory.begins < _midnight(_next(last, unit))]
        people = await self._people(inside, unit)
        places = await self._places(inside, unit)
        titles = await self._titles(inside, unit)
        return [
            Bucket(row.start, row[1], people.get(row.start, ()), places.get(row.start, ()), titles.get(row.start, ()))
            for row in rows
        ]

    async def list_on_day(
        self, actor: Principal, filters: MemoryFilter, day: date, *, after: Place | None, limit: int
    ) -> Sequence[Memory]:
        """Memories of this month and day, of any year, as far as it is known on which day they were."""
        conditions = await self._conditions(actor, filters)
        years = await self._years(conditions)
        days = [_of_year(day, year) for year in years]
        starts = [_midnight(one) for one in days if one is not None]
        wanted = func.unnest(literal(starts, MOMENTS)).table_valued("start").render_derived("wanted")
        query = (
            select(Memory)
            .join(
                wanted,
                (Memory.begins >= wanted.c.start) & (Memory.begins < wanted.c.start + literal(timedelta(days=1))),
            )
            .where(*conditions, Memory.precision.in_((Precision.EXACT, Precision.DAY)))
        )
        if after is not None:
            query = query.where(tuple_(Memory.occurred_at, Memory.id) < tuple_(literal(after.at), literal(after.id)))
        ordered = query.order_by(Memory.occurred_at.desc(), Memory.id.desc()).limit(limit)
        return (await self._session.scalars(ordered)).all()

    async def _conditions(self, actor: Principal, filters: MemoryFilter) -> list[ColumnElement[bool]]:
        """The shelves are written out, so that the plan knows how much lies there."""
        shelves = (await self._session.scalars(shelves_of(actor.user_id))).all()
        return [
            Memory.shelf_id.in_(shelves),
            Memory.deleted_at.is_(None),
            *narrowing(actor.user_id, filters),
        ]

    async def _years(self, conditions: Sequence[ColumnElement[bool]]) -> Sequence[int]:
        query = select(func.min(Memory.begins), func.max(Memory.begins)).where(*conditions)
        first, last = (await self._session.execute(query)).one()
        return [] if first is None else range(first.year, last.year + 1)

    async def _people(self, inside: Sequence[ColumnElement[bool]], unit: Unit) -> dict[date, list[Named]]:
        start = _start(unit)
        counted = (
            select(start, MemoryPerson.person_id.label("id"), func.count().label("count"))
            .join(MemoryPerson, MemoryPerson.memory_id == Memory.id)
            .where(*inside)
            .group_by(start, MemoryPerson.person_id)
        )
        return await self._most(counted, Person)

    async def _places(self, inside: Sequence[ColumnElement[bool]], unit: Unit) -> dict[date, list[Named]]:
        start = _start(unit)
        counted = (
            select(start, Memory.location_id.label("id"), func.count().label("count"))
            .where(*inside, Memory.location_id.is_not(None))
            .group_by(start, Memory.location_id)
        )
        return await self._most(counted, Location)

    async def _most(self, counted: Select[Any], entity: type[Person | Location]) -> dict[date, list[Named]]:
        """Those that most memories of a bucket have."""
        each = counted.subquery("each")
        place = func.row_number().over(partition_by=each.c.start, order_by=(each.c.count.desc(), each.c.id))
        ranked = select(each, place.label("place")).subquery("ranked")
        query = (
            select(ranked.c.start, ranked.c.id, entity.name, ranked.c.count)
            .join(entity, entity.id == ranked.c.id)
            .where(ranked.c.place <= NAMED)
            .order_by(ranked.c.start, ranked.c.place)
        )
        found: dict[date, list[Named]] = {}
        for start, one, name, count in await self._session.execute(query):
            found.setdefault(start, []).append(Named(one, name, count))
        return found

    async def _titles(self, inside: Sequence[ColumnElement[bool]], unit: Unit) -> dict[date, list[str]]:
        """Of the first memories of each bucket."""
        start = _start(unit)
        place = func.row_number().over(partition_by=start, order_by=(Memory.begins, Memory.id))
        ranked = select(start, Memory.id.label("id"), place.label("place")).where(*inside).subquery("ranked")
        query = (
            select(ranked.c.start, Memory.title)
            .join(Memory, Memory.id == ranked.c.id)
            .where(ranked.c.place <= TITLES)
            .order_by(ranked.c.start, ranked.c.place)
        )
        found: dict[date, list[str]] = {}
        for day, title in await self._session.execute(query):
            found.setdefault(day, []).append(title)
        return found


def _start(unit: Unit) -> Any:
    return cast(func.date_trunc(literal(unit, literal_execute=True), Memory.begins), Date).label("start")


def _of_year(day: date, year: int) -> date | None:
    """None for the 29th of February of most years."""
    try:
        return day.replace(year=year)
    except ValueError:
        return None


def _next(start: date, unit: Unit) -> date:
    match unit:
        case "day":
            return start + timedelta(days=1)
        case "month":
            return (start + timedelta(days=31)).replace(day=1)
        case "year":
            return start.replace(year=start.year + 1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time())
