"""`POST /search` over 100,000 passages of 50 projects: its time against the same questions embedded and searched with
the bare libraries, and what is found against a comparison with every passage.

python -m benchmarks.search
"""

import asyncio
import itertools
import os
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx

from app.permissions import Principal
from app.repositories import retrieval
from app.repositories.ranking import SCAN, SEARCH, WALK, written
from app.repositories.retrieval import Probe, Reach, Scope, parameters_of
from app.resources import Resources, open_resources
from app.schemas.search import SearchFields, SearchFilters
from app.services.lexicon import question_terms, rarity
from app.services.retrieval import QUESTION_PIECES, RetrievalService, implied_terms
from benchmarks.hundred_thousand import database_url, fill_many
from benchmarks.measuring import machine, prepared_settings, resident_mib, settle
from benchmarks.question_sets import load
from tests.processes import start_server

CLIENTS: Final = (1, 16)
CALLS: Final = int(os.environ.get("CALLS", "160"))  # of each measurement
CANDIDATES, TOP_K = 100, 10
COMPARED: Final = int(os.environ.get("COMPARED", "40"))  # questions whose answers are compared
ACCOUNT: Final = {"email": "bench@example.com", "password": "a long password", "name": "Bench"}
QUESTIONS: Final = {"squad": 0.5, "cranfield": 0.125, "vaswani": 0.125, "medline": 0.125, "mtrag-un": 0.125}
NOBODY: Final = UUID(int=0)
Call = Callable[[], Awaitable[object]]


