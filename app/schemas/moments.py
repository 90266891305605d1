"""When something happened, as people say it: a year, a month, a day, or a moment."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from app.event_base import FIRST_YEAR, LAST_YEAR
from app.models import Precision

WRITTEN: Final = (
    r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01])"
    r"([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?)?)?)?$"
)

_PARTS: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9][0-9])(?:-(?P<day>[0-9][0-9])"
    r"(?:[Tt ](?P<hour>[0-9][0-9]):(?P<minute>[0-9][0-9])(?::(?P<second>[0-9][0-9])(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|[+-][0-9][0-9]:?[0-9][0-9])?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """`wall` is what clock and calendar showed, down to `precision`; `zone` is None where nobody said which clock."""

    wall: datetime
    zone: timezone | None
    precision: Precision

    def __str__(self) -> str:
        return f"{self.at().isoformat()} ({self.precision.value})"

    def at(self) -> datetime:
        """The instant, by UTC where no other zone is known."""
        return self.wall.replace(tzinfo=self.zone or UTC)


def parse_moment(value: object) -> Moment:
    """
    Raises:
        ValueError: no year, month, day or time.
    """
    match = _PARTS.fullmatch(value) if isinstance(value, str) and re.search(WRITTEN, value) else None
    if match is None:
        raise ValueError("must be a year, a month, a day or a time, such as 2023, 2023-03, 2023-03-05 or …T18:30:00Z")
    part = {name: int(text) for name, text in match.groupdict().items() if text and text.isdigit()}
    if not FIRST_YEAR <= part["year"] <= LAST_YEAR:
        raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
    wall = datetime(  # noqa: DTZ001 - a wall clock has no zone
        part["year"],
        part.get("month", 1),
        part.get("day", 1),
        part.get("hour", 0),
        part.get("minute", 0),
        part.get("second", 0),
        int((match["fraction"] or "").ljust(6, "0")[:6]),
    )
    return Moment(wall, _zone(match["zone"]), _precision(match))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _precision(match: re.Match[str]) -> Precision:
    if match["hour"] is not None:
        return Precision.EXACT
    if match["day"] is not None:
        return Precision.DAY
    return Precision.YEAR if match["month"] is None else Precision.MONTH


def _parsed(value: Any) -> Any:
    return value if isinstance(value, Moment) else parse_moment(value)


When = Annotated[
    Moment,
    PlainValidator(_parsed),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": WRITTEN,
            "description": "A year, a month, a day, or a time; without an offset, on the clock of your time zone.",
            "examples": ["2023-03-05T18:30:00+01:00", "2023-03-05", "2023-03", "2023"],
        }
    ),
]
