"""When and where a picture was taken, and which side is up, as its EXIF data says. What makes no sense is left out."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

UPRIGHT: Final = 1
EARLIEST_YEAR: Final = 1826  # of the first photograph
LATEST_YEAR: Final = 9000
DECIMALS: Final = 6  # of a degree: a tenth of a metre

_TIMES: Final = (  # when the picture was taken, was digitised, was changed
    (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
    (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
    (Base.DateTime, Base.OffsetTime),
)
_TIME: Final = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET: Final = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class Taken:
    """`at`: `2023-07-04T23:30:00`, with `+02:00` behind it where the camera knew its zone; degrees, both or none.

    `orientation`: 1 to 8 as EXIF has them, 1 for a picture that is stored as it is to be seen.
    """

    at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    orientation: int = UPRIGHT


def read_exif(image: Image.Image) -> Taken:
    """Never fails: EXIF data that cannot be read says nothing."""
    try:
        exif = image.getexif()
        main = dict(exif)
        latitude, longitude = _place(exif.get_ifd(IFD.GPSInfo))
        return Taken(_time(main | dict(exif.get_ifd(IFD.Exif))), latitude, longitude, _orientation(main))
    except Exception:  # whatever Pillow raises on data that somebody made up
        return Taken()


def _orientation(tags: Mapping[int, Any]) -> int:
    given = tags.get(Base.Orientation)
    return given if isinstance(given, int) and 1 <= given <= 8 else UPRIGHT


def _time(tags: Mapping[int, Any]) -> str | None:
    for name, offset in _TIMES:
        match = _TIME.match(_text(tags.get(name)))
        if match is None:
            continue
        try:
            taken = datetime(*map(int, match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - a camera's clock
        except ValueError:
            continue
        if EARLIEST_YEAR <= taken.year <= LATEST_YEAR:
            zone = _text(tags.get(offset))
            return taken.isoformat() + (zone if _OFFSET.fullmatch(zone) else "")
    return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _place(tags: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(tags.get(GPS.GPSLatitude), _text(tags.get(GPS.GPSLatitudeRef)), "NS", most=90)
    longitude = _degrees(tags.get(GPS.GPSLongitude), _text(tags.get(GPS.GPSLongitudeRef)), "EW", most=180)
    if latitude is None or longitude is None or latitude == longitude == 0:  # what is written without a fix
        return None, None
    return latitude, longitude


def _degrees(value: Any, side: str, sides: str, *, most: int) -> float | None:
    """Degrees, minutes and seconds as one number; what lies beyond the first of the two `sides` is negative."""
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3 or side.upper() not in tuple(sides):
        return None
    try:
        degrees = sum((float(part) / (1, 60, 3600)[index] for index, part in enumerate(value)), 0.0)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not math.isfinite(degrees) or not 0 <= degrees <= most:
        return None
    return round(-degrees if side.upper() == sides[1] else degrees, DECIMALS)
