"""From a file to batches that can be stored. Runs in threads: nothing here waits for anything but the disk."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from app.adapters.memory_files import Calendar, read_records
from app.adapters.memory_files.records import Kind, Position, Problem, Record
from app.schemas.imports import ArchivedMedia, ArchivedMemory, ArchivedPerson, ArchivedPlace, MemoryRecord
from app.services.import_archives import Archived, LinkedMemory
from app.services.import_records import Row
from app.services.people import folded

LARGEST_BATCH: Final = 2_000_000  # characters
LONGEST_MESSAGE: Final = 500
NOT_TOLD: Final = frozenset(("project_id", "history", "updated_at"))  # by the digest of a memory in an archive
MODELS: Final[Mapping[Kind, type[BaseModel]]] = {
    "memory": MemoryRecord,
    "archived": ArchivedMemory,
    "person": ArchivedPerson,
    "place": ArchivedPlace,
    "links": LinkedMemory,
    "media": ArchivedMedia,
}


@dataclass(slots=True)
class Batch:
    """Rows of one kind, and what was wrong between them; `records` of the file were read for it."""

    kind: Kind = "memory"
    rows: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    records: int = 0
    repeated: int = 0
    size: int = 0


class Reading:
    """A file, from the beginning; `skip` what was dealt with before."""

    def __init__(self, path: Path, kind: str, *, source: str, until: datetime, besides: Sequence[str]) -> None:
        self._position = Position()
        self._source = source
        self._seen: set[bytes] = set()
        self._left: list[Record | Problem] = []
        self._records: Iterator[Record | Problem] = read_records(path, kind, Calendar(until, besides), self._position)

    @property
    def fraction(self) -> float:
        return min(self._position.fraction, 1.0)

    def skip(self, records: int) -> None:
        """What came before still counts where something is said twice."""
        for _ in range(records):
            found = next(self._records, None)
            if isinstance(found, Record):
                self._is_repeated(found, _digest(found))

    def next_batch(self, most: int) -> Batch | None:
        """The next `most` records or fewer; None at the end. Raises ExtractionFailed."""
        batch = Batch()
        while batch.records < most and batch.size < LARGEST_BATCH:
            found = self._left.pop() if self._left else next(self._records, None)
            if found is None:
                break
            if isinstance(found, Record) and batch.rows and found.kind != batch.kind:
                self._left.append(found)
                break
            batch.records += 1
            self._add(batch, found)
        return batch if batch.records else None

    def _add(self, batch: Batch, found: Record | Problem) -> None:
        if isinstance(found, Problem):
            batch.problems.append(found)
            return
        text = _said(found)
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        batch.size += len(text)
        is_repeated = self._is_repeated(found, digest)
        if is_repeated and found.kind == "memory" and found.key is None:
            batch.repeated += 1
        elif is_repeated and found.kind in ("memory", "archived"):
            batch.problems.append(Problem(found.line, "Another record before it has the same id."))
        else:
            self._take(batch, found, digest, is_repeated=is_repeated)

    def _take(self, batch: Batch, found: Record, digest: str, *, is_repeated: bool) -> None:
        try:
            record = MODELS[found.kind].model_validate(found.fields)
        except ValidationError as error:
            if found.kind != "links":
                batch.problems.append(Problem(found.line, _reason(error)))
            return
        batch.kind = found.kind
        key = self._key(found, digest)
        if isinstance(record, MemoryRecord):
            if record.title is None and not record.content.strip():
                batch.problems.append(Problem(found.line, "It has neither a title nor a content."))
            else:
                batch.rows.append(Row(found.line, key, digest, record))
        else:
            batch.rows.append(Archived(found.line, key, digest, record, is_repeated))

    def _key(self, found: Record, digest: str) -> str:
        """What the record is called, in this file and in the next that comes from the same place."""
        if found.kind != "memory":
            called = f"archive\0{found.key}"
        elif found.key is not None:
            called = f"id\0{self._source}\0{found.key}"
        else:
            called = f"row\0{digest}"
        return hashlib.sha256(called.encode("utf-8", "replace")).hexdigest()

    def _is_repeated(self, found: Record, digest: str) -> bool:
        """Whether there was one before it that is called the same; sixteen bytes of each are remembered."""
        called = self._key(found, digest)
        if found.kind in ("person", "place"):
            called = f"{found.kind}\0{folded(str(found.fields.get('name', '')))}"
        key = hashlib.sha256(f"{found.kind}\0{called}".encode("utf-8", "replace")).digest()[:16]
        is_repeated = key in self._seen
        self._seen.add(key)
        return is_repeated


def _said(found: Record) -> str:
    fields = {name: value for name, value in found.fields.items() if found.kind != "archived" or name not in NOT_TOLD}
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)


def _digest(found: Record) -> str:
    return hashlib.sha256(_said(found).encode("utf-8", "replace")).hexdigest()


def _reason(error: ValidationError) -> str:
    """Of the first thing that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return (f"{where}: {message}" if where else message)[:LONGEST_MESSAGE]
