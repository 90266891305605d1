"""Reads times out of questions, without a model: "in March 2023", "last summer", "two weeks ago", "before we moved".

What names a certain time is *sure* and may narrow a search; what may mean another (a month without a year, "lately")
only lets what fits come first.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.services.spoken_times import spoken_times
from app.services.written_dates import DAY, written_dates

EVER, NEVER = datetime(1000, 1, 1), datetime(9000, 1, 1)  # noqa: DTZ001 - wall clocks have no zone


@dataclass(frozen=True, slots=True)
class TimeRead:
    """`text` of the question means the time from `start` on and before `end`, on the wall clock."""

    text: str
    start: datetime
    end: datetime
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class AnchorRead:
    """`text` dates by something that happened: `relation` is before, after or during `event`."""

    text: str
    relation: str
    event: str


@dataclass(frozen=True, slots=True)
class _Found:
    at: tuple[int, int]
    read: TimeRead


_OPEN: Final = re.compile(r"\b(since|after|before|until|till|by)(?: the)?\s+$", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"\b(between|from)(?: the)?\s+$", re.IGNORECASE)
_AND: Final = re.compile(r"\s+(?:and|to|until|till|-|\u2013)(?: the)?\s+", re.IGNORECASE)
_ANCHOR: Final = re.compile(
    r"\b(?P<relation>before|after|since|until|when|while|during)\s+"
    r"(?P<event>(?:we|i|my|our|the|he|she|they|his|her|their)\b[^?!.,;]{3,120})",
    re.IGNORECASE,
)
_RELATIONS: Final = {"until": "before", "before": "before", "since": "after", "after": "after"}


def read_times(question: str, now: datetime, languages: Sequence[str] = ()) -> Sequence[TimeRead]:
    """In the order of the question; `now` is the wall clock of whoever asks."""
    found: list[_Found] = []
    for one in _candidates(question, now, languages):
        if not any(one.at[0] < other.at[1] and other.at[0] < one.at[1] for other in found):
            found.append(one)
    found.sort(key=lambda one: one.at)
    return [one.read for one in _related(question, found, now)]


def warm_up() -> None:
    """Load the names of the months in all languages, so that the first question need not wait for them."""
    read_times("5 March 2020", EVER)


def read_anchor(question: str, times: Sequence[TimeRead]) -> AnchorRead | None:
    """The event that a question dates by, if it is not a date itself."""
    match = _ANCHOR.search(question)
    if match is None or any(time.text in match.group() for time in times):
        return None
    relation = _RELATIONS.get(match["relation"].lower(), "during")
    return AnchorRead(match.group().strip(), relation, match["event"].strip())


def _candidates(question: str, now: datetime, languages: Sequence[str]) -> Iterator[_Found]:
    """The most exact first: what they take, the others do not get."""
    for at, (start, end), is_sure in (*written_dates(question, now, languages), *spoken_times(question, now)):
        if EVER <= start < end <= NEVER:
            yield _Found(at, TimeRead(question[slice(*at)].strip(), start, end, is_sure))


def _related(question: str, found: Sequence[_Found], now: datetime) -> Iterator[_Found]:
    """Two dates that are the ends of one time are one; what is before or after a date is open at one end."""
    index = 0
    while index < len(found):
        one = found[index]
        head = question[: one.at[0]]
        following = found[index + 1] if index + 1 < len(found) else None
        begins, opens = _BETWEEN.search(head), _OPEN.search(head)
        if begins and following and _AND.fullmatch(question[one.at[1] : following.at[0]]):
            yield _joined(question, begins.start(), one, following)
            index += 1
        elif opens:
            yield _opened(question, opens, one, now)
        else:
            yield one
        index += 1


def _joined(question: str, start: int, first: _Found, last: _Found) -> _Found:
    """The year may stand with the last one alone."""
    at = (start, last.at[1])
    begin, end = first.read.start, last.read.end
    if last.read.is_sure and not first.read.is_sure:
        begin = begin.replace(year=last.read.start.year, day=min(begin.day, 28))
        begin = begin if begin < end else begin.replace(year=begin.year - 1)
    begin, end = min(begin, last.read.start), max(end, begin + DAY)
    return _Found(at, TimeRead(question[slice(*at)], begin, end, last.read.is_sure))


def _opened(question: str, opens: re.Match[str], one: _Found, now: datetime) -> _Found:
    at = (opens.start(), one.at[1])
    read, text = one.read, question[opens.start() : one.at[1]]
    match opens[1].lower():
        case "since":
            return _Found(at, TimeRead(text, read.start, max(now + DAY, read.end), read.is_sure))
        case "after":
            return _Found(at, TimeRead(text, read.end, NEVER, read.is_sure))
        case "until" | "till" | "by":
            return _Found(at, TimeRead(text, EVER, read.end, read.is_sure))
        case _:
            return _Found(at, TimeRead(text, EVER, read.start, read.is_sure))
