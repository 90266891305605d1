"""Dates that are written out, in several languages: "5 March 2023", "2023-03-05", "le 3 mars 2021", "in May".

They are read by dateparser, which finds dates in nearly everything: it is asked about what looks like one alone.
"""

import calendar
import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from dateparser.date import DateDataParser

LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "nl")
DAY = timedelta(days=1)
Span: TypeAlias = tuple[datetime, datetime]
"""From the first on and before the second, on the wall clock."""


def written_dates(
    question: str, now: datetime, languages: Sequence[str]
) -> Iterator[tuple[tuple[int, int], Span, bool]]:
    """Where they stand, what they mean, and whether that is sure: a date without a year may be of any."""
    known = tuple(dict.fromkeys([*(one.split("-")[0] for one in languages), *LANGUAGES]))
    for match in _date_pattern(known).finditer(question):
        text = match.group()
        if _is_word(match, question):
            continue
        span = _year_first(text) or _parsed(text, now, known)
        if span is not None:
            yield match.span(), span, re.search(r"\d{4}", text) is not None


def _is_word(match: re.Match[str], question: str) -> bool:
    """A month's name by itself may be a word or somebody's name: it counts behind "in", "last", "since", …."""
    if re.search(r"\d", match.group()):
        return False
    before = question[: match.start()].rstrip().rsplit(None, 1)
    leads = before[-1].lower() if before else ""
    is_written_large = match.group() == match.group().title()
    return leads not in _BEFORE_ANY_MONTH and not (is_written_large and leads in _BEFORE_MONTHS)


_BEFORE_ANY_MONTH: Final = frozenset({"in", "during", "since", "last", "im", "en", "em"})
_BEFORE_MONTHS: Final = frozenset({"until", "before", "after", "this", "of", "to", "from", "between"})


def _year_first(text: str) -> Span | None:
    match = re.fullmatch(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?", text)
    if match is None:
        return None
    try:
        if match[3] is None:
            return month_of(int(match[1]), int(match[2]))
        start = datetime(int(match[1]), int(match[2]), int(match[3]))  # noqa: DTZ001 - a wall clock
    except ValueError:
        return None
    return start, start + DAY


def _parsed(text: str, now: datetime, languages: tuple[str, ...]) -> Span | None:
    plain = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text, flags=re.IGNORECASE)
    plain = re.sub(r"\bof\b|\bthe\b", " ", plain, flags=re.IGNORECASE)
    data = _parser(languages, now.replace(second=0, microsecond=0)).get_date_data(" ".join(plain.split()))
    found: datetime | None = data.date_obj
    if found is None:
        return None
    if data.period == "year":
        return year_of(found.year)
    if data.period == "month":
        return month_of(found.year, found.month)
    start = midnight(found)
    return start, start + DAY


@functools.lru_cache(64)
def _parser(languages: tuple[str, ...], now: datetime) -> DateDataParser:
    settings: dict[str, Any] = {
        "PREFER_DATES_FROM": "past",
        "PREFER_DAY_OF_MONTH": "first",
        "RELATIVE_BASE": now,
        "RETURN_AS_TIMEZONE_AWARE": False,
        "PARSERS": ["absolute-time"],
    }
    return DateDataParser(languages=list(languages), settings=settings)


@functools.lru_cache(64)
def _date_pattern(languages: tuple[str, ...]) -> re.Pattern[str]:
    """Numbers that look like a date, and months with a day or a year beside them, or alone."""
    month = "|".join(sorted(_month_names(languages), key=len, reverse=True))
    day, of = r"\d{1,2}(?:st|nd|rd|th|\.|\u00ba)?", r"(?:\s+(?:of|de|del|di|do))?\s+"
    alternatives = (
        r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}",
        r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}",
        rf"(?:{day}{of})(?:{month})\.?(?:(?:,|{of})\s*\d{{4}})?",
        rf"(?:{month})\.?\s+(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?(?!\d|:)",
        rf"(?:{month})\.?(?:,|{of})\s*\d{{4}}",
        rf"(?:{month})",
        r"\d{4}-\d{2}(?![-\d])",
    )
    return re.compile(rf"(?<![\w/.-])(?:{'|'.join(alternatives)})(?![\w/])", re.IGNORECASE)


@functools.lru_cache(64)
def _month_names(languages: tuple[str, ...]) -> frozenset[str]:
    names: set[str] = set()
    for language in languages:
        try:
            info = importlib.import_module(f"dateparser.data.date_translation_data.{language}").info
        except ModuleNotFoundError:
            continue
        for month in calendar.month_name[1:]:
            names.update(re.escape(name) for name in info[month.lower()] if len(name) > 2 and not name.endswith("."))
    return frozenset(names)


def year_of(year: int) -> Span:
    return datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - wall clocks have no zone


def month_of(year: int, month: int) -> Span:
    start = datetime(year, month, 1)  # noqa: DTZ001 - a wall clock
    return start, (start + timedelta(days=31)).replace(day=1)


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
