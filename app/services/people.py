"""The people in somebody's memories: what they are called, and two who turn out to be one."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.errors import Conflict, InvalidInput, NotFound
from app.models import Person
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.people import PersonRow, memories_with
from app.schemas.memories import MOST_ALIASES, PersonById, PersonByName, PersonCreate, PersonGiven, PersonUpdate
from app.services.versions import Versions, require_version

LONGEST_FOLDED = 200


@dataclass(frozen=True, slots=True)
class PersonView:
    """Somebody, and in how many memories they are."""

    id: UUID
    name: str
    aliases: Sequence[str]
    memory_count: int
    created_at: datetime
    updated_at: datetime
    version: str

    @classmethod
    def of(cls, row: PersonRow) -> "PersonView":
        person, count = row
        version = f"{person.version}-{count}"
        return cls(person.id, person.name, person.aliases, count, person.created_at, person.updated_at, version)


def folded(name: str) -> str:
    """The name as names compare: without case, accents and superfluous spaces."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    return " ".join(plain.casefold().split())[:LONGEST_FOLDED]


class PersonService:
    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def create(self, actor: Principal, data: PersonCreate) -> PersonView:
        async with self._uow() as uow:
            person = Person(owner_id=actor.user_id, name=data.name, aliases=_aliases(data.name, data.aliases))
            await uow.people.add(person, _names(person))
            return await _view(uow, actor, person.id)

    async def get(self, actor: Principal, person_id: UUID) -> PersonView:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await _view(uow, actor, person_id)

    async def list(
        self, actor: Principal, *, words: str | None, before: UUID | None, limit: int
    ) -> Sequence[PersonView]:
        """The actor's own, the newest first."""
        async with self._uow(is_reading=True) as uow:
            rows = await uow.people.list_owned(
                actor.user_id, words=folded(words) if words else None, before=before, limit=limit
            )
            return [PersonView.of(row) for row in rows]

    async def update(
        self, actor: Principal, person_id: UUID, changes: PersonUpdate, *, expected: Versions | None
    ) -> PersonView:
        """Raises NotFound, PreconditionFailed."""
        async with self._uow() as uow:
            person = await _locked(uow, actor, person_id)
            require_version(person, _of_row(expected))
            name = changes.name or person.name
            await _rename(uow, person, name, person.aliases if changes.aliases is None else changes.aliases)
            return await _view(uow, actor, person_id)

    async def merge(self, actor: Principal, person_id: UUID, other_id: UUID) -> PersonView:
        """Two who are one: `other_id` goes, with its names as aliases; both were where either was.

        Raises:
            NotFound: one of them is nobody of the actor's.
            Conflict: they are the same already.
        """
        async with self._uow() as uow:
            there = await uow.people.lock_owned(actor.user_id, [person_id, other_id])
            person, other = _there(there, person_id), _there(there, other_id)
            if person is other:
                raise Conflict("Nobody can be merged with themselves.", person_id=str(person_id))
            await uow.memories.touch(memories_with(other.id))
            await uow.people.move_memories(person.id, other.id)
            await uow.people.delete(other.id)
            await _rename(uow, person, person.name, [*person.aliases, other.name, *other.aliases])
            return await _view(uow, actor, person_id)

    async def delete(self, actor: Principal, person_id: UUID, *, expected: Versions | None) -> None:
        """The memories stay, without them. Raises NotFound, PreconditionFailed."""
        async with self._uow() as uow:
            person = await _locked(uow, actor, person_id)
            require_version(person, _of_row(expected))
            await uow.memories.touch(memories_with(person_id))
            await uow.people.delete(person_id)


async def find_or_add(uow: UnitOfWork, owner_id: UUID, given: Sequence[PersonGiven]) -> Sequence[UUID]:
    """The ids of those who are meant; whoever's name is new becomes somebody.

    Raises:
        NotFound: an id is nobody of the owner's.
        InvalidInput: several are called so.
    """
    ids = [one.person_id for one in given if isinstance(one, PersonById)]
    names = {folded(one.name): one.name for one in given if isinstance(one, PersonByName)}
    foreign = await uow.people.list_foreign(owner_id, ids) if ids else []
    if foreign:
        raise NotFound("Person not found", person_id=str(foreign[0]))
    known = await uow.people.find_named(owner_id, list(names)) if names else {}
    for key, name in names.items():
        called = known.get(key, [])
        if len(called) > 1:
            raise InvalidInput(f"Several people are called {name}: give a person_id.", field="people")
        ids.append(called[0].id if called else await _new(uow, owner_id, name))
    return list(dict.fromkeys(ids))


async def _new(uow: UnitOfWork, owner_id: UUID, name: str) -> UUID:
    person = Person(owner_id=owner_id, name=name, aliases=[])
    await uow.people.add(person, _names(person))
    return person.id


async def _rename(uow: UnitOfWork, person: Person, name: str, aliases: Sequence[str]) -> None:
    """Whatever shows the person, or is found by their names, is made anew."""
    await uow.people.rename(person, name, _aliases(name, aliases))
    await uow.people.set_names(person, _names(person))
    await uow.memories.touch(memories_with(person.id))


def _aliases(name: str, aliases: Sequence[str]) -> list[str]:
    """Each once, and none that is the name."""
    kept = {folded(alias): alias for alias in reversed(aliases)}
    kept.pop(folded(name), None)
    return list(reversed(kept.values()))[:MOST_ALIASES]


def _names(person: Person) -> list[str]:
    return [folded(name) for name in (person.name, *person.aliases)]


def _of_row(expected: Versions | None) -> Versions | None:
    """What was counted is no part of what was changed."""
    return None if expected is None else frozenset(version.split("-")[0] for version in expected)


async def _view(uow: UnitOfWork, actor: Principal, person_id: UUID) -> PersonView:
    row = await uow.people.get_owned(actor.user_id, person_id)
    if row is None:
        raise NotFound("Person not found", person_id=str(person_id))
    return PersonView.of(row)


async def _locked(uow: UnitOfWork, actor: Principal, person_id: UUID) -> Person:
    return _there(await uow.people.lock_owned(actor.user_id, [person_id]), person_id)


def _there(people: Mapping[UUID, Person], person_id: UUID) -> Person:
    if person_id not in people:
        raise NotFound("Person not found", person_id=str(person_id))
    return people[person_id]
