"""What the readers of files have in common: records, problems, and fields by whatever name they go."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from app.adapters.parsers.texts import BYTE_ORDER_MARKS, SAMPLE_BYTES, likeliest_encoding, utf16_without_mark

LONGEST_LINE: Final = 1_048_576  # characters or bytes
READ_BYTES: Final = 262_144

Kind = Literal["memory", "archived", "person", "place", "links", "media"]

# The fields of a memory, and what others call them.
OTHER_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "id": ("key", "uid", "uuid"),
    "title": ("name", "subject", "summary", "headline"),
    "content": ("text", "body", "note", "notes", "description", "entry"),
    "occurred_at": ("date", "start", "when", "time", "timestamp", "datetime", "start_date"),
    "occurred_end": ("end", "until", "end_date"),
    "precision": (),
    "tags": ("tag", "labels", "categories", "category"),
    "people": ("person", "persons", "with", "who", "attendees"),
    "location": ("place", "where"),
    "latitude": ("lat",),
    "longitude": ("lon", "lng", "long"),
    "created_at": ("created", "written_at"),
}
FIELD_BY_NAME: Final = {one: field for field, others in OTHER_NAMES.items() for one in (field, *others)}


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of what stands at `line`; `key`: what its file calls it, None where that is nothing."""

    line: int
    fields: Mapping[str, Any]
    key: str | None = None
    kind: Kind = "memory"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong at `line`; where `is_skipped`, nothing else was made of what stands there."""

    line: int
    message: str
    is_skipped: bool = True


@dataclass(slots=True)
class Position:
    """How much of a file was read, from 0 to 1."""

    fraction: float = 0.0


def named(fields: Iterable[str]) -> Mapping[str, str]:
    """What each of `fields` is called here, for those that are known; the first of two that mean the same."""
    known: dict[str, str] = {}
    for field in fields:
        plain = "_".join(field.strip().casefold().replace("-", " ").split())
        name = FIELD_BY_NAME.get(plain)
        if name is not None and name not in known.values():
            known[field] = name
    return known


def encoding_of(path: Path) -> str:
    """Of a text file: its byte order mark, UTF-8, then the likeliest."""
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
        for mark, encoding in BYTE_ORDER_MARKS:
            if head.startswith(mark):
                return "utf-8-sig" if encoding == "utf-8" else encoding.removesuffix("-le").removesuffix("-be")
        if wide := utf16_without_mark(head):
            return wide
        piece, left = head, b""
        while piece:
            try:
                (left + piece).decode()
                left = b""
            except UnicodeDecodeError as error:
                left = (left + piece)[error.start :]
                if len(left) > 3 or error.reason != "unexpected end of data":  # not merely cut within a character
                    return likeliest_encoding(left[:SAMPLE_BYTES])
            piece = file.read(READ_BYTES)
    return likeliest_encoding(left) if left else "utf-8"


def bounded_lines(file: BinaryIO, position: Position, size: int) -> Iterator[bytes]:
    """Lines, the longest of them in pieces."""
    read = 0
    while line := file.readline(LONGEST_LINE):
        read += len(line)
        position.fraction = read / max(size, 1)
        yield line
