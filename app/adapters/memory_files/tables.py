"""Tables (CSV): a first row with the names of columns, whatever separates them, in whatever encoding."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app.adapters.memory_files.records import LONGEST_LINE, Position, Problem, Record, encoding_of, named
from app.errors import ExtractionFailed

DELIMITERS: Final = (",", ";", "\t", "|")
_YEAR_FIRST: Final = re.compile(r"(\d{4})[/.](\d{1,2})(?:[/.](\d{1,2}))?(.*)", re.DOTALL)
_DAY_FIRST: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(.*)", re.DOTALL)  # with dots the day always comes first
_SEVERAL: Final = re.compile(r"[;|\n]")
_SEVERAL_TAGS: Final = re.compile(r"[;|,\n]")


def read_table(path: Path, position: Position) -> Iterator[Record | Problem]:
    """
    Raises:
        ExtractionFailed: NO_COLUMNS, no column says what happened.
    """
    size = max(path.stat().st_size, 1)
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding_of(path), errors="replace", newline="") as file:
        first = next((line for line in _lines(file) if line.strip()), "")
        delimiter = max(DELIMITERS, key=lambda one: len(named(_split(first, one))))
        header = _split(first, delimiter)
        columns = named(header)
        if not {"title", "content"} & set(columns.values()):
            raise ExtractionFailed(
                "NO_COLUMNS", "The first row must name the columns; one of them must be `content` or `title`."
            )
        for name in header:
            if name.strip() and name not in columns:
                yield Problem(1, f"The column {name.strip()[:100]!r} is not known: it was left out.", is_skipped=False)
        rows = csv.reader(_lines(file), delimiter=delimiter)
        yield from _records(rows, [columns.get(name) for name in header], raw, position, size)


def _records(
    rows: Any, columns: Sequence[str | None], raw: Any, position: Position, size: int
) -> Iterator[Record | Problem]:
    while True:
        begins = rows.line_num + 2  # behind the header
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(begins, f"The row cannot be read: {error}")
            continue
        position.fraction = raw.tell() / size
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if name and cell.strip()}
        if len(row) > len(columns):
            yield Problem(begins, f"The row has {len(row)} cells, and there are {len(columns)} columns.")
        elif cells:
            yield _record(begins, cells)


def _record(line: int, cells: Mapping[str, str]) -> Record | Problem:
    fields: dict[str, Any] = {
        name: cell for name, cell in cells.items() if name not in ("id", "latitude", "longitude", "tags", "people")
    }
    for name in ("occurred_at", "occurred_end", "created_at"):
        if name in fields:
            fields[name] = written(fields[name])
    if "tags" in cells:
        fields["tags"] = _several(cells["tags"], _SEVERAL_TAGS)
    if "people" in cells:
        fields["people"] = _several(cells["people"], _SEVERAL)
    if "location" in fields:
        place: dict[str, Any] = {"name": fields["location"]}
        if "latitude" in cells and "longitude" in cells:
            try:
                place["coordinates"] = {
                    name: float(cells[name].replace(",", ".")) for name in ("latitude", "longitude")
                }
            except ValueError:
                return Problem(line, "latitude, longitude: must be degrees, such as 48.2082")
        fields["location"] = place
    return Record(line, fields, cells.get("id"))


def written(text: str) -> str:
    """A date the way it is written elsewhere, 2023/3/5 or 5.3.2023, as 2023-03-05."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, rest = match.groups()
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year, rest = match.groups()
    else:
        return text
    return "-".join([year, month.zfill(2), *([day.zfill(2)] if day else [])]) + rest


def _several(cell: str, separator: re.Pattern[str]) -> list[str]:
    return [part.strip() for part in separator.split(cell) if part.strip()]


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        yield line
