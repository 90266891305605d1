"""Memories: who sees them, lists by either clock, their history, and the bin."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.models import (
    Base,
    Document,
    Location,
    Member,
    Memory,
    MemoryChunk,
    MemoryIndexing,
    MemoryLink,
    MemoryPerson,
    MemoryVersion,
    Message,
    Person,
    Session,
)
from app.permissions import Principal
from app.repositories.media import MediaRepository, SeenMedia
from app.repositories.memory_filters import MemoryFilter, narrowing, resolved, shelves_of

KEPT_VERSIONS: Final = 100
SWEPT_AT_ONCE: Final = 500
IN_BULK: Final = 1  # priority of what thousands wait with
UNSYNCHRONIZED: Final = {"synchronize_session": False}

Order = Literal["occurred", "created"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: behind the memory with this id, which occurred then."""

    at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Links:
    document_ids: Sequence[UUID] = ()
    message_ids: Sequence[UUID] = ()
    memory_ids: Sequence[UUID] = ()

    @property
    def all(self) -> Sequence[UUID]:
        return [*self.document_ids, *self.message_ids, *self.memory_ids]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to a memory and is no column of it."""

    people: Sequence[Person] = ()
    location: Location | None = None
    links: Links = field(default_factory=Links)
    media: Sequence[SeenMedia] = ()


class MemoryRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, memory: Memory) -> None:
        self._session.add(memory)

    async def get_visible(self, actor: Principal, memory_id: UUID, *, deleted: bool = False) -> Memory | None:
        """One that the actor may see; of those in the bin only the actor's own, where these are asked for."""
        return (await self._session.scalars(_visible(actor, memory_id, deleted=deleted))).one_or_none()

    async def lock_visible(self, actor: Principal, memory_id: UUID, *, deleted: bool = False) -> Memory | None:
        """The same, to be changed by this transaction."""
        query = _visible(actor, memory_id, deleted=deleted).with_for_update(key_share=True)
        return (await self._session.scalars(query)).one_or_none()

    async def lock_owned(self, owner_id: UUID, memory_id: UUID) -> Memory | None:
        query = select(Memory).where(Memory.id == memory_id, Memory.owner_id == owner_id, Memory.deleted_at.is_(None))
        return (await self._session.scalars(query.with_for_update(key_share=True))).one_or_none()

    async def get_many_visible(self, user_id: UUID, memory_ids: Collection[UUID]) -> Mapping[UUID, Memory]:
        query = select(Memory).where(
            Memory.id.in_(memory_ids), Memory.deleted_at.is_(None), Memory.shelf_id.in_(shelves_of(user_id))
        )
        return {memory.id: memory for memory in await self._session.scalars(query)}

    async def list_visible(
        self, actor: Principal, filters: MemoryFilter, *, order: Order, after: Place | None, limit: int
    ) -> Sequence[Memory]:
        """The newest first by the clock that is asked for. Each shelf is read in its order, as far as it is needed."""
        filters = await resolved(self._session, actor.user_id, filters)
        if filters.is_deleted:
            return await self._list_deleted(actor, filters, after=after, limit=limit)
        columns = (Memory.occurred_at, Memory.id) if order == "occurred" else (Memory.id,)
        shelves = shelves_of(actor.user_id).subquery("shelves")
        of_shelf = select(Memory.id, Memory.occurred_at).where(
            Memory.shelf_id == shelves.c.id, Memory.deleted_at.is_(None), *narrowing(actor.user_id, filters)
        )
        if after is not None:
            bound = (after.at, after.id) if order == "occurred" else (after.id,)
            of_shelf = of_shelf.where(tuple_(*columns) < tuple_(*(literal(one) for one in bound)))
        newest = of_shelf.order_by(*(column.desc() for column in columns)).limit(limit).lateral("newest")
        found = select(newest.c.id).select_from(shelves.join(newest, literal(value=True)))
        chosen = found.order_by(*(newest.c[column.key].desc() for column in columns)).limit(limit)
        query = select(Memory).where(Memory.id.in_(chosen.scalar_subquery()))
        return (await self._session.scalars(query.order_by(*(column.desc() for column in columns)))).all()

    async def _list_deleted(
        self, actor: Principal, filters: MemoryFilter, *, after: Place | None, limit: int
    ) -> Sequence[Memory]:
        own = (Memory.owner_id == actor.user_id, Memory.deleted_at.is_not(None), *narrowing(actor.user_id, filters))
        query = select(Memory).where(*own).order_by(Memory.id.desc()).limit(limit)
        return (await self._session.scalars(query if after is None else query.where(Memory.id < after.id))).all()

    async def surroundings(self, user_id: UUID, memories: Sequence[Memory]) -> Mapping[UUID, Surroundings]:
        """Of each of `memories`; links lead to what `user_id` may see, who sees of media what is for them."""
        ids = [memory.id for memory in memories]
        people = await self._people_of(ids)
        links = await self._links_of(user_id, ids)
        media = await MediaRepository(self._session).seen_in(user_id, ids)
        wanted = {memory.location_id for memory in memories if memory.location_id is not None}
        places = {
            place.id: place
            for place in (
                (await self._session.scalars(select(Location).where(Location.id.in_(wanted)))).all() if wanted else ()
            )
        }
        return {
            memory.id: Surroundings(
                people.get(memory.id, ()),
                places.get(memory.location_id) if memory.location_id else None,
                links.get(memory.id, Links()),
                media.get(memory.id, ()),
            )
            for memory in memories
        }

    async def _people_of(self, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Person]]:
        query = select(MemoryPerson.memory_id, Person).join(Person, Person.id == MemoryPerson.person_id)
        found: dict[UUID, list[Person]] = defaultdict(list)
        for memory_id, person in await self._session.execute(
            query.where(MemoryPerson.memory_id.in_(ids)).order_by(Person.name, Person.id)
        ):
            found[memory_id].append(person)
        return found

    async def _links_of(self, user_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Links]:
        projects = select(Member.project_id).where(Member.user_id == user_id)
        seen_document = select(Document.id).where(
            Document.id == MemoryLink.document_id, Document.project_id.in_(projects)
        )
        seen_message = (
            select(Message.id)
            .join(Session, Session.id == Message.session_id)
            .where(Message.id == MemoryLink.message_id, Session.project_id.in_(projects))
        )
        seen_memory = select(Memory.id).where(
            Memory.id == MemoryLink.linked_id, Memory.deleted_at.is_(None), Memory.shelf_id.in_(shelves_of(user_id))
        )
        is_seen = or_(seen_document.exists(), seen_message.exists(), seen_memory.exists())
        query = select(MemoryLink).where(MemoryLink.memory_id.in_(ids), is_seen).order_by(MemoryLink.target_id)
        rows: dict[UUID, list[MemoryLink]] = defaultdict(list)
        for link in await self._session.scalars(query):
            rows[link.memory_id].append(link)
        return {
            memory_id: Links(
                [link.document_id for link in links if link.document_id],
                [link.message_id for link in links if link.message_id],
                [link.linked_id for link in links if link.linked_id],
            )
            for memory_id, links in rows.items()
        }

    async def set_people(self, memory_id: UUID, person_ids: Collection[UUID], *, is_new: bool = False) -> None:
        if not is_new:
            await self._execute(delete(MemoryPerson).where(MemoryPerson.memory_id == memory_id))
        if person_ids:
            rows = [{"memory_id": memory_id, "person_id": one} for one in dict.fromkeys(person_ids)]
            await self._session.execute(insert(MemoryPerson).on_conflict_do_nothing(), rows)

    async def add_people(self, memory_id: UUID, person_ids: Collection[UUID]) -> None:
        await self.set_people(memory_id, person_ids, is_new=True)

    async def set_links(self, memory_id: UUID, links: Links, *, is_new: bool = False) -> None:
        """Raises sqlalchemy.exc.IntegrityError: what is linked to is gone."""
        if not is_new:
            await self._execute(delete(MemoryLink).where(MemoryLink.memory_id == memory_id))
        columns = {"document_id": links.document_ids, "message_id": links.message_ids, "linked_id": links.memory_ids}
        rows = [
            {"memory_id": memory_id, "target_id": one, **dict.fromkeys(columns), column: one}
            for column, ids in columns.items()
            for one in dict.fromkeys(ids)
        ]
        if rows:
            await self._session.execute(insert(MemoryLink), rows)

    async def list_unseen(self, user_id: UUID, links: Links) -> Sequence[UUID]:
        """Those of the links that lead to nothing the user may see."""
        projects = select(Member.project_id).where(Member.user_id == user_id)
        rooms = select(Session.id).where(Session.project_id.in_(projects))
        seen = (
            select(Document.id)
            .where(Document.id.in_(links.document_ids), Document.project_id.in_(projects))
            .union_all(
                select(Message.id).where(Message.id.in_(links.message_ids), Message.session_id.in_(rooms)),
                select(Memory.id).where(
                    Memory.id.in_(links.memory_ids),
                    Memory.deleted_at.is_(None),
                    Memory.shelf_id.in_(shelves_of(user_id)),
                ),
            )
        )
        found = set(await self._session.scalars(seen))
        return [one for one in links.all if one not in found]

    async def list_seen_messages(self, user_id: UUID, message_ids: Collection[UUID]) -> Sequence[UUID]:
        """Those that the user may see."""
        links = Links(message_ids=list(message_ids))
        unseen = set(await self.list_unseen(user_id, links)) if message_ids else set()
        return [one for one in message_ids if one not in unseen]

    # --- what comes before and after ---

    async def keep_version(
        self,
        memory: Memory,
        change: str,
        state: Mapping[str, Any],
        *,
        changed_by: UUID | None,
        wants_indexing: bool = False,
    ) -> None:
        """Write down what the memory is now, and perhaps that its passages are to be made anew, in one statement; the
        oldest of many versions goes.
        """
        values = {
            "of_memory": memory.id,
            "of_revision": memory.revision,
            "of_change": change,
            "of_author": changed_by,
            "of_state": dict(state),
        }
        if wants_indexing:
            await self._session.execute(_keep_and_index, values | {"of_ticket": uuid7()})
        else:
            await self._session.execute(_keep_version, values)
        if memory.revision > KEPT_VERSIONS:
            too_old = MemoryVersion.revision <= memory.revision - KEPT_VERSIONS
            await self._execute(delete(MemoryVersion).where(MemoryVersion.memory_id == memory.id, too_old))

    async def list_versions(self, memory_id: UUID, *, before: int | None, limit: int) -> Sequence[MemoryVersion]:
        """The newest first."""
        query = select(MemoryVersion).where(MemoryVersion.memory_id == memory_id)
        query = query if before is None else query.where(MemoryVersion.revision < before)
        return (await self._session.scalars(query.order_by(MemoryVersion.revision.desc()).limit(limit))).all()

    async def get_version(self, memory_id: UUID, revision: int) -> MemoryVersion | None:
        return await self._session.get(MemoryVersion, (memory_id, revision))

    async def want_indexing(self, memory_ids: Select[Any] | Collection[UUID], *, priority: int = 0) -> None:
        """Have their passages made anew; told to workers by whoever calls this."""
        if isinstance(memory_ids, Select):
            chosen = memory_ids.subquery()
            add = insert(MemoryIndexing).from_select(
                ["memory_id", "ticket", "priority"],
                select(chosen.c[0], literal(uuid7()), literal(priority)),
                include_defaults=False,
            )
            await self._session.execute(_again(add))
        elif memory_ids:
            rows = [{"memory_id": one, "ticket": uuid7(), "priority": priority} for one in memory_ids]
            await self._session.execute(_want_indexing, rows)

    async def forget_passages(self, memory_id: UUID) -> None:
        """Nothing finds it from now on."""
        await self._execute(delete(MemoryIndexing).where(MemoryIndexing.memory_id == memory_id))
        await self._execute(delete(MemoryChunk).where(MemoryChunk.memory_id == memory_id))

    async def touch(self, memory_ids: Select[Any]) -> None:
        """They look different, though no column of theirs changed: somebody was renamed, for example."""
        await self._execute(update(Memory).where(Memory.id.in_(memory_ids)).values(updated_at=func.clock_timestamp()))
        there = select(Memory.id).where(Memory.id.in_(memory_ids), Memory.deleted_at.is_(None))
        await self.want_indexing(there, priority=IN_BULK)

    async def mark_changed(self, memory_id: UUID) -> UUID | None:
        """Lock it as one that looks different though it says the same; its owner, or None when it is gone."""
        change = update(Memory).where(Memory.id == memory_id).values(updated_at=func.clock_timestamp())
        return await self._session.scalar(change.returning(Memory.owner_id), execution_options=UNSYNCHRONIZED)

    async def lock_outdated(self, retention: timedelta) -> Sequence[UUID]:
        """Some of what has been in the bin for longer."""
        old = select(Memory.id).where(Memory.deleted_at < func.clock_timestamp() - retention)
        chosen = old.order_by(Memory.deleted_at).limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)
        return (await self._session.scalars(chosen)).all()

    async def lock_some_of(self, owner_id: UUID, *, limit: int) -> Sequence[UUID]:
        """Some of what somebody owns, whatever its state."""
        owned = select(Memory.id).where(Memory.owner_id == owner_id).order_by(Memory.id).limit(limit)
        return (await self._session.scalars(owned.with_for_update())).all()

    async def delete(self, memory_ids: Collection[UUID]) -> None:
        """Really, and at once."""
        await self._execute(delete(Memory).where(Memory.id.in_(memory_ids)))

    async def _execute(self, statement: Any) -> None:
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)


