"""JSON Lines: one object a line, with the fields of a memory."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.adapters.memory_files.records import LONGEST_LINE, Position, Problem, Record, encoding_of, named


def read_json_lines(path: Path, position: Position) -> Iterator[Record | Problem]:
    """Blank lines are skipped; what is no object is a problem of its line alone."""
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding_of(path), errors="replace") as file:
        number, is_within = 0, False
        while line := file.readline(LONGEST_LINE):
            position.fraction = raw.tell() / size
            is_long = not line.endswith("\n") and len(line) == LONGEST_LINE
            number += not is_within
            if is_long and not is_within:
                yield Problem(number, f"The line is longer than {LONGEST_LINE:,} characters.")
            elif not is_long and not is_within and line.strip():
                yield read_object(number, line)
            is_within = is_long


def read_object(number: int, line: str | bytes) -> Record | Problem:
    """The memory in a line."""
    fields = parse_object(line)
    if isinstance(fields, str):
        return Problem(number, fields)
    known = named(fields)
    record = {known[name]: value for name, value in fields.items() if name in known}
    key = record.pop("id", None)
    if key is not None and not isinstance(key, (str, int)):
        return Problem(number, "id: must be a text or a number")
    _join_coordinates(record)
    return Record(number, record, None if key is None else str(key))


def parse_object(line: str | bytes) -> Mapping[str, Any] | str:
    """The JSON object in `line`, or why there is none."""
    try:
        value = json.loads(line)
    except RecursionError:
        return "It is nested too deeply."
    except ValueError as error:
        return f"It is no JSON: {error}"
    return value if isinstance(value, dict) else "It is no JSON object."


def _join_coordinates(record: dict[str, Any]) -> None:
    """`latitude` and `longitude` beside the place are part of it."""
    latitude, longitude = record.pop("latitude", None), record.pop("longitude", None)
    place = record.get("location")
    if isinstance(place, str):
        place = {"name": place}
    if isinstance(place, dict):
        named_place = {key: value for key, value in place.items() if key in ("name", "coordinates")}
        if latitude is not None and longitude is not None:
            named_place.setdefault("coordinates", {"latitude": latitude, "longitude": longitude})
        record["location"] = named_place
