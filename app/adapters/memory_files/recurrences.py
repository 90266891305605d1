"""When something that recurs took place (RFC 5545, RRULE), within bounds: however a rule is made, this ends.

Libraries walk to the year 9999 for a rule that never fits, and a calendar can hold thousands of those.
"""

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

MOST_OCCURRENCES: Final = 2_000  # of one rule
LONGEST_WALK: Final = 40_000  # steps of a rule: a hundred years of days
MOST_DAYS: Final = 10_000_000  # that the rules of one file look at
DAYS_OF_STEP: Final = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 31, "YEARLY": 366}
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
KNOWN: Final = frozenset(("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"))
_BY_DAY: Final = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")


@dataclass(slots=True)
class Budget:
    """How many days the rules of a file may still look at."""

    days: int = MOST_DAYS

    def spend(self, days: int) -> None:
        """Raises ValueError: that is all used up."""
        self.days -= days
        if self.days < 0:
            raise ValueError("the rules of this file take too long")


@dataclass(frozen=True, slots=True)
class Rule:
    """`by_day`: the ordinal within month or year (0: every one), and the weekday from Monday = 0."""

    frequency: str
    interval: int
    count: int | None
    by_day: Sequence[tuple[int, int]]
    by_month_day: Sequence[int]
    by_month: Sequence[int]
    by_position: Sequence[int]
    week_start: int


def read_rule(text: str) -> tuple[Rule, str | None]:
    """The rule, and when it ends, as that is written.

    Raises:
        ValueError: it is malformed, or of a kind that is not expanded.
    """
    parts = dict(part.split("=", 1) for part in text.upper().strip().strip(";").split(";") if "=" in part)
    if unknown := sorted(set(parts) - KNOWN):
        raise ValueError(f"{unknown[0]} is not expanded")
    frequency = parts.get("FREQ", "")
    if frequency not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        raise ValueError(f"FREQ={frequency[:20]} is not expanded")
    rule = Rule(
        frequency,
        _whole(parts.get("INTERVAL", "1"), least=1),
        _whole(parts["COUNT"], least=1) if "COUNT" in parts else None,
        [_weekday(one) for one in parts["BYDAY"].split(",")] if "BYDAY" in parts else (),
        _wholes(parts.get("BYMONTHDAY"), most=31),
        _wholes(parts.get("BYMONTH"), most=12),
        _wholes(parts.get("BYSETPOS"), most=366),
        WEEKDAYS.index(parts.get("WKST", "MO")),
    )
    return rule, parts.get("UNTIL")


def occurrences(rule: Rule, start: datetime, until: datetime, budget: Budget) -> Iterator[datetime]:
    """Those from `start` to `until`, on the wall clock. Raises ValueError: the budget is used up."""
    found = 0
    for period in _periods(rule, start, until, budget):
        days = sorted(set(period))
        for day in _positioned(days, rule.by_position):
            at = datetime.combine(day, start.time())
            if at < start:
                continue
            if at > until or found == (rule.count or MOST_OCCURRENCES) or found == MOST_OCCURRENCES:
                return
            found += 1
            yield at


def _periods(rule: Rule, start: datetime, until: datetime, budget: Budget) -> Iterator[Sequence[date]]:
    """The days that fit in each step of the rule."""
    for number in range(LONGEST_WALK):
        budget.spend(DAYS_OF_STEP[rule.frequency])
        step = number * rule.interval
        try:
            first, days = _period(rule, start.date(), step)
        except (OverflowError, ValueError):  # beyond the calendar
            return
        if first > until.date():
            return
        yield days


def _period(rule: Rule, start: date, step: int) -> tuple[date, Sequence[date]]:
    """The first day of a step, and those in it that fit."""
    match rule.frequency:
        case "DAILY":
            day = start + timedelta(days=step)
            return day, [day] if _fits(rule, day) else []
        case "WEEKLY":
            first = start - timedelta(days=(start.weekday() - rule.week_start) % 7) + timedelta(weeks=step)
            wanted = {weekday for _, weekday in rule.by_day} or {start.weekday()}
            week = [first + timedelta(days=number) for number in range(7)]
            return first, [
                day for day in week if day.weekday() in wanted and (not rule.by_month or day.month in rule.by_month)
            ]
        case "MONTHLY":
            months = start.year * 12 + start.month - 1 + step
            first = date(months // 12, months % 12 + 1, 1)
            fits = not rule.by_month or first.month in rule.by_month
            return first, _days_of_month(rule, first, start.day) if fits else []
        case _:
            first = date(start.year + step, 1, 1)
            return first, _days_of_year(rule, first, start)


def _fits(rule: Rule, day: date) -> bool:
    return (
        (not rule.by_month or day.month in rule.by_month)
        and (not rule.by_day or day.weekday() in {weekday for _, weekday in rule.by_day})
        and (not rule.by_month_day or _is_day_of_month(rule, day))
    )


def _is_day_of_month(rule: Rule, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    return day.day in rule.by_month_day or day.day - length - 1 in rule.by_month_day


def _days_of_month(rule: Rule, first: date, otherwise: int) -> Sequence[date]:
    length = calendar.monthrange(first.year, first.month)[1]
    days = [first + timedelta(days=number) for number in range(length)]
    if rule.by_month_day:
        days = [day for day in days if _is_day_of_month(rule, day)]
    if rule.by_day:
        return [day for day in days if _is_ordinal(rule, day, first, length)]
    return days if rule.by_month_day else [day for day in days if day.day == otherwise]


def _days_of_year(rule: Rule, first: date, start: date) -> Sequence[date]:
    if rule.by_day and not rule.by_month:
        length = 366 if calendar.isleap(first.year) else 365
        days = (first + timedelta(days=number) for number in range(length))
        fitting = [day for day in days if _is_ordinal(rule, day, first, length)]
        return [day for day in fitting if not rule.by_month_day or _is_day_of_month(rule, day)]
    everywhere = range(1, 13) if rule.by_month_day else [start.month]
    months = rule.by_month or everywhere
    return [day for month in months for day in _days_of_month(rule, first.replace(month=month), start.day)]


def _is_ordinal(rule: Rule, day: date, first: date, length: int) -> bool:
    """Whether `day` is, say, the second Tuesday of the `length` days from `first` on, or the last but one."""
    passed = (day - first).days
    forwards, backwards = passed // 7 + 1, -((length - 1 - passed) // 7 + 1)
    return any(weekday == day.weekday() and ordinal in (0, forwards, backwards) for ordinal, weekday in rule.by_day)


def _positioned(days: Sequence[date], positions: Sequence[int]) -> Sequence[date]:
    if not positions:
        return days
    length = len(days)
    chosen = {position - 1 if position > 0 else length + position for position in positions}
    return [day for number, day in enumerate(days) if number in chosen]


def _weekday(text: str) -> tuple[int, int]:
    match = _BY_DAY.fullmatch(text.strip())
    if match is None:
        raise ValueError("BYDAY is malformed")
    return int(match[1] or 0), WEEKDAYS.index(match[2])


def _wholes(text: str | None, *, most: int) -> Sequence[int]:
    values = [_whole(one, least=-most) for one in text.split(",")] if text else []
    if any(value == 0 or value > most for value in values):
        raise ValueError("a number of the rule lies outside the calendar")
    return values


def _whole(text: str, *, least: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,6}", text.strip()) or int(text) < least:
        raise ValueError("a number of the rule is malformed")
    return int(text)
