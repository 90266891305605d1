"""Memories by the calendar: how many there are in each day, month or year, and those of one day of all years."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Memory, Precision
from app.permissions import Principal
from app.repositories.memories import Place
from app.repositories.memory_filters import MemoryFilter, narrowing, resolved, shelves_of
from app.repositories.timeline_counts import (
    MOMENTS,
    Named,
    Unit,
    at_places,
    count_chosen,
    count_in_indexes,
    is_in_indexes,
    midnight,
    next_start,
    wanted_of,
)

TITLES: Final = 3  # that a bucket tells
EVERY_YEAR: Final = 10_000  # that a calendar has
NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - a wall clock
# Plans know the values, and that what is looked at again and again lies in memory.
PLANNING: Final = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true)"
)

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
        shelves = await self._shelves(actor)
        filters = await resolved(self._session, actor.user_id, filters)
        until = NEVER if before is None else midnight(before)
        conditions = _on(shelves, actor, filters)
        starts = await self._starts(shelves, filters, [*conditions, Memory.begins < until], unit, until, limit)
        if not starts:
            return []
        if is_in_indexes(filters):
            counts, people, places = await count_in_indexes(self._session, shelves, filters, starts, unit)
            starts = [one for one in starts if one in counts][:limit]
            titles = await self._first_titles(shelves, filters, starts, unit)
        else:
            first, last = midnight(starts[-1]), midnight(next_start(starts[0], unit))
            inside = [*conditions, Memory.begins >= first, Memory.begins < last]
            counts, people, places = await count_chosen(self._session, _chosen(inside, unit).cte("chosen"))
            titles = await self._titles(inside, unit)
        return [
            Bucket(one, counts[one], people.get(one, ()), places.get(one, ()), titles.get(one, ())) for one in starts
        ]

    async def _starts(
        self,
        shelves: Sequence[UUID],
        filters: MemoryFilter,
        inside: Sequence[ColumnElement[bool]],
        unit: Unit,
        until: datetime,
        limit: int,
    ) -> Sequence[date]:
        """The newest buckets first; of years, of which there are few, also some that turn out to be empty."""
        if filters == MemoryFilter() or (unit == "year" and is_in_indexes(filters)):
            most = limit if filters == MemoryFilter() else EVERY_YEAR
            steps = {"shelves": shelves, "unit": unit, "before": until, "most": most}
            return (await self._session.scalars(STEPS, steps)).all()
        start = _start(unit)
        query = select(start).where(*inside).group_by(start).order_by(start.desc()).limit(limit)
        return (await self._session.scalars(query)).all()

    async def list_on_day(
        self, actor: Principal, filters: MemoryFilter, day: date, *, after: Place | None, limit: int
    ) -> Sequence[Memory]:
        """Memories of this month and day, of any year, as far as it is known on which day they were."""
        filters = await resolved(self._session, actor.user_id, filters)
        shelves = await self._shelves(actor)
        conditions = _on(shelves, actor, filters)
        days = [_of_year(day, year) for year in await self._years(shelves)]
        starts = [midnight(one) for one in days if one is not None]
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
        await self._session.execute(PLANNING)
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

    async def _first_titles(
        self, shelves: Sequence[UUID], filters: MemoryFilter, starts: Sequence[date], unit: Unit
    ) -> dict[date, list[str]]:
        """Of the first memories of each bucket: of each shelf these are read in the order of the index."""
        wanted = wanted_of(starts, unit)
        shelf = func.unnest(literal(list(shelves), ARRAY(Uuid()))).table_valued("id").render_derived("shelf")
        there = (
            Memory.shelf_id == shelf.c.id,
            Memory.deleted_at.is_(None),
            Memory.begins >= wanted.c.first,
            Memory.begins < wanted.c.last,
            *at_places(Memory, filters),
        )
        earliest = select(Memory.title, Memory.begins, Memory.id).where(*there)
        each = earliest.order_by(Memory.begins, Memory.id).limit(TITLES).lateral("each")
        query = select(wanted.c.first, each.c.title).select_from(wanted.join(shelf, true()).join(each, true()))
        found: dict[date, list[str]] = {}
        for first, title in await self._session.execute(query.order_by(each.c.begins, each.c.id)):
            titles = found.setdefault(first.date(), [])
            if len(titles) < TITLES:
                titles.append(title)
        return found

    async def _titles(self, inside: Sequence[ColumnElement[bool]], unit: Unit) -> dict[date, list[str]]:
        """The same of memories that are narrowed by more than the index knows: all are looked at."""
        start = _start(unit)
        order = (Memory.begins, Memory.id)
        place = func.row_number().over(partition_by=start, order_by=order).label("place")
        each = select(start, Memory.title, place).where(*inside).subquery("each")
        query = select(each.c.start, each.c.title).where(each.c.place <= TITLES).order_by(each.c.start, each.c.place)
        found: dict[date, list[str]] = {}
        for first, title in await self._session.execute(query):
            found.setdefault(first, []).append(title)
        return found


def _on(shelves: Sequence[UUID], actor: Principal, filters: MemoryFilter) -> list[ColumnElement[bool]]:
    """The shelves are written out, so that the plan knows how much lies there."""
    return [Memory.shelf_id.in_(shelves), Memory.deleted_at.is_(None), *narrowing(actor.user_id, filters)]


def _chosen(inside: Sequence[ColumnElement[bool]], unit: Unit) -> Select[Any]:
    return select(Memory.id, Memory.location_id, _start(unit)).where(*inside)


def _start(unit: Unit) -> Any:
    return cast(func.date_trunc(literal(unit, literal_execute=True), Memory.begins), Date).label("start")


def _of_year(day: date, year: int) -> date | None:
    """None for the 29th of February of most years."""
    try:
        return day.replace(year=year)
    except ValueError:
        return None
