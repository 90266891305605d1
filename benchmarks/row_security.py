"""PostgreSQL's row-level security as a second wall: the repositories with it and without, in turn on the same rows.

python -m benchmarks.row_security

Without: the owner of the tables asks, whom policies do not bind. With: a role that they bind, which tells the actor in
the message that begins the transaction ("in BEGIN": no further round trip), or in a statement of its own.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it comes without types
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.permissions import Principal
from app.realtime.presence import Presence
from app.repositories import UnitOfWork
from app.repositories.documents import DocumentFilter
from app.repositories.engine import Sessions
from app.repositories.ranking import IN_PROJECTS
from app.repositories.retrieval import TERM_IDS, Probe, Scope
from app.resources import Resources, open_resources
from app.services import Services, build_services
from app.services.lexicon import rarity
from app.settings import Settings
from benchmarks.measuring import machine, prepared_settings, settle

WARMING, ROUNDS, RESAMPLES = 20, 300, 1000
LONGEST = 20.0  # seconds for the rounds of one operation
CANDIDATES, TOP_K, PAGE = 100, 10, 51
WORDS = (811, 1040, 1302, 1577, 1903)  # ids of terms: the numbers of the words that passages are made of
NOTHING: Sequence[int] = ()  # the text leg has nothing to look for
MODEL, DIMENSIONS = "all-MiniLM-L6-v2", 384
PASSWORD = "only for this benchmark"

# 200 people with a project each and 100 shared ones; 20,000 documents with 2 or 3 passages: 8,000 in the shared project
# 201 ("the archive"), 2,000 in 202, some 34 in every other. Number 2 is a member of 201, number 1 of 202 to 205.
FILL = f"""
SELECT setseed(0.5);
CREATE TEMP TABLE numbered AS SELECT n, uuidv7() AS id FROM generate_series(1, 300) AS n;
INSERT INTO users (id, email, name, role, is_active)
    SELECT id, n || '@example.com', 'User ' || n, 'user', true FROM numbered WHERE n <= 200;
INSERT INTO projects (id, owner_id, name, is_default)
    SELECT project.id, owner.id, 'Project ' || project.n, project.n <= 200
    FROM numbered AS project JOIN numbered AS owner
        ON owner.n = CASE WHEN project.n > 200 THEN project.n - 190 ELSE project.n END;
INSERT INTO members (project_id, user_id, role) SELECT id, owner_id, 'owner' FROM projects;
INSERT INTO members (project_id, user_id, role)
    SELECT project.id, one.id, 'editor' FROM numbered AS project JOIN numbered AS one ON one.n <= 200
    WHERE project.n > 200 AND (
        one.n > 2 AND (one.n * 7 + project.n) % 25 = 0
        OR one.n = 1 AND project.n BETWEEN 202 AND 205
        OR one.n = 2 AND project.n IN (201, 210, 211)
    )
    ON CONFLICT DO NOTHING;
CREATE TEMP TABLE papers AS
    SELECT n, uuidv7() AS id, CASE WHEN n % 10 < 4 THEN 201 WHEN n % 10 = 4 THEN 202 ELSE n % 300 + 1 END AS project
    FROM generate_series(1, 20000) AS n;
INSERT INTO documents (id, project_id, owner_id, title, media_type, size, sha256, status, chunk_count)
    SELECT papers.id, projects.id, owner_id, 'Paper ' || papers.n, 'text/plain', 1000, lpad(papers.n::text, 64, '0'),
        'ready', 2 + papers.n % 2
    FROM papers JOIN numbered ON numbered.n = project JOIN projects ON projects.id = numbered.id;
INSERT INTO document_texts (document_id, text, pages, headings)
    SELECT id, repeat('Some text of paper ' || n || '. ', 100), '[]', '[]' FROM papers;
CREATE TEMP TABLE topics AS
    SELECT n, (SELECT array_agg(random_normal()) FROM generate_series(1, {DIMENSIONS} + 0 * n))::vector AS centre
    FROM generate_series(0, 99) AS n;
INSERT INTO chunks (id, document_id, project_id, ordinal, text, char_start, char_end, token_count, embedding_model,
        embedding)
    SELECT uuidv7(), papers.id, numbered.id, ordinal,
        (SELECT string_agg('word' || floor(2000 * random() ^ 2), ' ') FROM generate_series(1, 60 + 0 * papers.n)),
        0, 400, 90, '{MODEL}',
        l2_normalize(centre + (
            SELECT array_agg(0.8 * random_normal()) FROM generate_series(1, {DIMENSIONS} + 0 * papers.n * ordinal)
        )::vector)::halfvec
    FROM papers JOIN numbered ON numbered.n = project CROSS JOIN generate_series(0, 1 + papers.n % 2) AS ordinal
        JOIN topics ON topics.n = (papers.n * 3 + ordinal) % 100;
