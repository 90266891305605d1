"""Times that are said in words: "yesterday", "two weeks ago", "last summer", "at Christmas 2020", "in the nineties"."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from dateutil.easter import easter

from app.services.written_dates import DAY, Span, midnight, month_of, year_of

WEEK = timedelta(days=7)
LATELY: Final = timedelta(days=30)
NUMBERS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "a couple of": 2, "a few": 3,
}  # fmt: skip
DECADES: Final = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80,
    "nineties": 90,
}  # fmt: skip
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEASONS: Final = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # by their first month, in the north


_NUMBER = rf"(?P<number>\d{{1,3}}|{'|'.join(sorted(NUMBERS, key=len, reverse=True))})"
_YEAR = r"(?P<year>19\d\d|20\d\d)"
_SEASON = rf"(?P<season>{'|'.join(SEASONS)})"
_WEEKDAY = rf"(?P<weekday>{'|'.join(WEEKDAYS)})"
_HOLIDAY = r"(?P<holiday>christmas eve|christmas|xmas|new year['\u2019]?s eve|new year['\u2019]?s day|halloween|easter)"
_UNIT = r"(?P<unit>day|week|month|year)"
_LEADS: Final = "|".join(
    rf"(?<=\b{word} )"
    for word in ("in", "of", "during", "since", "after", "before", "until", "between", "from", "and", "to")
)

Read = Callable[[re.Match[str], datetime], Span | None]


def spoken_times(question: str, now: datetime) -> Iterator[tuple[tuple[int, int], Span, bool]]:
    """Where they stand, what they mean, and whether that is sure; what is more exact comes first."""
    for pattern, read, is_sure in _RULES:
        for match in pattern.finditer(question):
            span = read(match, now)
            if span is not None:
                yield match.span(), span, is_sure


def _days(now: datetime, back: int, count: int = 1) -> Span:
    start = midnight(now) - back * DAY
    return start, start + count * DAY


def _months_back(now: datetime, back: int) -> Span:
    month = now.year * 12 + now.month - 1 - back
    return month_of(month // 12, month % 12 + 1)


def _units_back(now: datetime, unit: str, back: int) -> Span | None:
    """The day, week, month or year that lies so many back; whoever counts weeks means a day more or less."""
    if back * {"day": 1, "week": 7, "month": 31, "year": 366}[unit] > 300_000:
        return None
    match unit:
        case "day":
            return _days(now, back)
        case "week":
            monday = midnight(now) - now.weekday() * DAY - back * WEEK
            return monday, monday + WEEK
        case "month":
            return _months_back(now, back)
        case _:
            return year_of(now.year - back)


def _ago(match: re.Match[str], now: datetime) -> Span | None:
    span = _units_back(now, match["unit"].lower(), _number(match["number"]))
    if span is not None and match["unit"].lower() == "week":
        middle = midnight(now) - _number(match["number"]) * WEEK
        return middle - 4 * DAY, middle + 5 * DAY
    return span


def _past(match: re.Match[str], now: datetime) -> Span | None:
    """From so many units back until now."""
    days = {"day": 1, "week": 7, "month": 31, "year": 366}[match["unit"].lower()] * _number(match["number"])
    return None if days > 300_000 else (midnight(now) - days * DAY, midnight(now) + DAY)


def _last(match: re.Match[str], now: datetime) -> Span | None:
    back = 1 if match["which"].lower() != "this" else 0
    return _units_back(now, match["unit"].lower(), back)


def _weekend(match: re.Match[str], now: datetime) -> Span:
    saturday = midnight(now) - ((now.weekday() - 5) % 7) * DAY
    if match["which"].lower() == "last" and now.weekday() >= 5:
        saturday -= WEEK
    return saturday, saturday + 2 * DAY


def _on_weekday(match: re.Match[str], now: datetime) -> Span:
    back = (now.weekday() - WEEKDAYS.index(match["weekday"].lower())) % 7 or 7
    return _days(now, back)


def _season(match: re.Match[str], now: datetime) -> Span:
    """The last one that is over, or of a year; "this" is the one of this year, and "in summer" the last that began."""
    first, groups = SEASONS[match["season"].lower()], match.groupdict()
    if groups.get("year"):
        return _season_of(int(match["year"]), first)
    which = (groups.get("which") or "").lower()
    year = now.year
    if which == "this":
        return _season_of(year, first)
    while (_season_of(year, first)[1] if which == "last" else _season_of(year, first)[0]) > now:
        year -= 1
    return _season_of(year, first)


def _season_of(year: int, first: int) -> Span:
    """Three months; a winter is that of the year in which it begins."""
    months = [month_of(year + (first + add - 1) // 12, (first + add - 1) % 12 + 1) for add in range(3)]
    return months[0][0], months[-1][1]


def _holiday(match: re.Match[str], now: datetime) -> Span:
    """Of a year, or the last one."""
    name = match["holiday"].lower().replace("\u2019", "'")
    if match.groupdict().get("year"):
        return _holiday_of(name, int(match["year"]))
    year = now.year
    while _holiday_of(name, year)[0] > now:
        year -= 1
    return _holiday_of(name, year)


def _holiday_of(name: str, year: int) -> Span:
    if name == "easter":
        sunday = datetime.combine(easter(year), datetime.min.time())
        return sunday - 2 * DAY, sunday + 2 * DAY
    if name.startswith("new year"):
        start = datetime(year, 12, 31) if name.endswith("eve") else datetime(year, 1, 1)  # noqa: DTZ001 - a wall clock
        return start, start + DAY
    if name == "halloween":
        return datetime(year, 10, 31), datetime(year, 11, 1)  # noqa: DTZ001 - a wall clock
    first = 24
    last = 25 if name == "christmas eve" else 27
    return datetime(year, 12, first), datetime(year, 12, last)  # noqa: DTZ001 - a wall clock


def _decade(match: re.Match[str], now: datetime) -> Span:
    groups = match.groupdict()
    start = int(groups["full"]) if groups.get("full") else _century(int(groups["short"] or 0) or 0, groups, now)
    return year_of(start)[0], year_of(start + 9)[1]


def _century(short: int, groups: dict[str, Any], now: datetime) -> int:
    tens = short or DECADES[groups["word"].lower()]
    return 2000 + tens if 2000 + tens <= now.year else 1900 + tens


def _bare_year(match: re.Match[str], _: datetime) -> Span:
    return year_of(int(match["year"]))


def _lately(_: re.Match[str], now: datetime) -> Span:
    return now - LATELY, midnight(now) + DAY


def _number(text: str) -> int:
    return int(text) if text.isdigit() else NUMBERS[text.lower()]


def _rule(pattern: str, read: Read, *, is_sure: bool = True) -> tuple[re.Pattern[str], Read, bool]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), read, is_sure


_RULES: Final = (
    _rule(r"the day before yesterday", lambda _, now: _days(now, 2)),
    _rule(r"yesterday|last night", lambda _, now: _days(now, 1)),
    _rule(r"today|tonight|this (?:morning|afternoon|evening)", lambda _, now: _days(now, 0)),
    _rule(rf"{_NUMBER} {_UNIT}s? ago", _ago),
    _rule(rf"(?:in|during|over|within) the (?:last|past) {_NUMBER} {_UNIT}s?", _past),
    _rule(rf"the (?:last|past) {_NUMBER} {_UNIT}s", _past),
    _rule(rf"(?P<which>last|this|the previous) {_UNIT}", _last),
    _rule(r"(?P<which>last|this|at the|the) weekend", _weekend),
    _rule(rf"(?:last|this past) {_WEEKDAY}", _on_weekday),
    _rule(rf"on {_WEEKDAY}(?!s)", _on_weekday),
    _rule(rf"{_SEASON}(?: of)? {_YEAR}", _season),
    _rule(rf"(?P<which>last|this) {_SEASON}", _season),
    _rule(rf"(?:in|during)(?: the)? {_SEASON}", _season, is_sure=False),
    _rule(rf"{_HOLIDAY}(?: day)?(?: of| in)? {_YEAR}", _holiday),
    _rule(rf"(?P<which>last) {_HOLIDAY}", _holiday),
    _rule(rf"(?:at|on|for|over|during) {_HOLIDAY}", _holiday, is_sure=False),
    _rule(r"(?:the )?(?P<full>(?:19|20)\d0)['\u2019]?s", _decade),
    _rule(rf"the ['\u2019]?(?:(?P<short>[2-9]0)['\u2019]?s|(?P<word>{'|'.join(DECADES)}))", _decade),
    _rule(rf"(?:{_LEADS}){_YEAR}", _bare_year),
    _rule(_YEAR, _bare_year, is_sure=False),
    _rule(r"recently|lately|the other day|these days", _lately, is_sure=False),
)
