"""Calendars (iCalendar): each event is a memory, and each time that one recurs, up to now."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import win_tz

from app.adapters.memory_files.content_lines import Event, Property, events
from app.adapters.memory_files.records import Position, Problem, Record, bounded_lines
from app.adapters.memory_files.recurrences import MOST_OCCURRENCES, Budget, occurrences, read_rule
from app.errors import ExtractionFailed
from app.event_base import FIRST_YEAR, LAST_YEAR

BEGINNING: Final = 65_536  # bytes
LONGEST_CONTENT, LONGEST_TITLE = 50_000, 300
MOST_EXPANDED: Final = 200_000  # occurrences in one file
_MOMENT: Final = re.compile(r"([0-9]{4})([0-9][0-9])([0-9][0-9])(?:T([0-9][0-9])([0-9][0-9])([0-9][0-9])(Z)?)?")
_DURATION: Final = re.compile(
    r"\+?P(?:([0-9]{1,5})W)?(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,9})S)?)?"
)

Overridden: TypeAlias = Mapping[str, Collection[str]]
"""Of each event that recurs, the times of which another event tells."""


@dataclass(frozen=True, slots=True)
class Time:
    """What the clock showed; `zone` is None where nobody said which clock. Of a day only the day counts."""

    wall: datetime
    zone: tzinfo | None
    is_day: bool

    @property
    def stamp(self) -> str:
        """The same for the same moment, however it is written."""
        if self.is_day:
            return self.wall.date().isoformat()
        at = self.wall if self.zone is None else self.wall.replace(tzinfo=self.zone).astimezone(UTC)
        return at.isoformat()

    def __str__(self) -> str:
        """As a memory takes it."""
        if self.is_day:
            return self.wall.date().isoformat()
        if self.zone is None:
            return self.wall.isoformat()
        if self.zone is UTC:
            return f"{self.wall.isoformat()}Z"
        return self.wall.replace(tzinfo=self.zone).isoformat(timespec="seconds")[:25]

    def moved_to(self, wall: datetime) -> "Time":
        return Time(wall, self.zone, self.is_day)


@dataclass(slots=True)
class Calendar:
    """Reads events up to `until`, the wall clock of those without a zone; `besides`: addresses of nobody else.

    What recurs and ends later is there up to `until`; a single event of the future is read like any other.
    """

    until: datetime
    besides: Collection[str] = ()
    expanded: int = field(default=0, init=False)
    budget: Budget = field(default_factory=Budget, init=False)

    def read(self, path: Path, position: Position) -> Iterator[Record | Problem]:
        """Twice from the beginning: first for what tells of single times of what recurs.

        Raises:
            ExtractionFailed: NO_CALENDAR.
        """
        size = path.stat().st_size
        with path.open("rb") as file:
            overridden = _overridden(events(bounded_lines(file, Position(), size)))
        with path.open("rb") as file:
            is_calendar = False
            for event in events(bounded_lines(file, position, size)):
                is_calendar = True
                try:
                    yield from self._records(event, overridden)
                except (ValueError, OverflowError) as error:
                    yield Problem(event.line, f"The event cannot be read: {error}")
            if not is_calendar and not _begins_as_calendar(path):
                raise ExtractionFailed("NO_CALENDAR", "In the file is no calendar.")

    def _records(self, event: Event, overridden: Overridden) -> Iterator[Record | Problem]:
        status, start = event.first("STATUS"), event.first("DTSTART")
        if status is not None and status.value.strip().upper() == "CANCELLED":
            return
        if start is None:
            raise ValueError("it has no DTSTART")
        begins = read_time(start)
        lasts = _length(event, begins)
        fields = self._fields(event)
        own = event.first("RECURRENCE-ID")
        uid = _uid(event)
        rule = event.first("RRULE")
        if own is not None or (rule is None and not event.all("RDATE")):
            key = uid and (f"{uid}/{read_time(own).stamp}" if own else uid)
            yield Record(event.line, {**fields, **_span(begins, lasts)}, key)
            return
        left_out = {time.stamp for one in event.all("EXDATE") for time in _times(one)} | set(overridden.get(uid, ()))
        try:
            times = self._times(event, begins)
        except ValueError as error:
            yield Problem(event.line, f"Only the first time is taken: {error}.", is_skipped=False)
            times = [begins]
        for time in times:
            if time.stamp in left_out:
                continue
            self.expanded += 1
            if self.expanded > MOST_EXPANDED:
                raise ValueError(f"the events of a file may recur {MOST_EXPANDED:,} times")
            yield Record(event.line, {**fields, **_span(time, lasts)}, uid and f"{uid}/{time.stamp}")

    def _times(self, event: Event, begins: Time) -> list[Time]:
        times = {begins.stamp: begins}
        if found := event.first("RRULE"):
            rule, ends = read_rule(found.value)
            last = min(self.until, _until(ends, begins)) if ends else self.until
            for wall in occurrences(rule, begins.wall, last, self.budget):
                times[begins.moved_to(wall).stamp] = begins.moved_to(wall)
        for added in event.all("RDATE"):
            for time in _times(added):
                if time.wall <= self.until and len(times) < MOST_OCCURRENCES:
                    times[time.stamp] = time
        return sorted(times.values(), key=lambda one: one.wall)

    def _fields(self, event: Event) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if title := _text(event, "SUMMARY"):
            fields["title"] = " ".join(title.split())[:LONGEST_TITLE]
        if content := _text(event, "DESCRIPTION"):
            fields["content"] = content[:LONGEST_CONTENT]
        if not fields:
            fields["title"] = "Untitled"
        tags = [tag for one in event.all("CATEGORIES") for tag in one.texts if tag]
        people = [name for one in event.all("ATTENDEE") if (name := self._attendee(one))]
        if place := _place(event):
            fields["location"] = place
        return {**fields, **({"tags": tags[:50]} if tags else {}), **({"people": people[:100]} if people else {})}

    def _attendee(self, attendee: Property) -> str | None:
        """The name of somebody who came, or meant to."""
        said = {name: attendee.parameters.get(name, "").upper() for name in ("CUTYPE", "PARTSTAT")}
        address = re.sub(r"(?i)^mailto:", "", attendee.value.strip())
        is_other = said["CUTYPE"] in ("ROOM", "RESOURCE") or said["PARTSTAT"] == "DECLINED"
        if is_other or address.casefold() in self.besides:
            return None
        return " ".join((attendee.parameters.get("CN") or address).split())[:100] or None


def read_time(found: Property) -> Time:
    """
    Raises:
        ValueError: it is no date and no time.
    """
    return next(iter(_times(found)))


def _times(found: Property) -> Iterator[Time]:
    zone = _zone(found.parameters.get("TZID"))
    for text in found.value.split(","):
        match = _MOMENT.fullmatch(text.partition("/")[0].strip())  # a period is where it begins
        if match is None:
            raise ValueError(f"{text[:30]!r} is no date and no time")
        numbers = [int(part) for part in match.groups()[:6] if part]
        if not FIRST_YEAR <= numbers[0] <= LAST_YEAR:
            raise ValueError(f"a year must lie between {FIRST_YEAR} and {LAST_YEAR}")
        numbers[5:] = [min(one, 59) for one in numbers[5:]]  # a leap second
        wall = datetime(*numbers)  # type: ignore[arg-type]  # noqa: DTZ001 - a wall clock has no zone
        yield Time(wall, UTC if match[7] else zone if match[4] else None, not match[4])


def _zone(name: str | None) -> tzinfo | None:
    """By the name that most use, by that of Windows, or at the end of a path; None where it is nobody's."""
    if name is None:
        return None
    plain = name.strip().strip('"')
    parts = plain.strip("/").split("/")
    for known in (plain, win_tz.get(plain), "/".join(parts[-2:]), "/".join(parts[-3:])):
        try:
            if known:
                return ZoneInfo(known)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return None


