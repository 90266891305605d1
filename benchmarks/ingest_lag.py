"""How late the server's event loop is, and how long `/health` takes, while `hearth run` reads a PDF of 200 pages.

python -m benchmarks.ingest_lag [PDF]
"""

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.settings import environment_names
from benchmarks.ingest import sign_in
from benchmarks.measuring import machine, settle
from benchmarks.question_sets import load
from benchmarks.watched import LAG_FOLDER, read_lags, start_watched
from tests.data_dirs import temporary_data_dir
from tests.documents import make_pdf
from tests.processes import REPOSITORY, free_port

PAGES, PASSAGES_PER_PAGE = 200, 4
IDLE_SECONDS = 10.0
START_PATIENCE = 60.0
POLL_INTERVAL = 0.5  # seconds; clients hear of the end by an event, and need not ask
HEALTH_INTERVAL = 0.02


@dataclass
class Watch:
    """From when to when (by `time.monotonic`), and the seconds that each answer of `/health` took meanwhile."""

    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    answers: list[float] = field(default_factory=list)


def two_hundred_pages() -> bytes:
    texts = [passage["text"] for passage in load("squad").passages]
    chosen = [[texts[(page * PASSAGES_PER_PAGE + part) % len(texts)] for part in range(4)] for page in range(PAGES)]
    return make_pdf(["\n".join(page) for page in chosen])


@contextlib.asynccontextmanager
async def everything_running() -> AsyncIterator[tuple[str, Path]]:
    """`hearth run` as people start it: its address, and the folder where its processes write their ticks."""
    with temporary_data_dir() as folder:
        names = set(environment_names())
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        own = {"DATA_DIR": str(folder), "PORT": str(free_port()), LAG_FOLDER: str(folder)}
        quiet = {"RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "warning"}
        process = await asyncio.create_subprocess_exec(
            *start_watched("run"), env=inherited | own | quiet, cwd=REPOSITORY, stdout=asyncio.subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{own['PORT']}"
        try:
            await wait_until_live(url)
            yield url, folder
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


async def wait_until_live(url: str) -> None:
    async with asyncio.timeout(START_PATIENCE), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health/live")).is_success:
                    return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def watching(client: httpx.AsyncClient) -> AsyncIterator[Watch]:
    watch = Watch()

    async def ask() -> None:
        while True:
            started = time.perf_counter()
            (await client.get("/health")).raise_for_status()
            watch.answers.append(time.perf_counter() - started)
            await asyncio.sleep(HEALTH_INTERVAL)

    asking = asyncio.create_task(ask())
    try:
        yield watch
    finally:
        watch.ended = time.monotonic()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def read(client: httpx.AsyncClient, name: str, content: bytes) -> tuple[float, int, int]:
    """Seconds until it was ready, its pages, its passages."""
    started = time.perf_counter()
    answer = await client.post("/api/v1/documents", files={"file": (name, content)})
    document = answer.raise_for_status().json()["document"]
    while document["status"] in ("pending", "processing"):
        await asyncio.sleep(POLL_INTERVAL)
        document = (await client.get(f"/api/v1/documents/{document['id']}")).raise_for_status().json()
    if document["status"] != "ready":
        raise SystemExit(f"{name}: {document['error']['message']}")
    return time.perf_counter() - started, document["page_count"], document["chunk_count"]


def report(what: str, watch: Watch, folder: Path) -> None:
    lags = read_lags(folder, "serve", since=watch.began, until=watch.ended)
    print(f"{what}: event loop late by {spread(lags)}; /health {spread(watch.answers)} (p50 / p99 / max)")


def spread(seconds: Sequence[float]) -> str:
    ordered = statistics.quantiles(seconds, n=100)
    return " / ".join(f"{one * 1000:.1f}" for one in (ordered[49], ordered[98], max(seconds))) + " ms"


async def main(path: Path | None) -> None:
    print(f"{machine()}; load before {os.getloadavg()[0]:.1f}")
    name = path.name if path else "made.pdf"
    content = await asyncio.to_thread(path.read_bytes if path else two_hundred_pages)
    async with everything_running() as (url, folder), httpx.AsyncClient(base_url=url, timeout=60) as client:
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as account:
            await sign_in(account)
            client.headers["Authorization"] = account.headers["Authorization"]
        await read(client, "warm-up.pdf", make_pdf(["The worker loads its models with the first document."]))
        await settle()
        async with watching(client) as idle:
            await asyncio.sleep(IDLE_SECONDS)
        async with watching(client) as busy:
            took, pages, passages = await read(client, name, content)
        await settle(2.0)  # until the last ticks are written
        print(f"{name}: {pages} pages, {passages} passages in {took:.0f} s, {pages / took:.1f} pages/s")
        report("nothing to do", idle, folder)
        report("meanwhile", busy, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
