"""Memories by the calendar: how many there are in each day, month or year, and those of one day of all years."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Date,
    Integer,
    Select,
    String,
    Subquery,
    Uuid,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Location, Memory, MemoryPerson, Person, Precision
from app.permissions import Principal
from app.repositories.memories import Place
from app.repositories.memory_filters import MemoryFilter, narrowing, resolved, shelves_of

Unit = Literal["day", "month", "year"]
NAMED: Final = 5  # people and places that a bucket tells, and titles
TITLES: Final = 3
NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - a wall clock
CUSTOM_PLANS: Final = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")

# From one bucket that is not empty to the next, by the index: what lies between is not read.
STEPS: Final = text("""
WITH RECURSIVE steps (start, number) AS (
    SELECT date_trunc(:unit, max(begins)), 1
    FROM unnest(:shelves) AS shelf, LATERAL (
        SELECT begins FROM memories
        WHERE shelf_id = shelf AND deleted_at IS NULL AND begins < :before ORDER BY begins DESC LIMIT 1
    ) AS newest
    UNION ALL
    SELECT date_trunc(:unit, (
        SELECT max(begins) FROM unnest(:shelves) AS shelf, LATERAL (
            SELECT begins FROM memories
            WHERE shelf_id = shelf AND deleted_at IS NULL AND begins < start ORDER BY begins DESC LIMIT 1
        ) AS newest
    )), number + 1
    FROM steps WHERE start IS NOT NULL AND number < :most
)
SELECT CAST(start AS date) FROM steps WHERE start IS NOT NULL ORDER BY number
""").bindparams(
    bindparam("shelves", type_=ARRAY(Uuid())),
    bindparam("unit", type_=String()),
    bindparam("before", type_=Memory.begins.type),
    bindparam("most", type_=Integer()),
)
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


Counted: TypeAlias = tuple[dict[date, int], dict[date, list[Named]], dict[date, list[Named]]]
"""Of each bucket: how many, with whom, where."""


class TimelineRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_buckets(
        self, actor: Principal, filters: MemoryFilter, unit: Unit, *, before: date | None, limit: int
    ) -> Sequence[Bucket]:
        """The newest `limit` that are not empty, before the bucket that begins with `before`."""
        shelves = await self._shelves(actor)
        filters = await resolved(self._session, actor.user_id, filters)
        conditions = _on(shelves, actor, filters)
        until = NEVER if before is None else _midnight(before)
        if filters == MemoryFilter():
            parameters = {"shelves": shelves, "unit": unit, "before": until, "most": limit}
            starts = (await self._session.scalars(STEPS, parameters)).all()
        elif unit == "year":  # there are few, and all are counted at once
            counted = await self._counts(_once_or_twice(_chosen([*conditions, Memory.begins < until], unit), filters))
            starts = sorted(counted[0], reverse=True)[:limit]
            return await self._told(shelves, narrowing(actor.user_id, filters), starts, unit, counted)
        else:
            start = _start(unit)
            query = select(start).where(*conditions, Memory.begins < until).group_by(start)
            starts = (await self._session.scalars(query.order_by(start.desc()).limit(limit))).all()
        if not starts:
            return []
        first, last = starts[-1], _next(starts[0], unit)
        inside = [*conditions, Memory.begins >= _midnight(first), Memory.begins < _midnight(last)]
        counted = await self._counts(_once_or_twice(_chosen(inside, unit), filters))
        return await self._told(shelves, narrowing(actor.user_id, filters), starts, unit, counted)

    async def _told(
        self,
        shelves: Sequence[UUID],
        narrowed: Sequence[ColumnElement[bool]],
        starts: Sequence[date],
        unit: Unit,
        counted: Counted,
    ) -> Sequence[Bucket]:
        counts, people, places = counted
        titles = await self._titles(shelves, narrowed, starts, unit) if starts else {}
        return [
            Bucket(one, counts.get(one, 0), people.get(one, ()), places.get(one, ()), titles.get(one, ()))
            for one in starts
        ]

    async def list_on_day(
        self, actor: Principal, filters: MemoryFilter, day: date, *, after: Place | None, limit: int
    ) -> Sequence[Memory]:
        """Memories of this month and day, of any year, as far as it is known on which day they were."""
        filters = await resolved(self._session, actor.user_id, filters)
        shelves = await self._shelves(actor)
        conditions = _on(shelves, actor, filters)
        days = [_of_year(day, year) for year in await self._years(shelves)]
        starts = [_midnight(one) for one in days if one is not None]
        wanted = func.unnest(literal(starts, MOMENTS)).table_valued("start").render_derived("wanted")
        of_day = select(Memory.id, Memory.occurred_at).where(
            *conditions,
            Memory.begins >= wanted.c.start,
            Memory.begins < wanted.c.start + literal(timedelta(days=1)),
            Memory.precision.in_((Precision.EXACT, Precision.DAY)),
        )
        if after is not None:
            of_day = of_day.where(tuple_(Memory.occurred_at, Memory.id) < tuple_(literal(after.at), literal(after.id)))
        each = of_day.order_by(Memory.occurred_at.desc(), Memory.id.desc()).limit(limit).lateral("each")
        newest = select(each.c.id).select_from(wanted.join(each, true()))
        chosen = newest.order_by(each.c.occurred_at.desc(), each.c.id.desc()).limit(limit).scalar_subquery()
        query = select(Memory).where(Memory.id.in_(chosen)).order_by(Memory.occurred_at.desc(), Memory.id.desc())
        return (await self._session.scalars(query)).all()

    async def _shelves(self, actor: Principal) -> Sequence[UUID]:
        """What the actor may look at. From now on plans know the values: shelves differ by orders of size."""
        await self._session.execute(CUSTOM_PLANS)
        return (await self._session.scalars(shelves_of(actor.user_id))).all()

    async def _years(self, shelves: Sequence[UUID]) -> Sequence[int]:
        """From the first memory to the last, by the two ends of the index."""
        shelf = func.unnest(literal(list(shelves), ARRAY(Uuid()))).table_valued("id").render_derived("shelf")
        there = select(Memory.begins).where(Memory.shelf_id == shelf.c.id, Memory.deleted_at.is_(None)).limit(1)
        first = there.order_by(Memory.begins).lateral("first")
        last = there.order_by(Memory.begins.desc()).lateral("last")
        query = select(func.min(first.c.begins), func.max(last.c.begins))
        earliest, latest = (
            await self._session.execute(query.select_from(shelf.join(first, true()).join(last, true())))
        ).one()
        return [] if earliest is None else range(earliest.year, latest.year + 1)

    async def _counts(self, chosen: Subquery | CTE) -> Counted:
        """How many there are in each bucket, and the people and places that most of them have; in one go.

        Those without a place are a row as well, so that the rows of places add up to all of a bucket.
        """
        each = union_all(
            select(
                chosen.c.start,
                literal(0).label("kind"),
                MemoryPerson.person_id.label("id"),
                func.count().label("count"),
            )
            .join(MemoryPerson, MemoryPerson.memory_id == chosen.c.id)
            .group_by(chosen.c.start, MemoryPerson.person_id),
            select(chosen.c.start, literal(1), chosen.c.location_id, func.count()).group_by(
                chosen.c.start, chosen.c.location_id
            ),
        ).subquery("each")
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
        counts: dict[date, int] = {}
        named: tuple[dict[date, list[Named]], dict[date, list[Named]]] = ({}, {})
        for start, kind, one, called, count, whole in await self._session.execute(query):
            if kind:
                counts[start] = whole
            if one is not None:
                named[kind].setdefault(start, []).append(Named(one, called, count))
        return counts, *named

    async def _titles(
        self, shelves: Sequence[UUID], narrowed: Sequence[ColumnElement[bool]], starts: Sequence[date], unit: Unit
    ) -> dict[date, list[str]]:
        """Of the first memories of each bucket.

        Of each shelf by itself these are read in the order of the index; what is narrowed is planned for all shelves,
        for which the plan knows how much lies there.
        """
        begins = [_midnight(one) for one in starts]
        ends = [_midnight(_next(one, unit)) for one in starts]
        wanted = (
            func.unnest(literal(begins, MOMENTS), literal(ends, MOMENTS))
            .table_valued("first", "last")
            .render_derived("wanted")
        )
        shelf = func.unnest(literal(list(shelves), ARRAY(Uuid()))).table_valued("id").render_derived("shelf")
        on_shelf = Memory.shelf_id.in_(shelves) if narrowed else Memory.shelf_id == shelf.c.id
        each_of = wanted if narrowed else wanted.join(shelf, true())
        inside = (Memory.begins >= wanted.c.first, Memory.begins < wanted.c.last)
        there = (on_shelf, Memory.deleted_at.is_(None), *inside, *narrowed)
        earliest = select(Memory.title, Memory.begins, Memory.id).where(*there)
        each = earliest.order_by(Memory.begins, Memory.id).limit(TITLES).lateral("each")
        query = select(wanted.c.first, each.c.title).select_from(each_of.join(each, true()))
        found: dict[date, list[str]] = {}
        for first, title in await self._session.execute(query.order_by(each.c.begins, each.c.id)):
            titles = found.setdefault(first.date(), [])
            if len(titles) < TITLES:
                titles.append(title)
        return found


def _on(shelves: Sequence[UUID], actor: Principal, filters: MemoryFilter) -> list[ColumnElement[bool]]:
    """The shelves are written out, so that the plan knows how much lies there."""
    return [Memory.shelf_id.in_(shelves), Memory.deleted_at.is_(None), *narrowing(actor.user_id, filters)]


def _chosen(inside: Sequence[ColumnElement[bool]], unit: Unit) -> Select[Any]:
    return select(Memory.id, Memory.location_id, _start(unit)).where(*inside)


def _once_or_twice(chosen: Select[Any], filters: MemoryFilter) -> Subquery | CTE:
    """What the index of the timeline tells by itself is cheap to read twice, by two processes at once; what is narrowed
    by more is kept for the second time.
    """
    others = replace(filters, location_id=None, location_ids=None, wall_from=None, wall_before=None)
    return chosen.subquery("chosen") if others == MemoryFilter() else chosen.cte("chosen")


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
