"""Memories of a file, a few hundred in one transaction: the new are added, the changed are changed, others stay."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.memory_files.records import Problem
from app.errors import InvalidInput
from app.events import utc_now
from app.models import Location, Memory, MemoryImport, Person, Precision
from app.repositories import UnitOfWork
from app.repositories.imports import Origin
from app.repositories.memories import IN_BULK, Surroundings
from app.schemas.imports import MemoryRecord, PlaceRecord
from app.schemas.moments import Moment
from app.services.memory_changes import set_span
from app.services.memory_states import state_of
from app.services.memory_views import title_of
from app.services.moments import Span, span_of
from app.services.people import folded


@dataclass(frozen=True, slots=True)
class Row:
    """A record that can be stored; `key` is what it is called everywhere and always, `digest` what it says."""

    line: int
    key: str
    digest: str
    record: MemoryRecord


@dataclass(slots=True)
class Outcome:
    """What became of some records."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Around:
    """Who and what the records of a batch name."""

    people: Mapping[str, Person]
    places: Mapping[str, Location]

    def people_of(self, record: MemoryRecord) -> list[Person]:
        return list({person.id: person for name in record.people if (person := self.people[folded(name)])}.values())

    def place_of(self, record: MemoryRecord) -> Location | None:
        return self.places[record.location.name.lower()] if record.location else None


async def write_records(uow: UnitOfWork, started: MemoryImport, rows: Sequence[Row], clock: tzinfo) -> Outcome:
    """
    Raises:
        sqlalchemy.exc.IntegrityError: somebody or somewhere that a memory names was deleted at this moment.
    """
    outcome = Outcome()
    origins = await uow.imports.list_origins(started.owner_id, [row.key for row in rows])
    spans: dict[str, Span] = {}
    for row in rows:
        try:
            spans[row.key] = _span(row.record, started.created_at, clock)
        except InvalidInput as error:
            outcome.problems.append(Problem(row.line, error.message))
    wanted = [row for row in rows if row.key in spans and _is_news(row, origins)]
    outcome.unchanged += len(spans) - len(wanted)
    ambiguous, around = await _around(uow, started.owner_id, [row.record for row in wanted])
    clear = []
    for row in wanted:
        if names := [name for name in row.record.people if folded(name) in ambiguous]:
            outcome.problems.append(
                Problem(row.line, f"Several people are called {names[0]}: rename one of them first.")
            )
        else:
            clear.append(row)
    outcome.created = await _add(uow, started, [row for row in clear if row.key not in origins], spans, around)
    outcome.updated = await _change(
        uow, started, {origins[row.key].memory_id: row for row in clear if row.key in origins}, spans, around
    )
    return outcome


def _is_news(row: Row, origins: Mapping[str, Origin]) -> bool:
    """What lies in the bin stays there."""
    origin = origins.get(row.key)
    return origin is None or (origin.digest != row.digest and not origin.is_deleted)


def _span(record: MemoryRecord, written_at: datetime, clock: tzinfo) -> Span:
    """When it was; without a word about that, when it was written down. Raises InvalidInput."""
    start = record.occurred_at
    if start is None:
        known = (record.created_at or written_at).astimezone(clock).replace(tzinfo=None)
        start = Moment(known, None, Precision.EXACT)
    return span_of(start, record.occurred_end, record.precision, clock)


async def _around(uow: UnitOfWork, owner_id: UUID, records: Sequence[MemoryRecord]) -> tuple[Collection[str], Around]:
    """Names that several people have, and everybody and everything else; who and what is new is added."""
    names = {folded(name): name for record in records for name in record.people}
    called = await uow.people.find_named(owner_id, list(names)) if names else {}
    ambiguous = {key for key, found in called.items() if len(found) > 1}
    people = {key: found[0] for key, found in called.items() if found}
    new = [
        Person(id=uuid7(), owner_id=owner_id, name=name, aliases=[]) for key, name in names.items() if key not in people
    ]
    if new:
        await uow.imports.add_people(new, {person.id: [folded(person.name)] for person in new})
        people |= {folded(person.name): person for person in new}
    places = await find_or_add_places(uow, owner_id, [one.location for one in records if one.location])
    return ambiguous, Around(people, places)


async def find_or_add_places(uow: UnitOfWork, owner_id: UUID, given: Sequence[PlaceRecord]) -> Mapping[str, Location]:
    """By name in small letters. Where a place is that nobody knew is known from now on."""
    wanted = {place.name.lower(): place for place in sorted(given, key=lambda one: one.coordinates is not None)}
    known = await uow.imports.find_places(owner_id, list(wanted)) if wanted else {}
    places = {name: found[0] for name, found in known.items()}
    new = [
        Location(id=uuid7(), owner_id=owner_id, name=place.name) for name, place in wanted.items() if name not in places
    ]
    places |= {place.name.lower(): place for place in new}
    for name, place in wanted.items():
        found = places[name]
        if place.coordinates is not None and found.latitude is None:
            found.latitude, found.longitude = place.coordinates.latitude, place.coordinates.longitude
    await uow.imports.add_places(new)
    return places