INSERT INTO chunk_terms (chunk_id, document_id, project_id, term_ids, terms)
    SELECT id, document_id, project_id, array_agg(term ORDER BY term),
        ('{{' || string_agg(term || ':1', ',' ORDER BY term) || '}}/{TERM_IDS}')::sparsevec
    FROM (
        SELECT DISTINCT id, document_id, project_id, 1 + substr(word, 5)::int AS term
        FROM chunks, unnest(string_to_array(text, ' ')) AS word
    ) AS spoken
    GROUP BY id, document_id, project_id;
CREATE TEMP TABLE rooms AS SELECT n, uuidv7() AS id, numbered.id AS project_id FROM numbered;
INSERT INTO sessions (id, project_id, owner_id, name, max_users, spirit_mode)
    SELECT rooms.id, project_id, owner_id, 'Room', 1000, 'off' FROM rooms JOIN projects ON projects.id = project_id;
INSERT INTO channels (id, last_seq) SELECT id, 100 FROM rooms;
INSERT INTO messages (id, session_id, seq, user_name, text, is_spirit)
    SELECT uuidv7(), id, seq, 'Somebody', repeat('What was said. ', 8), false
    FROM rooms CROSS JOIN generate_series(1, 100) AS seq;
INSERT INTO tasks (id, project_id, owner_id, task_type, quality, params, status, progress, message, attempts)
    SELECT uuidv7(), projects.id, owner_id, 'ingest_document', 'standard', '{{}}', 'succeeded', 1, '', 1
    FROM projects CROSS JOIN generate_series(1, 20);
"""

# What the policies ask is found once per statement; the functions see all rows, being their owner's. `BEGIN ATOMIC`
# binds every name when they are made, so nobody's search_path matters, and setting one would take time at each call.
# Of seven forms this one costs least: `coalesce` keeps the condition a filter that the planner takes for half of the
# rows. Without it the planner expects next to none, leaves the vector index, and the dense leg takes 30 times as long.
POLICIES = f"""
CREATE ROLE bound LOGIN PASSWORD '{PASSWORD}';
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bound;
CREATE FUNCTION visible_projects() RETURNS uuid[] STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT ARRAY(SELECT project_id FROM members WHERE user_id = current_setting('hearth.actor')::uuid);
END;
CREATE FUNCTION visible_rooms() RETURNS uuid[] STABLE SECURITY DEFINER BEGIN ATOMIC
    SELECT ARRAY(
        SELECT sessions.id FROM members JOIN sessions USING (project_id)
        WHERE user_id = current_setting('hearth.actor')::uuid
        UNION SELECT session_id FROM participants WHERE user_id = current_setting('hearth.actor')::uuid
    );
