"""A PDF from its upload to `ready`, in passages per second, against the embedding model alone on the same passages.

python -m benchmarks.ingest [PDF …]
"""

import asyncio
import statistics
import sys
import time
from pathlib import Path

import httpx

from app.adapters.embeddings import Embedder, open_embedder
from benchmarks.measuring import machine, prepared_settings, resident_mib, settle
from tests.documents import make_pdf
from tests.processes import start_server

ROUNDS = 3
POLL_INTERVAL = 0.02  # seconds
PAGES = [
    "\n".join(
        f"On day {day} of year {year} the keeper trims lamp {year * day} and writes it down." for day in range(40)
    )
    for year in range(1, 41)
]


async def sign_in(client: httpx.AsyncClient) -> None:
    account = {"email": "bench@example.com", "password": "a long password", "name": "Bench"}
    (await client.post("/auth/register", json=account)).raise_for_status()
    form = {"username": account["email"], "password": account["password"]}
    token = (await client.post("/auth/login", data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


async def ingest(client: httpx.AsyncClient, name: str, content: bytes) -> tuple[float, float, list[str]]:
    """Seconds until the upload was answered and until the document was ready, and its passages."""
    started = time.perf_counter()
    answer = await client.post("/documents", files={"file": (name, content)})
    answered = time.perf_counter() - started
    document = answer.raise_for_status().json()["document"]
    path = f"/documents/{document['id']}"
    while document["status"] in ("pending", "processing"):
        await asyncio.sleep(POLL_INTERVAL)
        document = (await client.get(path)).raise_for_status().json()
    took = time.perf_counter() - started
    if document["status"] != "ready":
        raise SystemExit(f"{name}: {document['error']['message']}")
    passages = await read_passages(client, path)
    (await client.delete(path)).raise_for_status()
    return answered, took, passages


async def read_passages(client: httpx.AsyncClient, path: str) -> list[str]:
    texts: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get(f"{path}/chunks", params={"limit": 100, **({"cursor": cursor} if cursor else {})})
        ).json()
        texts += [chunk["text"] for chunk in page["items"]]
        cursor = page["next_cursor"]
    return texts


async def embed(embedder: Embedder, passages: list[str], batch_size: int) -> float:
    """Seconds for the model alone."""
    started = time.perf_counter()
    for first in range(0, len(passages), batch_size):
        await embedder.embed_passages(passages[first : first + batch_size])
    return time.perf_counter() - started


async def measure(client: httpx.AsyncClient, embedder: Embedder, name: str, content: bytes, batch_size: int) -> None:
    """Both in turn, so that the machine's moods hit both alike."""
    rates, bare_rates, answers = [], [], []
    for _ in range(ROUNDS):
        answered, took, passages = await ingest(client, name, content)
        answers.append(answered)
        rates.append(len(passages) / took)
        bare_rates.append(len(passages) / await embed(embedder, passages, batch_size))
    ours, bare = statistics.median(rates), statistics.median(bare_rates)
    answer = statistics.median(answers) * 1000
    print(
        f"{name[:32]:<32} {len(passages):>5} passages  answered in {answer:.0f} ms  "
        f"{ours:.1f}/s, model alone {bare:.1f}/s: {ours / bare:.2f}"
    )


async def main(paths: list[Path]) -> None:
    print(machine())
    files = {path.name: path.read_bytes() for path in paths} or {"made.pdf": make_pdf(PAGES)}
    async with (
        prepared_settings() as settings,
        open_embedder(settings.embedding, settings.data_dir / "models") as embedder,
        start_server(settings, worker=True, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client,
    ):
        await sign_in(client)
        await embedder.check()
        await ingest(client, "warm-up.pdf", make_pdf(PAGES[:1]))  # the worker loads its model with the first document
        await settle()
        for name, content in files.items():
            await measure(client, embedder, name, content, settings.embedding.batch_size)
        assert server.worker is not None
        print(f"memory (PSS): worker {resident_mib(server.worker.pid):.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main([Path(argument) for argument in sys.argv[1:]]))