async def open_account(client: httpx.AsyncClient) -> Principal:
    """Sign `client` in."""
    (await client.post("/auth/register", json=ACCOUNT)).raise_for_status()
    form = {"username": ACCOUNT["email"], "password": ACCOUNT["password"]}
    token = (await client.post("/auth/login", data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    user = (await client.get("/users/me")).raise_for_status().json()
    return Principal(UUID(user["id"]), user["name"])


def ours(client: httpx.AsyncClient, questions: Iterator[str], body: Mapping[str, Any]) -> Call:
    """Each call asks something new: what was asked before is remembered."""

    async def call() -> None:
        asked = {"query": next(questions), "top_k": TOP_K, **body}
        found = (await client.post("/search", json=asked)).raise_for_status().json()
        assert len(found["items"]) == TOP_K

    return call


class Bare:
    """The same statement with asyncpg, where nobody is asked who may see what."""

    def __init__(
        self, resources: Resources, pool: asyncpg.Pool, questions: Iterator[str], project: UUID | None
    ) -> None:
        self._embedder, self._sparse = resources.foundation.embedder, resources.foundation.sparse
        self._pool, self._questions = pool, questions
        scope = "TRUE" if project is None else f"project_id = '{project}'"
        values = written(self._embedder.model, self._embedder.dimensions, scope)
        legs = (WALK if project is None else SCAN).format(**values)
        self._sql, self._names = _numbered(SEARCH.format(legs=legs, **values))

    async def call(self) -> None:
        question = next(self._questions)
        assert self._sparse is not None
        vector, expansion = await asyncio.gather(
            self._embedder.embed_query(question), self._sparse.expand_query(question)
        )
        pieces = dict(zip(expansion.ids[:QUESTION_PIECES].tolist(), expansion.weights.tolist(), strict=False))
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL hnsw.ef_search = {retrieval.POOL * CANDIDATES}")
            asked, implied = list(question_terms(question)), implied_terms(self._sparse, pieces)
            counts = await _counts(connection, [0, *asked, *implied])
            probe = Probe(vector.tolist(), self._embedder.model, CANDIDATES, asked, pieces, implied_ids=implied)
            values = dict(parameters_of(Reach(Scope(NOBODY), 0, counts), probe, TOP_K, rarity))
            values["vector"] = str(probe.vector)
            values |= {name: values[name].to_text() for name in ("terms", "expansion")}
            rows = await connection.fetch(self._sql, *(values[name] for name in self._names))
        assert len(rows) == TOP_K


async def _counts(connection: asyncpg.Connection, term_ids: Sequence[int]) -> dict[int, int]:
    sql = "SELECT term_id, sum(passages)::int FROM term_counts WHERE term_id = ANY ($1) GROUP BY term_id"
    return dict(await connection.fetch(sql, term_ids))


def _numbered(sql: str) -> tuple[str, list[str]]:
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        kind = {"dense_weight": "::float", "text_weight": "::float", "sparse_weight": "::float"}.get(match[1], "")
        return f"${names.index(match[1]) + 1}{kind}"

    return re.sub(r"(?<!:):([a-z_]+)\b", number, sql), names


async def timed_by(call: Call, clients: int, calls: int) -> list[float]:
    """Seconds of each call of `clients` that ask one after another."""
    took: list[float] = []

    async def ask() -> None:
        for _ in range(calls // clients):
            started = time.perf_counter()
            await call()
            took.append(time.perf_counter() - started)

    await asyncio.gather(*(ask() for _ in range(clients)))
    return took


async def compare(name: str, mine: Call, bare: Call) -> None:
    """In turn, so that the machine's moods hit both alike."""
    for clients in CLIENTS:
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(4):
            for call, took in zip((mine, bare), taken, strict=True):
                took += await timed_by(call, clients, CALLS // 4)
        (p50, p95), (bare50, bare95) = (_percentiles(took) for took in taken)
        print(
            f"{name}, {clients:>2} clients: p50 / p95 {p50:.0f} / {p95:.0f} ms, bare {bare50:.0f} / {bare95:.0f} ms, "
            f"p95 {p95 / bare95:.2f} times",
            flush=True,
        )


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    ordered = statistics.quantiles(seconds, n=100)
    return ordered[49] * 1000, ordered[94] * 1000


def mixed(count: int) -> list[str]:
    """Questions of all kinds, half of them about general knowledge."""
    chosen: list[str] = []
    for name, share in QUESTIONS.items():
        texts = [question.text for question in load(name).answerable()]
        wanted = max(1, int(count * share))
        chosen += texts[:: max(1, len(texts) // wanted)][:wanted]
    return chosen


async def recall(
    resources: Resources, user_id: UUID, name: str, fields: SearchFields, questions: Sequence[str]
) -> None:
    """Of the first ten of an exact search, how many are among the first ten."""
    foundation, usual, shares = resources.foundation, retrieval.LARGEST_SCAN, []
    for question in questions:
        found = []
        for largest in (10**9, usual):
            retrieval.LARGEST_SCAN = largest
            forgetful = RetrievalService(resources.uow, foundation.embedder, foundation.sparse, None)
            one = await forgetful.find(user_id, question, fields)
            found.append({match.id for match in one.matches})
        shares.append(len(found[0] & found[1]) / len(found[0]))
    print(f"recall@10 of an exact search, {name}: {statistics.mean(shares):.3f}", flush=True)


async def measure(resources: Resources, owner: Principal, client: httpx.AsyncClient, projects: list[UUID]) -> None:
    few = mixed(COMPARED)
    for name, fields in {
        "everywhere (100,000)": SearchFields(),
        "one project (2,000)": SearchFields(project_ids=projects[:1]),
        "ten projects (20,000)": SearchFields(project_ids=projects[:10]),
        "one year of all (5,000)": SearchFields(filters=SearchFilters(where={"year": 2003})),
        "three years of all (15,000)": SearchFields(filters=SearchFilters(where={"year": {"$lt": 2003}})),
        "ten years of all (50,000)": SearchFields(filters=SearchFilters(where={"year": {"$lt": 2010}})),
        "reports alone": SearchFields(filters=SearchFilters(where={"set": "financebench"})),
    }.items():
        await recall(resources, owner.user_id, name, fields, few)
    questions = itertools.cycle([question.text for question in load("squad").answerable()])
    async with asyncpg.create_pool(database_url(resources.settings), max_size=20) as pool:
        for name, body, project in (
            ("everywhere", {}, None),
            ("one project", {"project_ids": [str(projects[0])]}, projects[0]),
        ):
            bare = Bare(resources, pool, questions, project)
            await compare(name, ours(client, questions, body), bare.call)
        same = itertools.repeat(next(questions))
        await compare("everywhere, asked again", ours(client, same, {}), Bare(resources, pool, same, None).call)


async def main() -> None:
    print(machine())
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=False, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client,
        open_resources(settings) as resources,
    ):
        owner = await open_account(client)
        started = time.perf_counter()
        projects = await fill_many(resources, owner)
        print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
        await settle()
        await measure(resources, owner, client, projects)
        print(f"memory of the server: {resident_mib(server.process.pid):.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
