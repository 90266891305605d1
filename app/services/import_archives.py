"""What an archive of memories brings: people, places, memories with their history, and what they hang together with.

Everything has an id in the account that it comes from. In another account it gets one that follows from that and the
new owner: the same thing twice is the same thing, and nobody's ids can be guessed into.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel

from app.events import utc_now
from app.models import Location, Memory, MemoryImport, Person
from app.repositories import UnitOfWork
from app.repositories.memories import Links
from app.schemas.imports import (
    ArchivedLinks,
    ArchivedMemory,
    ArchivedPerson,
    ArchivedPlace,
    ArchivedState,
    Described,
    StateLinks,
)
from app.services.import_records import Outcome, keep_changed
from app.services.people import folded

Item = TypeVar("Item", bound=BaseModel)


class LinkedMemory(BaseModel):
    """A memory once more, when all are there."""

    id: UUID
    links: ArchivedLinks


@dataclass(frozen=True, slots=True)
class Archived(Generic[Item]):
    """`is_namesake`: somebody or somewhere before it in the archive is called the same, and is not the same."""

    line: int
    key: str
    digest: str
    record: Item
    is_namesake: bool = False


@dataclass(frozen=True, slots=True)
class Ids:
    """What old ids are here: `own` are still what they were, of others it is known whom they mean."""

    owner_id: UUID
    own: frozenset[UUID]
    meant: Mapping[UUID, UUID]

    def __call__(self, old: UUID) -> UUID:
        if old in self.own:
            return old
        return self.meant.get(old) or derived_id(self.owner_id, old)


def derived_id(owner_id: UUID, old: UUID) -> UUID:
    """A UUIDv7 of the same time as `old`."""
    digest = int.from_bytes(hashlib.sha256(owner_id.bytes + old.bytes).digest()[:10])
    time = old.int >> 80 if old.version == 7 else 0
    return UUID(int=time << 80 | digest & ~(0xF000 << 64) & ~(0xC0 << 56) | 0x7000 << 64 | 0x80 << 56)


async def write_people(uow: UnitOfWork, started: MemoryImport, rows: Sequence[Archived[ArchivedPerson]]) -> Outcome:
    owner_id = started.owner_id
    there = await uow.imports.list_people(owner_id, _both(owner_id, (row.record.id for row in rows)))
    called = await uow.people.find_named(owner_id, [folded(row.record.name) for row in rows])
    new = []
    for row in rows:
        person, person_id = row.record, derived_id(owner_id, row.record.id)
        is_known = person.id in there or person_id in there
        if is_known or (not row.is_namesake and len(called.get(folded(person.name), ())) == 1):
            continue
        times = {"created_at": person.created_at, "updated_at": person.updated_at}
        new.append(Person(id=person_id, owner_id=owner_id, name=person.name, aliases=person.aliases, **times))
    if new:
        names = {person.id: [folded(name) for name in (person.name, *person.aliases)] for person in new}
        await uow.imports.add_people(new, names)
    return Outcome()


async def write_places(uow: UnitOfWork, started: MemoryImport, rows: Sequence[Archived[ArchivedPlace]]) -> Outcome:
    owner_id = started.owner_id
    there = await uow.imports.list_places(owner_id, _both(owner_id, (row.record.id for row in rows)))
    called = await uow.imports.find_places(owner_id, [row.record.name for row in rows])
    new = []
    for row in rows:
        place, place_id = row.record, derived_id(owner_id, row.record.id)
        is_known = place.id in there or place_id in there
        if is_known or (not row.is_namesake and called.get(place.name)):
            continue
        degrees = place.coordinates.model_dump() if place.coordinates else {}
        times = {"created_at": place.created_at, "updated_at": place.updated_at}
        new.append(Location(id=place_id, owner_id=owner_id, name=place.name, **degrees, **times))
    await uow.imports.add_places(new)
    return Outcome()


async def write_archived(uow: UnitOfWork, started: MemoryImport, rows: Sequence[Archived[ArchivedMemory]]) -> Outcome:
    """What is there under its own id stays as it is: it is no older than the archive.

    Raises:
        sqlalchemy.exc.IntegrityError: somebody or somewhere that a memory names was deleted at this moment.
    """
    owner_id, outcome = started.owner_id, Outcome()
    records = [row.record for row in rows]
    own = await uow.imports.list_own(owner_id, _both(owner_id, _named_memories(records)))
    origins = await uow.imports.list_origins(owner_id, [row.key for row in rows])
    people, places = await _people(uow, owner_id, records), await _places(uow, owner_id, records)
    ids = Ids(owner_id, frozenset(own), {})
    new, changed = [], dict[UUID, Archived[ArchivedMemory]]()
    for row in rows:
        origin = origins.get(row.key)
        if row.record.id in own or (origin and (origin.digest == row.digest or origin.is_deleted)):
            outcome.unchanged += 1
        elif origin is not None:
            changed[origin.memory_id] = row
        else:
            new.append(row)
    outcome.created = await _add(uow, started, new, ids, people, places)
    outcome.updated = await _change(uow, started, changed, people, places)
    return outcome


async def write_links(uow: UnitOfWork, started: MemoryImport, rows: Sequence[Archived[LinkedMemory]]) -> Outcome:
    """What leads to nothing that the owner may see here is left out."""
    owner_id = started.owner_id
    records = [row.record for row in rows]
    ids = _both(owner_id, (one for record in records for one in (record.id, *record.links.memory_ids)))
    own = await uow.imports.list_own(owner_id, ids)
    known = Ids(owner_id, frozenset(own), {})
    wanted = {
        known(record.id): Links(
            record.links.document_ids, record.links.message_ids, [known(one) for one in record.links.memory_ids]
        )
        for record in records
        if record.id not in own and known(record.id) in own
    }
    every = [one for links in wanted.values() for one in links.all]
    unseen = set(await uow.memories.list_unseen(owner_id, Links(every, every, every)) if every else ())
    await uow.imports.add_links(
        {
            memory_id: Links(
                [one for one in links.document_ids if one not in unseen],
                [one for one in links.message_ids if one not in unseen],
                [one for one in links.memory_ids if one not in unseen and one != memory_id],
            )
            for memory_id, links in wanted.items()
        }
    )
    return Outcome()


async def memory_of(uow: UnitOfWork, owner_id: UUID, old: UUID) -> UUID | None:
    """Which memory of the owner is meant by an id of an archive."""
    own = await uow.imports.list_own(owner_id, _both(owner_id, [old]))
    known = Ids(owner_id, frozenset(own), {})(old)
    return known if known in own else None


async def _people(uow: UnitOfWork, owner_id: UUID, records: Sequence[ArchivedMemory]) -> Ids:
    """Whom the memories name; who is known by name alone is added."""
    names = {one.id: one.name for record in records for one in record.people}
    earlier = {one for record in records for version in record.history for one in version.state.person_ids}
    there = await uow.imports.list_people(owner_id, _both(owner_id, {*names, *earlier}))
    lost = {old: name for old, name in names.items() if old not in there and derived_id(owner_id, old) not in there}
    called = await uow.people.find_named(owner_id, [folded(name) for name in lost.values()]) if lost else {}
    meant = {old: called[folded(name)][0].id for old, name in lost.items() if called.get(folded(name))}
    new = [
        Person(id=derived_id(owner_id, old), owner_id=owner_id, name=name, aliases=[])
        for old, name in lost.items()
        if old not in meant
    ]
    if new:
        await uow.imports.add_people(new, {person.id: [folded(person.name)] for person in new})
    return Ids(owner_id, frozenset(there), meant)


async def _places(uow: UnitOfWork, owner_id: UUID, records: Sequence[ArchivedMemory]) -> Ids:
    names = {record.location.id: record.location.name for record in records if record.location}
    earlier = {version.state.location_id for record in records for version in record.history} - {None}
    there = await uow.imports.list_places(owner_id, _both(owner_id, [*names, *(one for one in earlier if one)]))
    lost = {old: name for old, name in names.items() if old not in there and derived_id(owner_id, old) not in there}
    called = await uow.imports.find_places(owner_id, list(lost.values())) if lost else {}
    meant = {old: called[name][0].id for old, name in lost.items() if called.get(name)}
    new = [
        Location(id=derived_id(owner_id, old), owner_id=owner_id, name=name)
        for old, name in lost.items()
        if old not in meant
    ]
    await uow.imports.add_places(new)
    return Ids(owner_id, frozenset(there), meant)


async def _add(
    uow: UnitOfWork,
    started: MemoryImport,
    rows: Sequence[Archived[ArchivedMemory]],
    ids: Ids,
    people: Ids,
    places: Ids,
) -> int:
    if not rows:
        return 0
    memories, there, versions = [], {}, list[Mapping[str, Any]]()
    for row in rows:
        record = row.record
        memory = Memory(
            id=derived_id(started.owner_id, record.id),
            owner_id=started.owner_id,
            source=record.source.model_dump(mode="json"),
            revision=record.revision,
            created_at=record.created_at,
            updated_at=record.updated_at,
            deleted_at=record.deleted_at and min(record.deleted_at, utc_now()),
        )
        _tell(memory, record)
        memory.location_id = places(record.location.id) if record.location else None
        memories.append(memory)
        there[memory.id] = list(dict.fromkeys(people(one.id) for one in record.people))
        versions += _history(started.owner_id, memory.id, record, ids, people, places)
    await uow.imports.add_memories(memories, there)
    await uow.imports.add_versions(versions)
    await uow.imports.want_indexing([memory.id for memory in memories if memory.deleted_at is None])
    origins = {row.key: (memory.id, row.digest) for row, memory in zip(rows, memories, strict=True)}
    await uow.imports.keep_origins(started.owner_id, origins)
    return len(rows)


async def _change(
    uow: UnitOfWork,
    started: MemoryImport,
    rows: Mapping[UUID, Archived[ArchivedMemory]],
    people: Ids,
    places: Ids,
) -> int:
    there = await uow.imports.lock_own(started.owner_id, list(rows)) if rows else {}
    for memory_id, memory in there.items():
        record = rows[memory_id].record
        _tell(memory, record)
        memory.location_id = places(record.location.id) if record.location else None
        await uow.memories.set_people(memory_id, [people(one.id) for one in record.people])
    origins = {rows[memory_id].key: (memory_id, rows[memory_id].digest) for memory_id in there}
    await keep_changed(uow, started, list(there.values()), origins)
    return len(there)


def _tell(memory: Memory, said: Described) -> None:
    memory.title, memory.content, memory.precision = said.title, said.content, said.precision
    memory.occurred_at, memory.occurred_end = said.occurred_at, said.occurred_end
    memory.begins, memory.ends = said.begins, said.ends
    memory.tags = list(dict.fromkeys(said.tags))


def _history(
    owner_id: UUID, memory_id: UUID, record: ArchivedMemory, ids: Ids, people: Ids, places: Ids
) -> Sequence[Mapping[str, Any]]:
    """Versions up to what the memory is now, which is always one of them."""
    versions = {one.revision: (one.change, one.created_at, one.state) for one in record.history}
    now = record.model_dump(include=set(Described.model_fields))
    state = ArchivedState(
        **now,
        person_ids=[one.id for one in record.people],
        location_id=record.location.id if record.location else None,
        links=StateLinks(
            documents=record.links.document_ids,
            messages=record.links.message_ids,
            memories=record.links.memory_ids,
        ),
    )
    versions.setdefault(record.revision, ("updated", record.updated_at, state))
    return [
        {
            "memory_id": memory_id,
            "revision": revision,
            "changed_by": owner_id,
            "change": change,
            "state": _state(state, ids, people, places),
            "created_at": created_at,
        }
        for revision, (change, created_at, state) in versions.items()
        if revision <= record.revision
    ]


def _state(state: ArchivedState, ids: Ids, people: Ids, places: Ids) -> Mapping[str, Any]:
    """As it is kept here: see `memory_states.py`."""
    times = {name: getattr(state, name) for name in ("occurred_at", "occurred_end", "begins", "ends")}
    return {
        **{name: getattr(state, name) for name in ("title", "content", "precision")},
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "tags": state.tags,
        "person_ids": [str(people(one)) for one in state.person_ids],
        "location_id": str(places(state.location_id)) if state.location_id else None,
        "links": {
            "documents": [str(one) for one in state.links.documents],
            "messages": [str(one) for one in state.links.messages],
            "memories": [str(ids(one)) for one in state.links.memories],
        },
    }


def _named_memories(records: Sequence[ArchivedMemory]) -> Iterable[UUID]:
    for record in records:
        yield record.id
        for version in record.history:
            yield from version.state.links.memories


def _both(owner_id: UUID, old: Iterable[UUID]) -> list[UUID]:
    """The old ids, and what they would be here."""
    return [one for each in dict.fromkeys(old) for one in (each, derived_id(owner_id, each))]
