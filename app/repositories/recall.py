"""The hybrid search over memories, and what it finds them by; its statements are in `ranking.py`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from pgvector import SparseVector
from sqlalchemy import ARRAY, Float, Integer, Uuid, bindparam, cast, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.models import (
    Location,
    Memory,
    MemoryChunk,
    MemoryIndexing,
    MemoryPerson,
    MemoryTermCount,
    MemoryTerms,
    Person,
)
from app.repositories.answers import Standing
from app.repositories.memory_filters import MemoryFilter, narrowing, resolved, shelves_of
from app.repositories.ranking import IN_FEW_MEMORIES, MEMORIES, ON_SHELVES, SCAN, WALK, hybrid
from app.repositories.retrieval import (
    ALL_PASSAGES,
    LARGEST_SCAN,
    LONGEST_WALK,
    POOL,
    WIDEST_WALK,
    Excerpt,
    Match,
    Probe,
    Ranking,
    legs_parameters,
)
from app.repositories.taking import taken

MOST_NAMED: Final = 100_000  # memories that a narrow search may be narrowed to
UNSYNCHRONIZED: Final = {"synchronize_session": False}

PLAN: Final = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
    " set_config('hnsw.ef_search', :ef_search, true), set_config('hnsw.max_scan_tuples', :longest_walk, true)"
)


STANDING: Final = text("""
SELECT number, substr(said, char_start + 1, char_end - char_start), md5(said)
FROM unnest(:memory_ids, :starts, :ends) WITH ORDINALITY AS wanted (id, char_start, char_end, number)
JOIN (
    SELECT id, CASE WHEN content ~ '[^[:space:]]' THEN content ELSE title END AS said FROM memories
    WHERE id = ANY (:memory_ids) AND deleted_at IS NULL
) AS there USING (id)
""").bindparams(
    bindparam("memory_ids", type_=ARRAY(Uuid())),
    bindparam("starts", type_=ARRAY(Integer())),
    bindparam("ends", type_=ARRAY(Integer())),
)


@dataclass(frozen=True, slots=True)
class MemoryScope:
    """Where to search: what `user_id` may see, on the shelves of some projects where these are given."""

    user_id: UUID
    filters: MemoryFilter | None = None
    project_ids: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class Findable:
    """Everything that one passage of a memory is found by."""

    text: str
    char_start: int
    char_end: int
    embedding: Sequence[float]
    term_ids: Sequence[int]
    terms: SparseVector
    expansion: SparseVector | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A memory whose passages are to be made, and the words that stand beside its text."""

    memory_id: UUID
    ticket: UUID
    title: str
    content: str
    around: Sequence[str]


class RecallRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def search(
        self, scope: MemoryScope, probe: Probe, *, limit: int, rarity: Callable[[int, int], float]
    ) -> Ranking:
        """The best passages of memories, best first. Sets planner options for the rest of the transaction.

        `passages` of the ranking are those that could be looked at.
        """
        await self._plan(probe)
        shelves = await self._shelves(scope)
        counts = await self._counts(shelves, [ALL_PASSAGES, *probe.term_ids, *probe.implied_ids])
        memory_ids = await self.list_narrowed(scope.user_id, scope.filters) if scope.filters else None
        passages = counts.get(ALL_PASSAGES, 0)
        if memory_ids is not None:
            passages = min(passages, len(memory_ids))
        if not passages or not shelves:
            return Ranking([], 0, counts)
        statement = hybrid(
            SCAN if passages <= LARGEST_SCAN else WALK,
            ON_SHELVES if memory_ids is None else IN_FEW_MEMORIES,
            probe.model,
            len(probe.vector),
            MEMORIES,
        )
        parameters = {
            **legs_parameters(probe, counts, limit, rarity),
            "user_id": scope.user_id,
            "shelf_ids": shelves,
            "memory_ids": memory_ids,
        }
        rows = await self._session.execute(statement, parameters)
        return Ranking([replace(Match(*row), source="memories") for row in rows], passages, counts)

    async def list_narrowed(self, user_id: UUID, filters: MemoryFilter) -> Sequence[UUID]:
        """The ids of the memories that a search is narrowed to."""
        filters = await resolved(self._session, user_id, filters)
        query = select(Memory.id).where(
            Memory.shelf_id.in_(shelves_of(user_id)), Memory.deleted_at.is_(None), *narrowing(user_id, filters)
        )
        return (await self._session.scalars(query.limit(MOST_NAMED))).all()

    async def read_standing(self, excerpts: Sequence[Excerpt]) -> Sequence[Standing | None]:
        """What stands there in memories now, in the order asked for; None where the memory is gone."""
        if not excerpts:
            return []
        rows = await self._session.execute(
            STANDING,
            {
                "memory_ids": [excerpt.document_id for excerpt in excerpts],
                "starts": [excerpt.char_start for excerpt in excerpts],
                "ends": [excerpt.char_end for excerpt in excerpts],
            },
        )
        found = {number: Standing(said, version, None) for number, said, version in rows}
        return [found.get(number) for number, _ in enumerate(excerpts, start=1)]

    async def likeness(
        self, owner_id: UUID, memory_ids: Collection[UUID], vector: Sequence[float], model: str
    ) -> Mapping[UUID, float]:
        """Cosine of `vector` and the nearest passage of each of the owner's memories."""
        near = cast(func.max(-MemoryChunk.embedding.max_inner_product(list(vector))), Float).label("near")
        query = (
            select(MemoryChunk.memory_id, near)
            .join(Memory, Memory.id == MemoryChunk.memory_id)
            .where(
                Memory.owner_id == owner_id, MemoryChunk.memory_id.in_(memory_ids), MemoryChunk.embedding_model == model
            )
            .group_by(MemoryChunk.memory_id)
        )
        rows = await self._session.execute(query)
        return {row.memory_id: row.near for row in rows}

    async def _shelves(self, scope: MemoryScope) -> list[UUID]:
        found = list(await self._session.scalars(shelves_of(scope.user_id)))
        return found if scope.project_ids is None else [one for one in found if one in set(scope.project_ids)]

    async def _counts(self, shelves: Sequence[UUID], term_ids: Sequence[int]) -> Mapping[int, int]:
        query = (
            select(MemoryTermCount.term_id, func.sum(MemoryTermCount.passages))
            .where(MemoryTermCount.shelf_id.in_(shelves), MemoryTermCount.term_id.in_(term_ids))
            .group_by(MemoryTermCount.term_id)
        )
        return {term_id: int(having) for term_id, having in await self._session.execute(query)}

    async def _plan(self, probe: Probe) -> None:
        width = str(min(POOL * probe.candidates, WIDEST_WALK))
        await self._session.execute(PLAN, {"ef_search": width, "longest_walk": str(LONGEST_WALK)})

    # --- making passages ---

    async def take_wanted(self, *, limit: int, pause: timedelta) -> Sequence[Wanted]:
        """Memories without the passages that they should have, for whoever takes them alone for a while.

        `pause` is how long nobody else takes them, longer after each attempt.
        """
        due = select(MemoryIndexing.memory_id).where(MemoryIndexing.run_after <= func.clock_timestamp())
        soonest = due.order_by(MemoryIndexing.priority, MemoryIndexing.run_after)
        seconds = pause.total_seconds() * (MemoryIndexing.attempts + 1)
        later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
        rows = await self._session.execute(
            update(MemoryIndexing)
            .where(MemoryIndexing.memory_id.in_(taken(soonest.limit(limit))))
            .values(run_after=later, attempts=func.least(MemoryIndexing.attempts + 1, 20))
            .returning(MemoryIndexing.memory_id, MemoryIndexing.ticket),
            execution_options=UNSYNCHRONIZED,
        )
        tickets: dict[UUID, UUID] = {row.memory_id: row.ticket for row in rows}
        return await self._wanted(tickets) if tickets else []

    async def _wanted(self, tickets: Mapping[UUID, UUID]) -> Sequence[Wanted]:
        people = (
            select(func.array_agg(Person.name + " " + func.array_to_string(Person.aliases, " ")))
            .join(MemoryPerson, MemoryPerson.person_id == Person.id)
            .where(MemoryPerson.memory_id == Memory.id)
            .scalar_subquery()
        )
        query = (
            select(Memory.id, Memory.title, Memory.content, Memory.tags, Location.name, people)
            .outerjoin(Location, Location.id == Memory.location_id)
            .where(Memory.id.in_(list(tickets)))
        )
        return [
            Wanted(memory_id, tickets[memory_id], title, content, [*(named or []), *tags, *([place] if place else [])])
            for memory_id, title, content, tags, place, named in await self._session.execute(query)
        ]

    async def put_passages(
        self, made: Mapping[UUID, Sequence[Findable]], tickets: Mapping[UUID, UUID], *, model: str, sparse: str | None
    ) -> None:
        """Replace the passages of memories that nobody changed or deleted meanwhile."""
        query = (
            select(Memory.id, Memory.shelf_id)
            .join(MemoryIndexing, MemoryIndexing.memory_id == Memory.id)
            .where(Memory.deleted_at.is_(None), _is_ticket(tickets))
            .order_by(Memory.id)
            .with_for_update(key_share=True, of=Memory)
        )
        shelves = {row.id: row.shelf_id for row in await self._session.execute(query)}
        await self._execute(delete(MemoryChunk).where(MemoryChunk.memory_id.in_(shelves)))
        chunks, terms = [], []
        for memory_id, shelf_id in shelves.items():
            for ordinal, one in enumerate(made[memory_id]):
                chunk = uuid7()
                keys = {"memory_id": memory_id, "shelf_id": shelf_id}
                chunks.append({**keys, "id": chunk, "ordinal": ordinal, "embedding_model": model} | _passage(one))
                terms.append({**keys, "chunk_id": chunk, "expansion_model": sparse} | _terms(one))
        if chunks:
            await self._session.execute(insert(MemoryChunk), chunks)
            await self._session.execute(insert(MemoryTerms).values(terms))
        await self._execute(delete(MemoryIndexing).where(_is_ticket(tickets)))

    async def count_waiting(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(MemoryIndexing)) or 0

    async def list_outdated(self, model: str, sparse: str | None, *, limit: int) -> Sequence[UUID]:
        """Memories with a passage that other models made, and that do not wait already."""
        waiting = select(MemoryIndexing.memory_id)
        query = (
            select(MemoryChunk.memory_id)
            .join(MemoryTerms, MemoryTerms.chunk_id == MemoryChunk.id)
            .where(_is_outdated(model, sparse), MemoryChunk.memory_id.not_in(waiting))
            .distinct()
            .limit(limit)
        )
        return (await self._session.scalars(query)).all()

    async def _execute(self, statement: Any) -> None:
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)


def _is_outdated(model: str, sparse: str | None) -> Any:
    other = MemoryChunk.embedding_model != model
    return other if sparse is None else or_(other, MemoryTerms.expansion_model.is_distinct_from(sparse))


def _is_ticket(tickets: Mapping[UUID, UUID]) -> Any:
    return MemoryIndexing.ticket.in_(list(set(tickets.values()))) & MemoryIndexing.memory_id.in_(list(tickets))


def _passage(one: Findable) -> dict[str, Any]:
    return {"text": one.text, "char_start": one.char_start, "char_end": one.char_end, "embedding": one.embedding}


def _terms(one: Findable) -> dict[str, Any]:
    return {"term_ids": list(one.term_ids), "terms": one.terms, "expansion": one.expansion}
