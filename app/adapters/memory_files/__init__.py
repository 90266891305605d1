"""Files that memories are read from: one record after another, never the whole file in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from app.adapters.memory_files.archives import read_archive
from app.adapters.memory_files.calendars import Calendar
from app.adapters.memory_files.json_lines import read_json_lines
from app.adapters.memory_files.photos import PHOTOS, looks_like_photos
from app.adapters.memory_files.records import Position, Problem, Record
from app.adapters.memory_files.tables import read_table

__all__ = ["ARCHIVE", "CALENDAR", "JSON_LINES", "MEDIA_TYPES", "TABLE", "Calendar", "read_records", "sniff_format"]

JSON_LINES, TABLE, CALENDAR, ARCHIVE = "jsonl", "csv", "ical", "archive"
MEDIA_TYPES: Mapping[str, str] = {
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
    ".csv": TABLE,
    ".tsv": TABLE,
    ".ics": CALENDAR,
    ".ical": CALENDAR,
    ".zip": ARCHIVE,
}


def sniff_format(head: bytes, filename: str | None) -> str:
    """What the file is, by how it begins; by its name where that says nothing."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"PK\x03\x04"):
        return PHOTOS if looks_like_photos(head) else ARCHIVE
    if start[:15].upper() == b"BEGIN:VCALENDAR":
        return CALENDAR
    if start[:1] == b"{":
        return JSON_LINES
    return MEDIA_TYPES.get(Path(filename or "").suffix.lower(), TABLE)


def read_records(path: Path, kind: str, calendar: Calendar, position: Position) -> Iterator[Record | Problem]:
    """What stands in the file, in its order; `position` tells how far that is.

    Raises:
        ExtractionFailed: it is no such file, or a hostile one.
    """
    match kind:
        case "jsonl":
            return read_json_lines(path, position)
        case "csv":
            return read_table(path, position)
        case "ical":
            return calendar.read(path, position)
        case _:
            return read_archive(path, position)