END;
CREATE POLICY visible ON projects USING (coalesce(id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON members USING (coalesce(project_id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON documents USING (coalesce(project_id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON chunks USING (coalesce(project_id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON chunk_terms USING (coalesce(project_id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON tasks USING (coalesce(project_id = ANY ((SELECT visible_projects())::uuid[]), false));
CREATE POLICY visible ON document_texts USING (EXISTS (SELECT FROM documents WHERE id = document_id));
CREATE POLICY visible ON sessions USING (coalesce(id = ANY ((SELECT visible_rooms())::uuid[]), false));
CREATE POLICY visible ON messages USING (coalesce(session_id = ANY ((SELECT visible_rooms())::uuid[]), false));
"""
BOUND = ("projects", "members", "documents", "chunks", "chunk_terms", "tasks", "document_texts", "sessions", "messages")

# Conditions of a query wait behind the policy unless their operator promises to leak nothing, and && does not: then the
# index of words lies idle. A superuser can make it promise; managed databases have none to ask.
LEAKPROOF = "ALTER FUNCTION arrayoverlap(anyarray, anyarray) LEAKPROOF"

FULL_TEXT_ALONE = text(
    "SELECT chunk_id, -(terms <#> CAST(CAST(:terms AS text) AS sparsevec)) AS raw FROM chunk_terms "
    f"WHERE term_ids && CAST(:rare_ids AS int[]) AND {IN_PROJECTS} ORDER BY 2 DESC, 1 LIMIT :candidates"
)
ASKED = {"rare_ids": list(WORDS), "terms": "{" + ",".join(f"{one}:1" for one in WORDS) + f"}}/{TERM_IDS}"}
CUSTOM_PLANS = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")  # as the search does
TELL = text("SELECT set_config('hearth.actor', :actor, true)")

acting: ContextVar[UUID] = ContextVar("acting")
told: ContextVar[UUID | None] = ContextVar("told", default=None)


class Connection(asyncpg.Connection):  # type: ignore[misc]  # the base has no types
    """Says who acts in the message that begins a transaction."""

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        actor = told.get()
        if actor is not None and query == "BEGIN;":
            query = f"BEGIN; SET LOCAL hearth.actor = '{actor}'"
        status: str = await super().execute(query, *args, **options)
        return status


class TellingUnitOfWork(UnitOfWork):
    """Says who acts in a statement of its own."""

    async def __aenter__(self) -> "TellingUnitOfWork":
        await super().__aenter__()
        await self._session.execute(TELL, {"actor": str(acting.get())})
        return self


@dataclass(frozen=True)
class Variant:
    """One way to ask. `is_told`: the actor is told in BEGIN."""

    uow: Callable[[], UnitOfWork]
    services: Services
    is_told: bool = False


@dataclass(frozen=True)
class World:
    """Two members, something they may see, and vectors like those that are stored."""

    reader: Principal
    archivist: Principal
    documents: Sequence[UUID]
    room: UUID
    vectors: Sequence[Sequence[float]]


Operation = Callable[[Variant, World], Awaitable[Any]]


async def get_document(variant: Variant, world: World) -> None:
    await variant.services.documents.get(world.reader, random.choice(world.documents))


async def list_documents(variant: Variant, world: World) -> None:
    rows = await variant.services.documents.list(world.reader, DocumentFilter(), before=None, limit=PAGE)
    assert len(rows) == PAGE


async def read_text(variant: Variant, world: World) -> None:
    await variant.services.documents.text(world.reader, random.choice(world.documents))


async def list_messages(variant: Variant, world: World) -> None:
    listed = variant.services.chat.list(
        world.reader, world.room, after_seq=None, before_seq=None, cursor=None, limit=PAGE
    )
    assert len(await listed) == PAGE


async def post_message(variant: Variant, world: World) -> None:
    await variant.services.chat.post(world.reader, world.room, "The kettle is on, come over when you like.")


async def list_tasks(variant: Variant, world: World) -> None:
    listed = variant.services.tasks.list(
        world.reader, project_id=None, status=None, task_type=None, before=None, limit=PAGE
    )
    assert len(await listed) == PAGE


async def search(variant: Variant, world: World, *, who: str, words: Sequence[int]) -> None:
    actor: Principal = getattr(world, who)
    probe = Probe(random.choice(world.vectors), MODEL, CANDIDATES, term_ids=words)
    async with variant.uow() as uow:
        ranking = await uow.retrieval.search(Scope(actor.user_id), probe, limit=TOP_K, rarity=rarity)
        assert len(ranking.matches) == TOP_K


async def search_words(variant: Variant, world: World, *, who: str) -> None:
    """The text leg alone, as the search asks it."""
    actor: Principal = getattr(world, who)
    async with variant.uow() as uow:
        session = uow._session
        await session.execute(CUSTOM_PLANS)
        projects = await uow.projects.list_visible(actor, before=None, limit=PAGE)
        parameters = {"user_id": actor.user_id, "project_ids": [project.id for project in projects]}
        found = await session.execute(FULL_TEXT_ALONE, {**parameters, **ASKED, "candidates": CANDIDATES})
        assert found.all()


OPERATIONS: Mapping[str, Operation] = {
    "one document": get_document,
    "50 documents": list_documents,
    "text of a document": read_text,
    "50 messages of a room": list_messages,
    "post a message": post_message,
    "50 tasks": list_tasks,
    "dense leg, exact": partial(search, who="reader", words=NOTHING),
    "dense leg, HNSW": partial(search, who="archivist", words=NOTHING),
}
WITH_WORDS: Mapping[str, Operation] = {
    "text leg, few passages": partial(search_words, who="reader"),
    "text leg, many": partial(search_words, who="archivist"),
    "both legs, few passages": partial(search, who="reader", words=WORDS),
    "both legs, many": partial(search, who="archivist", words=WORDS),
}


async def fill(url: str) -> World:
    """Rows, policies, and what the operations need to know of them."""
    database = await asyncpg.connect(url)
    index = await database.fetchval("SELECT pg_get_indexdef('ix_chunks_embedding_minilm'::regclass)")
    await database.execute("SET maintenance_work_mem = '1GB'; DROP INDEX ix_chunks_embedding_minilm")
    await database.execute(FILL)
    await database.execute(index)
    await database.execute(POLICIES)
    for table in BOUND:
        await database.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    await database.execute("VACUUM ANALYZE")
    reader, archivist = [
        Principal(await database.fetchval("SELECT id FROM users WHERE email = $1", f"{number}@example.com"), "Somebody")
        for number in (1, 2)
    ]
    visible = "project_id IN (SELECT project_id FROM members WHERE user_id = $1)"
    documents = await database.fetch(f"SELECT id FROM documents WHERE {visible} LIMIT 500", reader.user_id)
    room = await database.fetchval(f"SELECT id FROM sessions WHERE {visible} LIMIT 1", reader.user_id)
    vectors = await database.fetch("SELECT embedding::real[] AS vector FROM chunks ORDER BY random() LIMIT 100")
    await database.close()
    return World(reader, archivist, [row["id"] for row in documents], room, [row["vector"] for row in vectors])


@asynccontextmanager
async def open_variants(settings: Settings, resources: Resources) -> AsyncIterator[Mapping[str, Variant]]:
    owner_url = make_url(settings.database.url.get_secret_value())
    bound_url = owner_url.set(username="bound", password=PASSWORD)
    redis = resources.foundation.redis
    presence = Presence(redis, resources.hub.publish, settings.realtime, prefix=settings.redis.prefix)
    async with AsyncExitStack() as stack:

        def variant(url: Any, kind: type[UnitOfWork] = UnitOfWork, *, is_told: bool = False) -> Variant:
            engine = create_async_engine(url, pool_size=1, connect_args={"async_creator_fn": connect})
            stack.push_async_callback(engine.dispose)
            sessions = Sessions.over(engine)
            uow = partial(kind, sessions, resources.hub.publish)
            return Variant(uow, build_services(resources.foundation, uow, resources.hub, presence), is_told)

        yield {
            "without": variant(owner_url),
            "without, again": variant(owner_url),
            "actor told, no policies": variant(owner_url, is_told=True),
            "policies, in BEGIN": variant(bound_url, is_told=True),
            "policies, a statement": variant(bound_url, TellingUnitOfWork),
        }


async def connect(*args: Any, **options: Any) -> Any:
    return await asyncpg.connect(*args, **options, connection_class=Connection)


async def time_once(operation: Operation, variant: Variant, world: World, actor: UUID) -> float:
    acting.set(actor)
    told.set(actor if variant.is_told else None)
    started = time.perf_counter()
    await operation(variant, world)
    return time.perf_counter() - started


def median_ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Of the second to the first, with the bounds that hold 95 % of bootstrap samples."""
    ratios = [second / first for first, second in pairs]
    resampled = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return statistics.median(ratios), resampled[RESAMPLES // 40], resampled[-RESAMPLES // 40]


async def measure(name: str, operation: Operation, variants: Mapping[str, Variant], world: World) -> dict[str, float]:
    """Ratios to the first variant, each round in another order."""
    actor = world.archivist if getattr(operation, "keywords", {}).get("who") == "archivist" else world.reader
    took: dict[str, list[float]] = {each: [] for each in variants}
    until = time.perf_counter() + LONGEST
    for number in range(-WARMING, ROUNDS):
        for each in random.sample(list(variants), len(variants)):
            seconds = await time_once(operation, variants[each], world, actor.user_id)
            if number >= 0:
                took[each].append(seconds)
        if number >= WARMING and time.perf_counter() > until:
            break
    reference, *others = took
    print(f"{name:<26} {statistics.median(took[reference]) * 1000:7.2f} ms", end="")
    ratios = {}
    for each in others:
        ratios[each], low, high = median_ratio(list(zip(took[reference], took[each], strict=True)))
        print(f"   {ratios[each]:5.3f} ({low:.3f} to {high:.3f})", end="")
    print(flush=True)
    return ratios


def print_means(title: str, measured: Sequence[Mapping[str, float]]) -> None:
    for each in measured[0]:
        mean = statistics.geometric_mean(ratios[each] for ratios in measured)
        print(f"geometric mean, {title}, {each}: {mean:.3f}")


async def main() -> None:
    print(machine())
    async with prepared_settings() as settings:
        url = settings.database.url.get_secret_value().replace("+asyncpg", "")
        world = await fill(url)
        async with open_resources(settings) as resources, open_variants(settings, resources) as variants:
            await settle()
            print("what, and how long it takes without:", "; ".join(list(variants)[1:]))
            plain = [await measure(*operation, variants, world) for operation in OPERATIONS.items()]
            with_words = [await measure(*operation, variants, world) for operation in WITH_WORDS.items()]
            print("the same where @@ is leakproof:")
            database = await asyncpg.connect(url)
            await database.execute(LEAKPROOF)
            await database.close()
        async with open_resources(settings) as resources, open_variants(settings, resources) as variants:
            promised = [await measure(*operation, variants, world) for operation in WITH_WORDS.items()]
    print_means("as it is", plain + with_words)
    print_means("@@ leakproof", plain + promised)


if __name__ == "__main__":
    asyncio.run(main())
