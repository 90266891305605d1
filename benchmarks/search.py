"""`POST /search` through a running server, against the same question embedded and searched with the bare libraries.

python -m benchmarks.search
"""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from uuid import UUID

import asyncpg
import httpx

from app.adapters.embeddings import Embedder, open_embedder
from app.permissions import Principal
from app.repositories.retrieval import FULL_TEXT, QUESTION, SCAN, SEARCH
from app.resources import open_resources
from app.settings import Settings
from benchmarks.measuring import in_turn, machine, p50, percentiles, prepared_settings, settle
from benchmarks.question_sets import fill, load
from tests.processes import start_server

ROUNDS, TIMES = 10, 40
CONNECTIONS = (1, 16, 64)
PER_CONNECTION = 24
CANDIDATES, TOP_K = 100, 10
ACCOUNT: Final = {"email": "bench@example.com", "password": "a long password", "name": "Bench"}


def bare_sql(model: str, dimensions: int) -> str:
    """The same ranking over all passages: nobody is asked who may see what."""
    written = {"model": f"'{model}'", "vector": f"embedding::halfvec({dimensions})", "scope": "TRUE"}
    legs = {"dense": SCAN.format(**written), "full_text": FULL_TEXT.format(**written)}
    numbered = SEARCH.format(question=QUESTION, **legs, **written)
    for number, name in enumerate(("words", "vector", "candidates", "limit"), start=1):
        numbered = re.sub(rf"(?<!:):{name}\b", f"${number}", numbered)
    return numbered


async def open_account(client: httpx.AsyncClient) -> Principal:
    """Sign `client` in."""
    (await client.post("/auth/register", json=ACCOUNT)).raise_for_status()
    form = {"username": ACCOUNT["email"], "password": ACCOUNT["password"]}
    token = (await client.post("/auth/login", data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    user = (await client.get("/users/me")).raise_for_status().json()
    return Principal(UUID(user["id"]), user["name"])


def ours(client: httpx.AsyncClient, questions: Iterator[str]) -> Callable[[], Awaitable[object]]:
    """Each call asks something new: vectors of questions are remembered."""

    async def call() -> None:
        body = {"query": next(questions), "top_k": TOP_K}
        found = (await client.post("/search", json=body)).raise_for_status().json()
        assert len(found["items"]) == TOP_K

    return call


def bare(pool: asyncpg.Pool, embedder: Embedder, questions: Iterator[str]) -> Callable[[], Awaitable[object]]:
    sql = bare_sql(embedder.model, embedder.dimensions)

    async def call() -> None:
        question = next(questions)
        vector = await embedder.embed_query(question)
        rows = await pool.fetch(sql, question, str(vector.tolist()), CANDIDATES, TOP_K)
        assert len(rows) == TOP_K

    return call


async def rate(call: Callable[[], Awaitable[object]], connections: int) -> float:
    """Searches per second of `connections` clients that ask one after another."""
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def ask() -> None:
        for _ in range(PER_CONNECTION):
            await call()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return connections * PER_CONNECTION / (loop.time() - started)


async def measure(settings: Settings, client: httpx.AsyncClient, questions: Iterator[str]) -> None:
    url = settings.database.url.get_secret_value().replace("+asyncpg", "")
    async with (
        asyncpg.create_pool(url, max_size=64) as pool,
        open_embedder(settings.embedding, settings.data_dir / "models") as embedder,
    ):
        search, reference = ours(client, questions), bare(pool, embedder, questions)
        mine, others = await in_turn(search, reference, rounds=ROUNDS, times=TIMES)
        print(
            f"/search p50 / p95: {percentiles(mine)}, bare: {percentiles(others)}, {p50(mine) / p50(others):.2f} times"
        )
        for connections in CONNECTIONS:
            per_second = await rate(search, connections), await rate(reference, connections)
            print(f"  {connections} connections: {per_second[0]:.0f}/s, bare {per_second[1]:.0f}/s")


async def main() -> None:
    print(machine())
    squad = load("squad")
    questions = itertools.cycle([question.text for question in squad.questions])
    limits = httpx.Limits(max_connections=max(CONNECTIONS), keepalive_expiry=2)  # before the server hangs up
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=False, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", limits=limits, timeout=30) as client,
    ):
        owner = await open_account(client)
        async with open_resources(settings) as resources:
            await fill(resources, owner, squad)
        await settle()
        await measure(settings, client, questions)


if __name__ == "__main__":
    asyncio.run(main())