async def _add(
    uow: UnitOfWork, started: MemoryImport, rows: Sequence[Row], spans: Mapping[str, Span], around: Around
) -> int:
    if not rows:
        return 0
    now = utc_now()
    made: list[tuple[Row, Memory, Surroundings]] = []
    for row in rows:
        surroundings = Surroundings(around.people_of(row.record), around.place_of(row.record))
        made.append((row, _memory(started, row, spans[row.key], surroundings, now), surroundings))
    await uow.imports.add_memories(
        [memory for _, memory, _ in made], {memory.id: [one.id for one in near.people] for _, memory, near in made}
    )
    await uow.imports.add_versions(
        [version_row(memory, "created", near, changed_by=started.owner_id) for _, memory, near in made]
    )
    await uow.imports.want_indexing([memory.id for _, memory, _ in made])
    await uow.imports.keep_origins(started.owner_id, {row.key: (memory.id, row.digest) for row, memory, _ in made})
    return len(made)


def _memory(started: MemoryImport, row: Row, span: Span, around: Surroundings, now: datetime) -> Memory:
    record = row.record
    written_at = record.created_at or now
    memory = Memory(
        id=id_of(written_at),
        owner_id=started.owner_id,
        title=record.title or title_of(record.content),
        content=record.content,
        tags=list(dict.fromkeys(record.tags)),
        location_id=around.location.id if around.location else None,
        source={"kind": "import", "ids": {"import_id": str(started.id)}},
        revision=1,
        created_at=written_at,
        updated_at=now,
    )
    set_span(memory, span)
    return memory


def version_row(memory: Memory, change: str, around: Surroundings, *, changed_by: UUID) -> Mapping[str, object]:
    """What a memory that is new is, for its history."""
    state = state_of(memory, around)
    keys = {"memory_id": memory.id, "revision": memory.revision, "changed_by": changed_by}
    return {**keys, "change": change, "state": state, "created_at": memory.updated_at}


def id_of(written_at: datetime) -> UUID:
    """Ids are in the order in which things were written down."""
    milliseconds = max(int(written_at.timestamp() * 1000), 0)
    return UUID(int=milliseconds << 80 | uuid7().int & (1 << 80) - 1)


async def _change(
    uow: UnitOfWork, started: MemoryImport, rows: Mapping[UUID, Row], spans: Mapping[str, Span], around: Around
) -> int:
    """What a record does not speak of stays; what was changed here since is in the history."""
    there = await uow.imports.lock_own(started.owner_id, list(rows)) if rows else {}
    for memory_id, memory in there.items():
        row = rows[memory_id]
        _tell(memory, row.record, spans[row.key], around)
        if "people" in row.record.model_fields_set:
            await uow.memories.set_people(memory_id, [one.id for one in around.people_of(row.record)])
    origins = {rows[memory_id].key: (memory_id, rows[memory_id].digest) for memory_id in there}
    await keep_changed(uow, started, list(there.values()), origins)
    return len(there)


async def keep_changed(
    uow: UnitOfWork, started: MemoryImport, memories: Sequence[Memory], origins: Mapping[str, tuple[UUID, str]]
) -> None:
    """Number what changed, keep it in the history, and have it indexed."""
    if not memories:
        return
    for memory in memories:
        memory.revision += 1
    await uow.flush()
    near = await uow.memories.surroundings(started.owner_id, memories)
    for memory in memories:
        state = state_of(memory, near[memory.id])
        await uow.memories.keep_version(memory, "updated", state, changed_by=started.owner_id)
    await uow.memories.want_indexing([memory.id for memory in memories], priority=IN_BULK)
    await uow.imports.keep_origins(started.owner_id, origins)


def _tell(memory: Memory, record: MemoryRecord, span: Span, around: Around) -> None:
    given = record.model_fields_set
    was_derived = memory.title == title_of(memory.content)
    if "content" in given:
        memory.content = record.content
    if record.title is not None:
        memory.title = record.title
    elif was_derived:
        memory.title = title_of(memory.content)
    if "tags" in given:
        memory.tags = list(dict.fromkeys(record.tags))
    if record.location is not None:
        memory.location_id = around.places[record.location.name.lower()].id
    if record.occurred_at is not None:
        set_span(memory, span)
