"""Memories that come in by the hundred: the files, what of them is there already, and rows in bulk."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.models import (
    UNFINISHED,
    Base,
    Location,
    Memory,
    MemoryImport,
    MemoryLink,
    MemoryOrigin,
    Person,
    PersonName,
)
from app.permissions import Principal
from app.repositories.memories import IN_BULK, Links
from app.repositories.pages import newest_first

UNSYNCHRONIZED: Final = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Origin:
    """A memory that came in before, and what its file said of it then."""

    memory_id: UUID
    digest: str
    is_deleted: bool


class ImportRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, started: MemoryImport) -> None:
        self._session.add(started)

    async def get_owned(self, actor: Principal, import_id: UUID) -> MemoryImport | None:
        query = select(MemoryImport).where(MemoryImport.id == import_id, MemoryImport.owner_id == actor.user_id)
        return (await self._session.scalars(query)).one_or_none()

    async def list_owned(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[MemoryImport]:
        """The newest first."""
        query = select(MemoryImport).where(MemoryImport.owner_id == actor.user_id)
        return await newest_first(self._session, query, MemoryImport, before=before, limit=limit)

    async def lock(self, import_id: UUID) -> MemoryImport | None:
        """For the task that does the work."""
        query = select(MemoryImport).where(MemoryImport.id == import_id).with_for_update(key_share=True)
        return (await self._session.scalars(query)).one_or_none()

    async def end(self, import_id: UUID, *, status: str, error: Mapping[str, Any] | None) -> None:
        """The file is needed no more; nothing happens to an import that has ended."""
        change = update(MemoryImport).where(MemoryImport.id == import_id, MemoryImport.status.in_(UNFINISHED))
        values = {"status": status, "error": error, "sha256": None, "finished_at": func.clock_timestamp()}
        await self._session.execute(change.values(values), execution_options=UNSYNCHRONIZED)

    # --- what is there already ---

    async def list_origins(self, owner_id: UUID, keys: Collection[str]) -> Mapping[str, Origin]:
        query = (
            select(MemoryOrigin.key, MemoryOrigin.memory_id, MemoryOrigin.digest, Memory.deleted_at.is_not(None))
            .join(Memory, Memory.id == MemoryOrigin.memory_id)
            .where(MemoryOrigin.owner_id == owner_id, MemoryOrigin.key.in_(keys), Memory.owner_id == owner_id)
        )
        rows = await self._session.execute(query)
        return {key: Origin(memory_id, digest, deleted) for key, memory_id, digest, deleted in rows}

    async def list_own(self, owner_id: UUID, memory_ids: Collection[UUID]) -> set[UUID]:
        """Those that are the owner's memories, whether in the bin or not."""
        query = select(Memory.id).where(Memory.owner_id == owner_id, Memory.id.in_(memory_ids))
        return set(await self._session.scalars(query))

    async def lock_own(self, owner_id: UUID, memory_ids: Collection[UUID]) -> Mapping[UUID, Memory]:
        """To be changed by this transaction."""
        query = select(Memory).where(
            Memory.owner_id == owner_id, Memory.id.in_(memory_ids), Memory.deleted_at.is_(None)
        )
        rows = await self._session.scalars(query.order_by(Memory.id).with_for_update(key_share=True))
        return {memory.id: memory for memory in rows}

    async def list_people(self, owner_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Person]:
        query = select(Person).where(Person.owner_id == owner_id, Person.id.in_(ids))
        return {person.id: person for person in await self._session.scalars(query)}

    async def list_places(self, owner_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Location]:
        query = select(Location).where(Location.owner_id == owner_id, Location.id.in_(ids))
        return {place.id: place for place in await self._session.scalars(query)}

    async def find_places(self, owner_id: UUID, names: Collection[str]) -> Mapping[str, Sequence[Location]]:
        """Those that are called so, whatever the case of their letters, by the name asked for; the oldest first."""
        wanted = func.unnest(cast(list(names), ARRAY(Text))).column_valued("wanted")
        query = select(wanted, Location).join(Location, func.lower(Location.name) == func.lower(wanted))
        found: dict[str, list[Location]] = defaultdict(list)
        for name, place in await self._session.execute(
            query.where(Location.owner_id == owner_id).order_by(Location.id)
        ):
            found[name].append(place)
        return found

    # --- rows in bulk ---

    async def add_people(self, people: Sequence[Person], folded: Mapping[UUID, Collection[str]]) -> None:
        """With what they are found by."""
        self._session.add_all(people)
        await self._session.flush()
        rows = [
            {"person_id": person.id, "folded": name, "owner_id": person.owner_id}
            for person in people
            for name in sorted(set(folded[person.id]))
        ]
        await self._session.execute(insert(PersonName), rows)

    async def add_places(self, places: Sequence[Location]) -> None:
        self._session.add_all(places)
        await self._session.flush()

    async def add_memories(self, memories: Sequence[Memory], people: Mapping[UUID, Sequence[UUID]]) -> None:
        """With the `people` who are in each."""
        names = ("id", "owner_id", "title", "content", "occurred_at", "occurred_end", "precision", "begins", "ends")
        more = ("tags", "location_id", "source", "revision", "created_at", "updated_at", "deleted_at")
        rows = [{name: getattr(memory, name) for name in (*names, *more)} for memory in memories]
        await self._session.execute(_add_memory, rows)
        there = [{"memory_id": memory_id, "person_id": one} for memory_id, ids in people.items() for one in ids]
        if there:
            await self._session.execute(_add_person, there)

    async def add_versions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """`rows` of memory_versions."""
        await self._session.execute(_add_version, list(rows))

    async def add_links(self, links: Mapping[UUID, Links]) -> None:
        """What is there already is left as it is. Raises sqlalchemy.exc.IntegrityError: what is linked to is gone."""
        rows = [
            {"memory_id": memory_id, "target_id": one, "document_id": None, "message_id": None, "linked_id": None}
            | {column: one}
            for memory_id, found in links.items()
            for column, ids in (
                ("document_id", found.document_ids),
                ("message_id", found.message_ids),
                ("linked_id", found.memory_ids),
            )
            for one in dict.fromkeys(ids)
        ]
        if rows:
            await self._session.execute(insert(MemoryLink).on_conflict_do_nothing(), rows)

    async def want_indexing(self, memory_ids: Collection[UUID]) -> None:
        """Of memories that are new: behind everything that somebody writes now."""
        rows = [{"memory_id": one, "ticket": uuid7(), "priority": IN_BULK} for one in memory_ids]
        if rows:
            await self._session.execute(_add_indexing, rows)

    async def keep_origins(self, owner_id: UUID, origins: Mapping[str, tuple[UUID, str]]) -> None:
        """Memory and digest by key."""
        rows = [
            {"owner_id": owner_id, "key": key, "memory_id": memory_id, "digest": digest}
            for key, (memory_id, digest) in origins.items()
        ]
        if rows:
            await self._session.execute(_keep_origin, rows)


_add_memory = insert(Base.metadata.tables["memories"])
_add_person = insert(Base.metadata.tables["memory_people"])
_add_version = insert(Base.metadata.tables["memory_versions"])
_add_indexing = insert(Base.metadata.tables["memory_indexings"])
_origins = insert(Base.metadata.tables["memory_origins"])
_keep_origin = _origins.on_conflict_do_update(
    index_elements=["owner_id", "key"],
    set_={"memory_id": _origins.excluded.memory_id, "digest": _origins.excluded.digest},
)
