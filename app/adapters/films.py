"""Films and sounds made of boxes (MP4, QuickTime): when and where they were taken, and which boxes say such things.

Those boxes are served as empty ones of the same length (`free`), so that nothing else moves, and no copy is kept.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from app.errors import ExtractionFailed

BOXED: Final = frozenset(("video/mp4", "video/quicktime", "video/3gpp", "audio/mp4"))
LARGEST_INDEX: Final = 33_554_432  # bytes of a box that holds others
MOST_BOXES: Final = 10_000
HEADER, LONG_HEADER = 8, 16
EMPTY: Final = b"free"

_HOLDING: Final = frozenset((b"moov", b"trak"))
_TELLING: Final = frozenset((b"udta", b"meta"))
_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_PLACE: Final = re.compile(
    rb"([+-]\d\d(?:\.\d{1,9})?)([+-]\d{3}(?:\.\d{1,9})?)(?:[+-]\d{1,6}(?:\.\d{1,9})?)?(?:CRS\w{1,20})?/"
)
_TIME: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-](?:0\d|1[0-4])):?([0-5]\d)")
_EPOCH: Final = datetime(1904, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)  # before it, a clock that was never set

Read = Callable[[int, int], Awaitable[bytes]]
"""The bytes from a start to an end (exclusive)."""
Blank = tuple[int, int, int]
"""Where the four letters of a box's type are, where its content begins, and where it ends."""


@dataclass(slots=True)
class Film:
    """What a film says of itself; as `Picture` has it."""

    taken_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    blanks: list[Blank] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Box:
    name: bytes
    start: int
    content: int
    end: int


async def read_film(read: Read, size: int) -> Film:
    """What the film of `size` bytes says; what is not understood says nothing.

    Raises:
        ExtractionFailed: TOO_LARGE, where its index is no index any more.
    """
    film, position, count = Film(), 0, 0
    while position + HEADER <= size:
        box = _box(await read(position, min(size, position + LONG_HEADER)), 0, position, size)
        count += 1
        if box is None or count > MOST_BOXES:
            break
        if box.name in _HOLDING or box.name in _TELLING or box.name == b"uuid":
            if box.end - box.start > LARGEST_INDEX:
                raise ExtractionFailed("TOO_LARGE", "The index of the film is too large.")
            _look(await read(box.start, box.end), box.start, film)
        position = box.end
    return film


def blanked(piece: bytes, offset: int, blanks: Sequence[Sequence[int]]) -> bytes:
    """The bytes that stand at `offset` of a film, with its `blanks` empty."""
    shown = bytearray(piece)
    for name, content, end in blanks:
        for start, filling in ((name, EMPTY), (content, None)):
            stop = start + len(EMPTY) if filling else end
            first, last = max(start, offset), min(stop, offset + len(piece))
            if first < last:
                part = filling[first - start : last - start] if filling else bytes(last - first)
                shown[first - offset : last - offset] = part
    return bytes(shown)


def _look(content: bytes, offset: int, film: Film) -> None:
    """Go through the boxes in `content`, which stands at `offset`, and through those that they hold."""
    waiting, count = [(0, len(content))], 0
    while waiting:
        start, end = waiting.pop()
        for box in _boxes(content, start, end):
            count += 1
            if count > MOST_BOXES:
                raise ExtractionFailed("TOO_LARGE", "The index of the film is too large.")
            inside = content[box.content : box.end]
            if box.name in _HOLDING:
                waiting.append((box.content, box.end))
            elif box.name == b"mvhd":
                film.taken_at = film.taken_at or _created(inside)
            elif box.name in _TELLING or (box.name == b"uuid" and inside.startswith(_XMP)):
                film.blanks.append((offset + box.start + 4, offset + box.content, offset + box.end))
                _take(inside, film)


def _boxes(content: bytes, start: int, end: int) -> Iterator[_Box]:
    while start + HEADER <= end and (box := _box(content, start, start, end)) is not None:
        yield box
        start = box.end


def _box(content: bytes, at: int, position: int, end: int) -> _Box | None:
    """The box whose header is `at` in `content`, and which stands at `position` before `end`."""
    size, name, head = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8], HEADER
    if size == 1:
        size, head = int.from_bytes(content[at + 8 : at + 16]), LONG_HEADER
    stop = end if size == 0 else position + size
    if len(name) < 4 or stop < position + head or stop > end:
        return None
    return _Box(name, position, position + head, stop)


def _created(header: bytes) -> str | None:
    """By the clock of the world; films do not know their zone."""
    seconds = int.from_bytes(header[4:12] if header[:1] == b"\1" else header[4:8])
    try:
        created = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return created.isoformat() if _EARLIEST < created < datetime(9000, 1, 1, tzinfo=UTC) else None


def _take(told: bytes, film: Film) -> None:
    if film.latitude is None and (place := _PLACE.search(told)):
        latitude, longitude = float(place[1]), float(place[2])
        if abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0.0, 0.0):
            film.latitude, film.longitude = latitude, longitude
    if time := _TIME.search(told):
        wall = time[1].decode()
        try:
            datetime.fromisoformat(wall)
        except ValueError:
            return
        if wall >= "1900":
            film.taken_at = f"{wall}{time[2].decode()}:{time[3].decode()}"
