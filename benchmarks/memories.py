"""Memories over HTTP: one person with 50,000, one with 5,000, and 198 with 100 each. Timelines, searches, how long
writing takes, and how soon what was written is found.

python -m benchmarks.memories
"""

import asyncio
import itertools
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import numpy as np
from pgvector import SparseVector
from uuid_utils.compat import uuid7

from app.repositories.retrieval import TERM_IDS
from app.resources import Resources, open_resources
from app.services.indexing import Indexer
from app.services.lexicon import passage_terms
from benchmarks.hundred_thousand import database_url
from benchmarks.measuring import machine, percentiles, postgres_id, prepared_settings, processor_seconds, settle
from tests.processes import start_server

LARGE, MIDDLE, SMALL = int(os.environ.get("LARGE", "50000")), 5_000, 100
USERS: Final = int(os.environ.get("USERS", "200"))
EMBEDDED: Final = 3_000  # texts; the other vectors lie close to one of theirs
CALLS, WRITES, AWAITED = int(os.environ.get("CALLS", "60")), 100, 15
BROUGHT: Final = int(os.environ.get("BROUGHT", "5000"))  # memories in one file
PASSAGES: Final = 200  # of one document, to compare with
PASSWORD: Final = "only for this benchmark"
FIRST: Final = datetime(2006, 1, 1)  # noqa: DTZ001 - a wall clock
YEARS: Final = 20
NAMES: Final = ("Anna", "Ben", "Carla", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kim", "Lena")
PLACES: Final = ("Oslo", "Lisbon", "Kyoto", "Vienna", "Bergen", "Porto", "Quito", "Accra", "Perth", "Lima")
DOINGS: Final = ("cooked", "painted", "repaired", "bought", "sold", "found", "lost", "drew", "watched", "carried")
HOWS: Final = ("an old", "a red", "a tiny", "a broken", "a borrowed", "a golden", "a noisy", "a frozen", "a secret")
THINGS: Final = (
    "bicycle", "teapot", "violin", "boat", "lantern", "carpet", "bookshelf", "telescope", "garden chair", "map",
    "radio", "kite", "pumpkin", "typewriter", "sledge", "aquarium", "guitar", "suitcase", "clock", "umbrella",
)  # fmt: skip
WHENS: Final = ("before breakfast", "in the rain", "after work", "at midnight", "during a storm", "by the river")

INDEXES: Final = {
    "ix_memory_chunks_embedding_minilm": """
        CREATE INDEX ix_memory_chunks_embedding_minilm ON memory_chunks
        USING hnsw ((embedding::halfvec(384)) halfvec_ip_ops)
        WITH (m = 16, ef_construction = 64) WHERE embedding_model = 'all-MiniLM-L6-v2'
    """,
    "ix_memory_terms_term_ids": "CREATE INDEX ix_memory_terms_term_ids ON memory_terms USING gin (term_ids)",
}
COLUMNS: Final = {
    "memories": "id owner_id title content occurred_at precision begins ends tags location_id source revision",
    "memory_people": "memory_id person_id",
    "memory_chunks": "id memory_id shelf_id ordinal text char_start char_end embedding embedding_model",
    "memory_terms": "chunk_id memory_id shelf_id term_ids terms expansion expansion_model",
}
Rows = dict[str, list[list[str]]]
PROCESSES: list[int] = []  # whose work is counted: the server and PostgreSQL


@dataclass(frozen=True)
class Indexed:
    """What stands for the text of one memory in the index."""

    vector: np.ndarray
    expansion: str


def texts(draw: random.Random) -> Iterator[str]:
    """No two alike: they are numbered."""
    for number in itertools.count(1):
        doing, how, thing, when = (draw.choice(words) for words in (DOINGS, HOWS, THINGS, WHENS))
        yield f"We {doing} {how} {thing} {when}, number {number}."


async def embedded(resources: Resources) -> list[Indexed]:
    indexer = Indexer(resources.foundation.embedder, resources.foundation.sparse)
    chosen = list(itertools.islice(texts(random.Random(1)), EMBEDDED))
    made: list[Indexed] = []
    for start in range(0, len(chosen), 200):
        batch = chosen[start : start + 200]
        found = await indexer.index(batch, [None] * len(batch))
        made += [Indexed(np.array(one.embedding), one.expansion.to_text() if one.expansion else "\\N") for one in found]
    return made


async def fill(connection: asyncpg.Connection, owner: UUID, count: int, index: Sequence[Indexed]) -> None:
    draw = random.Random(count)
    people = [str(uuid7()) for _ in NAMES]
    places = [str(uuid7()) for _ in PLACES]
    for person, name in zip(people, NAMES, strict=True):
        await connection.execute("INSERT INTO people (id, owner_id, name) VALUES ($1, $2, $3)", person, owner, name)
        await connection.execute(
            "INSERT INTO person_names (person_id, owner_id, folded) VALUES ($1, $2, $3)", person, owner, name.lower()
        )
    for place, name in zip(places, PLACES, strict=True):
        at = draw.uniform(-60, 60), draw.uniform(-170, 170)
        await connection.execute(
            "INSERT INTO locations (id, owner_id, name, latitude, longitude) VALUES ($1, $2, $3, $4, $5)",
            place, owner, name, *at,
        )  # fmt: skip
    made = itertools.islice(texts(draw), count)
    while batch := list(itertools.islice(made, 2_000)):
        rows: Rows = {table: [] for table in COLUMNS}
        for text in batch:
            _add(rows, draw, str(owner), text, people, places, draw.choice(index))
        for table, names in COLUMNS.items():
            await _copy(connection, table, names.split(), rows[table])


def _add(
    rows: Rows, draw: random.Random, owner: str, text: str, people: list[str], places: list[str], near: Indexed
) -> None:
    memory_id, chunk_id = str(uuid7()), str(uuid7())
    begins = FIRST + timedelta(seconds=draw.randrange(YEARS * 365 * 86_400))
    times = [f"{begins}Z", "exact", str(begins), str(begins + timedelta(microseconds=1))]
    tags = "{" + draw.choice(("home", "travel", "work")) + "}"
    source = json.dumps({"kind": "import", "ids": {}})
    rows["memories"].append([memory_id, owner, text[:60], text, *times, tags, draw.choice(places), source, "1"])
    there = draw.sample(range(len(people)), draw.randrange(3))
    rows["memory_people"] += [[memory_id, people[one]] for one in there]
    vector = near.vector + np.array([draw.gauss(0, 0.02) for _ in range(len(near.vector))])
    vector /= np.linalg.norm(vector)
    terms = passage_terms(" ".join([text, *(NAMES[one] for one in there)]))
    words = SparseVector({key - 1: value for key, value in zip(terms.ids, terms.weights, strict=True)}, TERM_IDS)
    keys = [memory_id, owner]
    rows["memory_chunks"].append(
        [
            chunk_id,
            *keys,
            "0",
            text,
            "0",
            str(len(text)),
            str([round(x, 5) for x in vector.tolist()]),
            "all-MiniLM-L6-v2",
        ]
    )
    ids = "{" + ",".join(map(str, terms.ids)) + "}"
    rows["memory_terms"].append([chunk_id, *keys, ids, words.to_text(), near.expansion, "splade-tiny"])


async def _copy(connection: asyncpg.Connection, table: str, names: Sequence[str], rows: list[list[str]]) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for row in rows:
            yield ("\t".join(row) + "\n").encode()

    await connection.copy_to_table(table, source=lines(), columns=names, format="text")


async def fill_all(resources: Resources, large: UUID, middle: UUID) -> None:
    index = await embedded(resources)
    connection = await asyncpg.connect(database_url(resources.settings), timeout=60, command_timeout=1800)
    try:
        await connection.execute("DROP INDEX " + ", ".join(INDEXES))
        others = [uuid7() for _ in range(USERS - 2)]
        for user_id in others:
            await connection.execute(
                "INSERT INTO users (id, name, role, is_active) VALUES ($1, 'Somebody', 'user', true)", user_id
            )
        for user_id, count in ((large, LARGE), (middle, MIDDLE), *((one, SMALL) for one in others)):
            await fill(connection, user_id, count, index)
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in (*INDEXES.values(), "VACUUM ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()


async def sign_in(client: httpx.AsyncClient, name: str) -> tuple[UUID, dict[str, str]]:
    body = {"email": f"{name}@example.com", "password": PASSWORD, "name": name}
    user = (await client.post("/auth/register", json=body)).raise_for_status().json()
    form = {"username": body["email"], "password": PASSWORD}
    token = (await client.post("/auth/login", data=form)).raise_for_status().json()["access_token"]
    return UUID(user["id"]), {"Authorization": f"Bearer {token}"}


async def timed(name: str, call: Callable[[], Awaitable[httpx.Response]], times: int = CALLS) -> None:
    """What a client waits, and what the server and PostgreSQL compute, which others on the machine hardly change."""
    took = []
    computed = processor_seconds(*PROCESSES)
    for _ in range(times):
        started = time.perf_counter()
        (await call()).raise_for_status()
        took.append(time.perf_counter() - started)
    computed = (processor_seconds(*PROCESSES) - computed) / times * 1000
    print(f"{name}: p50 / p95 {percentiles(took)}, computed {computed:.1f} ms", flush=True)


async def read(client: httpx.AsyncClient, name: str, headers: dict[str, str]) -> None:
    draw = random.Random(3)
    people = (await client.get("/people", params={"limit": 100}, headers=headers)).json()["items"]
    places = (await client.get("/locations", params={"limit": 100}, headers=headers)).json()["items"]

    def get(path: str, **params: Any) -> Callable[[], Awaitable[httpx.Response]]:
        return lambda: client.get(
            path, params={key: one() if callable(one) else one for key, one in params.items()}, headers=headers
        )

    person, place = (lambda: draw.choice(people)["id"]), (lambda: draw.choice(places)["id"])
    day = lambda: f"2024-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}"  # noqa: E731 - short
    for bucket in ("day", "month", "year"):
        await timed(f"{name}: timeline by {bucket}", get("/memories/timeline", bucket=bucket))
    await timed(f"{name}: timeline by month, a person", get("/memories/timeline", person=person))
    await timed(f"{name}: timeline by month, a place", get("/memories/timeline", location=place))
    await timed(f"{name}: timeline by month, a word", get("/memories/timeline", q=lambda: draw.choice(THINGS)))
    await timed(f"{name}: timeline by year, a map box", get("/memories/timeline", bucket="year", box="-90,-45,90,45"))
    await timed(f"{name}: timeline by day, 2015", get("/memories/timeline", bucket="day", **{"from": 2015, "to": 2015}))
    await timed(f"{name}: on this day", get("/memories/on-this-day", date=day))
    await timed(f"{name}: list", get("/memories", to=day))

    def search(ask: Callable[[], str]) -> Callable[[], Awaitable[httpx.Response]]:
        return lambda: client.post("/search", json={"query": ask(), "sources": ["memories"]}, headers=headers)

    def what() -> str:
        return (
            f"who {draw.choice(DOINGS)} {draw.choice(HOWS)} {draw.choice(THINGS)} {draw.choice(WHENS)} {draw.random()}"
        )

    await timed(f"{name}: search", search(what))
    await timed(f"{name}: search with a name", search(lambda: f"{what()} with {draw.choice(NAMES)}"))
    await timed(f"{name}: search in a year", search(lambda: f"{what()} in {2006 + draw.randrange(YEARS)}"))


async def write(client: httpx.AsyncClient, resources: Resources, headers: dict[str, str]) -> None:
    numbers = itertools.count(1)

    def post() -> Awaitable[httpx.Response]:
        return client.post("/memories", json={"content": f"A fresh memory, number {next(numbers)}."}, headers=headers)

    await timed("write of one memory", post, WRITES)
    await indexed(resources)
    waited = []
    for number in range(AWAITED):
        word = f"marker{number}x{random.randrange(10**9)}"
        await client.post("/memories", json={"content": f"The word was {word}."}, headers=headers)
        started = time.perf_counter()
        body = {"query": word, "sources": ["memories"], "top_k": 1, "quality": "draft"}
        while word not in (await client.post("/search", json=body, headers=headers)).text:
            await asyncio.sleep(0.01)
        waited.append(time.perf_counter() - started)
    print(f"from the answer to the first search that finds it: p50 / p95 {percentiles(waited)}", flush=True)


async def ingest(client: httpx.AsyncClient, headers: dict[str, str]) -> float:
    """Passages a second of one document, from its upload until it is found."""
    sentences = itertools.islice(texts(random.Random(8)), PASSAGES * 12)
    started = time.perf_counter()
    sent = await client.post("/documents", json={"text": " ".join(sentences)}, headers=headers)
    path = f"/documents/{sent.raise_for_status().json()['document']['id']}"
    while (found := (await client.get(path, headers=headers)).json())["status"] != "ready":
        await asyncio.sleep(0.02)
    took = time.perf_counter() - started
    print(f"a document of {found['chunk_count']} passages: {took:.1f} s", flush=True)
    return float(found["chunk_count"]) / took


async def bring_in(
    client: httpx.AsyncClient, resources: Resources, headers: dict[str, str], other: dict[str, str]
) -> None:
    """A file of memories: until all are there, until all are found, the same again, and what others wait meanwhile."""
    passages = await ingest(client, other)
    records = [
        {"id": number, "content": text, "occurred_at": "2020-05-17", "people": [NAMES[number % 12]], "location": "Oslo"}
        for number, text in enumerate(itertools.islice(texts(random.Random(9)), BROUGHT))
    ]
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    started = time.perf_counter()
    is_done = asyncio.Event()
    writing = asyncio.create_task(_write_until(is_done, client, other))
    await _import(client, headers, content)
    there = time.perf_counter() - started
    is_done.set()
    waited = await writing
    await indexed(resources)
    found = time.perf_counter() - started
    again = time.perf_counter()
    await _import(client, headers, content)
    again = time.perf_counter() - again
    print(
        f"import of {BROUGHT:,}: {BROUGHT / there:,.0f} memories/s written, {BROUGHT / found:,.0f} memories/s found, "
        f"{BROUGHT / there / passages:.1f} and {BROUGHT / found / passages:.1f} to one of {passages:,.1f} passages/s; "
        f"the same again {BROUGHT / again:,.0f}/s; others write meanwhile, p50 / p95 {percentiles(waited)}",
        flush=True,
    )


async def _import(client: httpx.AsyncClient, headers: dict[str, str], content: bytes) -> None:
    sent = await client.post("/memories/imports", files={"file": ("memories.jsonl", content)}, headers=headers)
    path = f"/memories/imports/{sent.raise_for_status().json()['import']['id']}"
    while (found := (await client.get(path, headers=headers)).json())["status"] != "succeeded":
        assert found["status"] in ("queued", "running"), found
        await asyncio.sleep(0.02)
    assert found["failed"] == 0, found


async def _write_until(is_done: asyncio.Event, client: httpx.AsyncClient, headers: dict[str, str]) -> list[float]:
    took: list[float] = []
    while not is_done.is_set() or len(took) < 2:
        started = time.perf_counter()
        await client.post("/memories", json={"content": f"Meanwhile, number {len(took)}."}, headers=headers)
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    return took


async def indexed(resources: Resources) -> None:
    """Wait until everything is found that was written."""
    while True:
        async with resources.uow() as uow:
            if not await uow.recall.count_waiting():
                return
        await asyncio.sleep(0.05)


async def main() -> None:
    print(machine())
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=True, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=120) as client,
        open_resources(settings) as resources,
    ):
        PROCESSES[:] = [server.process.pid, postgres_id(settings)]
        large, large_headers = await sign_in(client, "large")
        middle, middle_headers = await sign_in(client, "middle")
        started = time.perf_counter()
        await fill_all(resources, large, middle)
        print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
        await settle()
        await read(client, f"{MIDDLE:,}", middle_headers)
        await read(client, f"{LARGE:,}", large_headers)
        await write(client, resources, large_headers)
        await bring_in(client, resources, large_headers, middle_headers)


if __name__ == "__main__":
    asyncio.run(main())
