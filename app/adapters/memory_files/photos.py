"""Folders of photos, packed as ZIP: what is in them, and each photo piece by piece. Nothing is unpacked to the disk."""

import contextlib
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

from app.adapters.memory_files.packed import open_packed, read_part
from app.errors import ExtractionFailed

PHOTOS: Final = "photos"
SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp"),
    *(".mp4", ".m4v", ".mov", ".3gp", ".webm", ".m4a", ".mp3"),
)
MOST_PHOTOS: Final = 50_000
MOST_EXPANSION: Final = 20  # photos are packed already
HARMLESS_BYTES: Final = 67_108_864  # up to here any expansion is allowed
FIRST_CLOCK: Final = datetime(1981, 1, 1)  # noqa: DTZ001 - ZIP has no zones; a clock that was not set says 1980


@dataclass(frozen=True, slots=True)
class Photo:
    """A file of the archive: `line` counts from 1, `changed` is when its file was, by the clock of that machine."""

    line: int
    name: str
    changed: datetime | None

    @property
    def filename(self) -> str:
        return PurePosixPath(self.name).name

    @property
    def album(self) -> str | None:
        """What the folder is called in which it lies."""
        return PurePosixPath(self.name).parent.name or None


def looks_like_photos(head: bytes) -> bool:
    """Whether the first file of the ZIP archive that begins so is a photo, or lies in a folder and is one."""
    position = head.find(b"PK\x03\x04")
    while position >= 0:
        length = int.from_bytes(head[position + 26 : position + 28], "little")
        name = head[position + 30 : position + 30 + length].decode("utf-8", "replace")
        if not name.endswith("/"):
            return _is_photo(name)
        position = head.find(b"PK\x03\x04", position + 30 + length)
    return False


@contextlib.contextmanager
def open_photos(path: Path) -> Iterator["Photos"]:
    """
    Raises:
        ExtractionFailed: CORRUPT, ENCRYPTED, TOO_LARGE or NO_PHOTOS.
    """
    with open_packed(path) as archive:
        parts = [part for part in archive.infolist() if not part.is_dir() and _is_photo(part.filename)]
        if not parts:
            raise ExtractionFailed("NO_PHOTOS", "In the archive is no photo.")
        allowed = max(HARMLESS_BYTES, path.stat().st_size * MOST_EXPANSION)
        if len(parts) > MOST_PHOTOS or sum(part.file_size for part in parts) > allowed:
            raise ExtractionFailed("TOO_LARGE", "Unpacked, the photos are more or larger than is allowed.")
        parts.sort(key=lambda part: part.filename)
        yield Photos(archive, parts)


class Photos:
    """Those of an archive, in the order of their names; what is no photo by its name is passed over."""

    def __init__(self, archive: zipfile.ZipFile, parts: Sequence[zipfile.ZipInfo]) -> None:
        self._archive = archive
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def after(self, line: int) -> Iterator[Photo]:
        for number, part in enumerate(self._parts[line:], line + 1):
            yield Photo(number, part.filename, _changed(part))

    def read(self, photo: Photo) -> AsyncIterator[bytes]:
        """Raises ExtractionFailed: CORRUPT."""
        return read_part(self._archive, self._parts[photo.line - 1])


def _is_photo(name: str) -> bool:
    """Not what systems put beside photos, whatever that is called."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _changed(part: zipfile.ZipInfo) -> datetime | None:
    try:
        changed = datetime(*part.date_time)  # noqa: DTZ001 - a wall clock
    except ValueError:
        return None
    return changed if changed >= FIRST_CLOCK else None