def _again(add: Insert) -> Insert:
    """What waits already waits anew."""
    columns = {"ticket": add.excluded.ticket, "priority": add.excluded.priority}
    values = {**columns, "attempts": 0, "run_after": func.clock_timestamp()}
    return add.on_conflict_do_update(index_elements=["memory_id"], set_=values)


# Built once, and of plain tables: every change of a memory runs these.
_keep_version = insert(Base.metadata.tables["memory_versions"]).values(
    memory_id=bindparam("of_memory"),
    revision=bindparam("of_revision"),
    change=bindparam("of_change"),
    changed_by=bindparam("of_author"),
    state=bindparam("of_state"),
)
_want_indexing = _again(insert(Base.metadata.tables["memory_indexings"]))
_now = {"memory_id": bindparam("of_memory"), "ticket": bindparam("of_ticket"), "attempts": 0, "priority": 0}
_keep_and_index = _again(insert(Base.metadata.tables["memory_indexings"]).values(_now)).add_cte(
    _keep_version.cte("kept")
)


def _visible(actor: Principal, memory_id: UUID, *, deleted: bool) -> Select[Memory]:
    there: ColumnElement[bool] = and_(Memory.deleted_at.is_(None), Memory.shelf_id.in_(shelves_of(actor.user_id)))
    if deleted:
        there = or_(there, Memory.owner_id == actor.user_id)
    return select(Memory).where(Memory.id == memory_id, there)
