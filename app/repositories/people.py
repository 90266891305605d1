"""The people in somebody's memories, by whatever they are called."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import Row, Select, Uuid, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Memory, MemoryPerson, Person, PersonName

UNSYNCHRONIZED: Final = {"synchronize_session": False}
PersonRow: TypeAlias = Row[Person, int]
"""A person, and in how many memories they are."""


class PersonRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, person: Person, folded: Collection[str]) -> None:
        self._session.add(person)
        await self._session.flush()
        await self.set_names(person, folded)

    async def set_names(self, person: Person, folded: Collection[str]) -> None:
        """What the person is found by."""
        statement = delete(PersonName).where(PersonName.person_id == person.id)
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)
        rows = [{"person_id": person.id, "folded": one, "owner_id": person.owner_id} for one in sorted(set(folded))]
        await self._session.execute(insert(PersonName), rows)

    async def get_owned(self, owner_id: UUID, person_id: UUID) -> PersonRow | None:
        return (await self._session.execute(_counted(owner_id).where(Person.id == person_id))).one_or_none()

    async def lock_owned(self, owner_id: UUID, person_ids: Sequence[UUID]) -> Mapping[UUID, Person]:
        """In one order, so that two who merge the same two do not wait for each other."""
        query = select(Person).where(Person.owner_id == owner_id, Person.id.in_(person_ids))
        rows = await self._session.scalars(query.order_by(Person.id).with_for_update())
        return {person.id: person for person in rows}

    async def list_owned(
        self, owner_id: UUID, *, words: str | None, before: UUID | None, limit: int
    ) -> Sequence[PersonRow]:
        """The newest first; `words`, folded, stand in one of their names."""
        query = _counted(owner_id)
        if words:
            named = select(PersonName.person_id).where(
                PersonName.owner_id == owner_id, PersonName.folded.contains(words, autoescape=True)
            )
            query = query.where(Person.id.in_(named))
        if before is not None:
            query = query.where(Person.id < before)
        return (await self._session.execute(query.order_by(Person.id.desc()).limit(limit))).all()

    async def find_named(self, owner_id: UUID, folded: Collection[str]) -> Mapping[str, Sequence[Person]]:
        """Who is called so, by name."""
        query = select(PersonName.folded, Person).join(Person, Person.id == PersonName.person_id)
        query = query.where(PersonName.owner_id == owner_id, PersonName.folded.in_(folded)).order_by(Person.id)
        found: dict[str, list[Person]] = defaultdict(list)
        for name, person in await self._session.execute(query):
            found[name].append(person)
        return found

    async def list_foreign(self, owner_id: UUID, person_ids: Collection[UUID]) -> Sequence[UUID]:
        """Those ids that are nobody of the owner's."""
        query = select(Person.id).where(Person.owner_id == owner_id, Person.id.in_(person_ids))
        own = set(await self._session.scalars(query))
        return [one for one in person_ids if one not in own]

    async def move_memories(self, person_id: UUID, other_id: UUID) -> None:
        """Whatever `other_id` was in, `person_id` is in."""
        moved = select(MemoryPerson.memory_id, literal(person_id, Uuid())).where(MemoryPerson.person_id == other_id)
        in_order = moved.order_by(MemoryPerson.memory_id)  # memories are locked, by all in the order of their ids
        add = insert(MemoryPerson).from_select(["memory_id", "person_id"], in_order, include_defaults=False)
        await self._session.execute(add.on_conflict_do_nothing())

    async def delete(self, person_id: UUID) -> None:
        """Memories stay."""
        statement = delete(Person).where(Person.id == person_id)
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)

    async def rename(self, person: Person, name: str, aliases: Sequence[str]) -> None:
        values = {"name": name, "aliases": list(aliases), "updated_at": func.clock_timestamp()}
        change = update(Person).where(Person.id == person.id).values(values).returning(Person)
        await self._session.scalar(change, execution_options={"synchronize_session": False, "populate_existing": True})


def memories_with(person_id: UUID) -> Select[UUID]:
    return select(MemoryPerson.memory_id).where(MemoryPerson.person_id == person_id)


def _counted(owner_id: UUID) -> Select[Person, int]:
    having = (
        select(func.count())
        .select_from(MemoryPerson)
        .join(Memory, Memory.id == MemoryPerson.memory_id)
        .where(MemoryPerson.person_id == Person.id, Memory.deleted_at.is_(None))
        .scalar_subquery()
    )
    return select(Person, having.label("memory_count")).where(Person.owner_id == owner_id)
