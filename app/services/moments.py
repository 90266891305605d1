"""From what people say about when something happened to the two clocks of a memory."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import InvalidInput
from app.models import Precision
from app.repositories.memory_filters import MemoryFilter
from app.schemas.moments import Moment

COARSENESS = {Precision.EXACT: 0, Precision.DAY: 1, Precision.MONTH: 2, Precision.YEAR: 3}
SHORTEST = timedelta(microseconds=1)  # of what has a beginning and no end


@dataclass(frozen=True, slots=True)
class Span:
    """The columns of a memory that say when."""

    occurred_at: datetime
    occurred_end: datetime | None
    precision: Precision
    begins: datetime
    ends: datetime


def zone_of(name: str | None) -> tzinfo:
    """UTC where none is set, or the machine does not know it."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def span_of(start: Moment, end: Moment | None, precision: Precision | None, zone: tzinfo) -> Span:
    """When something happened that `start`ed then; `zone` is the clock of whoever says so.

    Raises:
        InvalidInput: it ends before it begins.
    """
    known = precision or start.precision
    wall, at = _read(start, zone)
    first = period_start(wall, known)
    if first != wall:
        at += first - wall
    if end is None:
        return Span(at, None, known, first, period_end(first, known))
    last_wall, last_at = _read(end, zone)
    coarsest = max(known, end.precision, key=lambda one: COARSENESS[one])
    ends = period_end(period_start(last_wall, coarsest), coarsest)
    if last_at < at or ends <= first:
        raise InvalidInput("It cannot end before it begins.", field="occurred_end")
    return Span(at, last_at, known, first, ends)


def moment_of(at: datetime, begins: datetime, precision: Precision) -> Moment:
    """What was said when this was stored: both clocks tell the zone between them."""
    offset = begins - at.astimezone(UTC).replace(tzinfo=None)
    return Moment(begins, timezone(offset, "of the place"), precision)  # named, so that it is never taken for UTC


def period_start(wall: datetime, precision: Precision) -> datetime:
    match precision:
        case Precision.YEAR:
            return wall.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        case Precision.MONTH:
            return wall.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        case Precision.DAY:
            return wall.replace(hour=0, minute=0, second=0, microsecond=0)
        case Precision.EXACT:
            return wall


def period_end(first: datetime, precision: Precision) -> datetime:
    """The first moment behind the period that begins with `first`."""
    match precision:
        case Precision.YEAR:
            return first.replace(year=first.year + 1)
        case Precision.MONTH:
            return (first + timedelta(days=31)).replace(day=1)
        case Precision.DAY:
            return first + timedelta(days=1)
        case Precision.EXACT:
            return first + SHORTEST


def _read(moment: Moment, zone: tzinfo) -> tuple[datetime, datetime]:
    """What the wall clock showed, and the instant. A time in UTC says nothing about the clock: it is its owner's."""
    if moment.zone is None:
        return moment.wall, moment.wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.zone is UTC:
        return moment.at().astimezone(zone).replace(tzinfo=None), moment.at()
    return moment.wall, moment.at().astimezone(UTC)


def narrowed_by(filters: MemoryFilter, start: Moment | None, end: Moment | None) -> MemoryFilter:
    """From `start` on and before `end`: times are instants, and days, months and years are those of the wall clock."""
    if start is not None and start.precision is Precision.EXACT:
        filters = replace(filters, occurred_from=start.at())
    elif start is not None:
        filters = replace(filters, wall_from=start.wall)
    if end is not None and end.precision is Precision.EXACT:
        filters = replace(filters, occurred_before=end.at())
    elif end is not None:
        filters = replace(filters, wall_before=period_end(end.wall, end.precision))
    return filters
