"""Archives of memories, as the export makes them: a manifest, and JSON Lines of people, places and memories."""

import contextlib
import json
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from app.adapters.memory_files.json_lines import parse_object
from app.adapters.memory_files.packed import BROKEN, open_packed, read_part
from app.adapters.memory_files.records import Kind, Position, Problem, Record
from app.errors import ExtractionFailed

FORMAT: Final = "hearth-memories"
VERSION: Final = 1  # raised whenever an older reader would lose something of what a newer one writes
MANIFEST, PEOPLE, LOCATIONS, MEMORIES = "manifest.json", "people.jsonl", "locations.jsonl", "memories.jsonl"
MEDIA, MEDIA_FOLDER = "media.jsonl", "media/"

LONGEST_LINE: Final = 33_554_432  # bytes: a memory with a hundred versions
MOST_UNPACKED: Final = 8_589_934_592  # bytes of the lines of one archive
MOST_MANIFEST: Final = 1_048_576
MOST_EXPANSION: Final = 200
MOST_EXPANSION_OF_FILES: Final = 100  # of all that are no lines, together: most are packed already
HARMLESS_BYTES: Final = 67_108_864  # up to here any expansion is allowed


def read_archive(path: Path, position: Position) -> Iterator[Record | Problem]:
    """People and places first, then memories, what these hang together with, and their files; each by its old id.

    No file is unpacked: parts are looked up by the names that are known, so other names lead nowhere.

    Raises:
        ExtractionFailed: CORRUPT, ENCRYPTED, TOO_LARGE, or NO_ARCHIVE (something else than such an archive);
            NEWER_VERSION, this server is older than the archive.
    """
    with open_packed(path) as archive:
        _check(archive, path.stat().st_size)
        folder = _folder(archive)
        parts: tuple[tuple[str, Kind], ...] = (
            (PEOPLE, "person"),
            (LOCATIONS, "place"),
            (MEMORIES, "archived"),
            (MEMORIES, "links"),
            (MEDIA, "media"),
        )
        for number, (name, kind) in enumerate(parts):
            for line, content, fraction in _lines(archive, folder + name):
                position.fraction = (number + fraction) / len(parts)
                found = _record(kind, line, content)
                if found is not None:
                    yield found


@contextlib.contextmanager
def open_files(path: Path) -> Iterator["ArchivedFiles"]:
    """Raises ExtractionFailed as `read_archive` does."""
    with open_packed(path) as archive:
        yield ArchivedFiles(archive, _folder(archive) + MEDIA_FOLDER)


class ArchivedFiles:
    """The files of the memories in an archive."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive = archive
        self._folder = folder

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """Its bytes. Raises ExtractionFailed: CORRUPT."""
        part = self._archive.NameToInfo.get(self._folder + sha256)
        if part is None:
            raise ExtractionFailed("CORRUPT", "The file is not in the archive.")
        return read_part(self._archive, part)


def _record(kind: Kind, line: int, content: bytes) -> Record | Problem | None:
    if kind == "links" and b'"memory_ids":[]' in content:
        return None
    if not content:
        return Problem(line, f"The line is longer than {LONGEST_LINE:,} bytes.")
    fields = parse_object(content)
    if isinstance(fields, str):
        return None if kind == "links" else Problem(line, fields)
    return Record(line, fields, str(fields.get("id", ""))[:100], kind)


def _check(archive: zipfile.ZipFile, size: int) -> None:
    """Raises ExtractionFailed: TOO_LARGE."""
    lines = files = 0
    for part in archive.infolist():
        is_lines = part.filename.endswith(".jsonl")
        lines, files = lines + part.file_size * is_lines, files + part.file_size * (not is_lines)
        is_bomb = part.file_size > max(HARMLESS_BYTES, part.compress_size * MOST_EXPANSION)
        if is_bomb or lines > MOST_UNPACKED or files > max(HARMLESS_BYTES, size * MOST_EXPANSION_OF_FILES):
            raise ExtractionFailed("TOO_LARGE", f"Unpacked, {part.filename[:100]!r} is larger than is allowed.")


def _folder(archive: zipfile.ZipFile) -> str:
    """Where in the archive the memories are: in that of a whole account they have a folder of their own."""
    folder = next((one for one in ("", "memories/") if one + MANIFEST in archive.NameToInfo), None)
    manifest: Mapping[str, Any] = {}
    if folder is not None:
        found = parse_object(_beginning(archive, folder + MANIFEST))
        manifest = {} if isinstance(found, str) else found
    version = manifest.get("version")
    if folder is None or manifest.get("format") != FORMAT or type(version) is not int or version < 1:
        raise ExtractionFailed("NO_ARCHIVE", f"In the archive is no {MANIFEST} of memories.")
    if version > VERSION:
        raise ExtractionFailed(
            "NEWER_VERSION",
            f"The archive is of version {version}; this server reads versions up to {VERSION}. Update it first.",
            version=version,
            newest=VERSION,
        )
    return folder


def _lines(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[int, bytes, float]]:
    """Number, content (empty where it is too long) and how far that is; blank lines are passed over."""
    if name not in archive.NameToInfo:
        return
    part = archive.getinfo(name)
    try:
        with archive.open(part) as file:
            yield from _numbered(file, max(part.file_size, 1))
    except BROKEN as error:
        raise _damaged() from error


def _beginning(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            return file.read(MOST_MANIFEST)
    except BROKEN as error:
        raise _damaged() from error


def _damaged() -> ExtractionFailed:
    return ExtractionFailed("CORRUPT", "The archive is damaged or incomplete. Export it again.")


def _numbered(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes, float]]:
    read = number = 0
    is_within = False
    while line := file.readline(LONGEST_LINE):
        read += len(line)
        is_cut = not line.endswith(b"\n") and len(line) == LONGEST_LINE
        number += not is_within
        if is_cut and not is_within:
            yield number, b"", read / size
        elif not is_cut and not is_within and line.strip():
            yield number, line, read / size
        is_within = is_cut


def manifest(**more: Any) -> bytes:
    """Of an archive that is written now."""
    return json.dumps({"format": FORMAT, "version": VERSION, **more}, indent=2).encode() + b"\n"