def _length(event: Event, begins: Time) -> timedelta | None:
    """How long it lasts on the wall clock; None where nobody said, or not at all."""
    ends, lasts = event.first("DTEND"), event.first("DURATION")
    if ends is not None:
        end = read_time(ends)
        if end.zone is not None and begins.zone is not None and not begins.is_day:
            length = end.wall.replace(tzinfo=end.zone).astimezone(begins.zone).replace(tzinfo=None) - begins.wall
        else:
            length = end.wall - begins.wall
    elif lasts is not None:
        match = _DURATION.fullmatch(lasts.value.strip())
        if match is None:
            raise ValueError("its DURATION is malformed")
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        return None
    if begins.is_day:
        length -= timedelta(days=1)  # the end is the first day behind it
    return length if length > timedelta(0) else None


def _span(begins: Time, lasts: timedelta | None) -> Mapping[str, Any]:
    span = {"occurred_at": str(begins)}
    return span if lasts is None else {**span, "occurred_end": str(begins.moved_to(begins.wall + lasts))}


def _until(text: str, begins: Time) -> datetime:
    """On the clock of the event; a day is all of it."""
    end = read_time(Property({}, text))
    if end.is_day:
        return end.wall + timedelta(days=1, microseconds=-1)
    if end.zone is not None and begins.zone is not None:
        return end.wall.replace(tzinfo=end.zone).astimezone(begins.zone).replace(tzinfo=None)
    return end.wall


def _begins_as_calendar(path: Path) -> bool:
    """Also one in which nothing happens is one."""
    with path.open("rb") as file:
        return b"BEGIN:VCALENDAR" in file.read(BEGINNING).upper()


def _overridden(found: Iterator[Event]) -> Overridden:
    overridden: dict[str, set[str]] = defaultdict(set)
    for event in found:
        own = event.first("RECURRENCE-ID")
        try:
            if own is not None:
                overridden[_uid(event)].add(read_time(own).stamp)
        except ValueError:
            continue  # told when the event is read
    return overridden


def _uid(event: Event) -> str:
    found = event.first("UID")
    return found.value.strip()[:400] if found else ""


def _text(event: Event, name: str) -> str:
    found = event.first(name)
    return found.text if found else ""


def _place(event: Event) -> Mapping[str, Any] | None:
    name = " ".join(_text(event, "LOCATION").split())[:200]
    match = re.fullmatch(r"\s*([+-]?[0-9]+(?:\.[0-9]*)?)\s*;\s*([+-]?[0-9]+(?:\.[0-9]*)?)\s*", _text(event, "GEO"))
    if not name:
        return None
    if match is None:
        return {"name": name}
    return {"name": name, "coordinates": {"latitude": float(match[1]), "longitude": float(match[2])}}
