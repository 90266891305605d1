"""PDFs from their upload to `ready`: pages and passages a second, against both embedded models alone on the passages.

python -m benchmarks.ingest [PDF …]    (otherwise some of the reports in the measuring data)
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.adapters.embeddings import Embedder, open_embedder
from app.adapters.sparse import SparseEncoder, open_sparse_encoder
from app.tasks.worker import NICENESS, worker_settings
from benchmarks.measuring import machine, postgres_id, prepared_settings, processor_seconds, resident_mib, settle
from benchmarks.question_sets import SHARED
from tests.documents import make_pdf
from tests.processes import start_server

POLL_INTERVAL = 0.1  # seconds
REPORTS = ("BESTBUY_2024Q2_10Q", "JOHNSON_JOHNSON_2022Q4_EARNINGS", "AMAZON_2017_10K", "Pfizer_2023Q2_10Q")


@dataclass(frozen=True)
class Read:
    """A document that was read: seconds from the upload to its answer, to `ready`, and of all processors in between."""

    name: str
    pages: int
    passages: Sequence[str]
    answered: float
    took: float
    computed: float


async def sign_in(client: httpx.AsyncClient) -> None:
    account = {"email": "bench@example.com", "password": "a long password", "name": "Bench"}
    (await client.post("/auth/register", json=account)).raise_for_status()
    form = {"username": account["email"], "password": account["password"]}
    token = (await client.post("/auth/login", data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


class Hearth:
    """A client of everything that runs."""

    def __init__(self, client: httpx.AsyncClient, process_ids: Sequence[int]) -> None:
        self._client = client
        self._process_ids = process_ids

    async def ingest(self, name: str, content: bytes) -> Read:
        computed, started = processor_seconds(*self._process_ids), time.perf_counter()
        answer = await self._client.post("/documents", files={"file": (name, content)})
        answered = time.perf_counter() - started
        document = answer.raise_for_status().json()["document"]
        path = f"/documents/{document['id']}"
        while document["status"] in ("pending", "processing"):
            await asyncio.sleep(POLL_INTERVAL)
            document = (await self._client.get(path)).raise_for_status().json()
        took, computed = time.perf_counter() - started, processor_seconds(*self._process_ids) - computed
        if document["status"] != "ready":
            raise SystemExit(f"{name}: {document['error']['message']}")
        passages = await read_passages(self._client, path)
        (await self._client.delete(path)).raise_for_status()
        return Read(name, document["page_count"], passages, answered, took, computed)


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


async def embed(embedder: Embedder, sparse: SparseEncoder | None, passages: Sequence[str]) -> tuple[float, float]:
    """Seconds for the models alone, which get everything at once, and of all processors meanwhile."""
    computed, started = time.process_time(), time.perf_counter()
    work = [embedder.embed_passages(passages)]
    await asyncio.gather(*work, *([sparse.expand_passages(passages)] if sparse else []))
    return time.perf_counter() - started, time.process_time() - computed


def report(name: str, reads: Sequence[Read], took: float, bare: float) -> None:
    pages, passages = sum(one.pages for one in reads), sum(len(one.passages) for one in reads)
    print(
        f"{name[:32]:<32} {pages:>4} pages {passages:>5} passages  {pages / took:.1f} pages/s, {passages / took:.1f} "
        f"passages/s, models alone {passages / bare:.1f}: {bare / took:.2f}",
        flush=True,
    )


async def measure(hearth: Hearth, embedder: Embedder, sparse: SparseEncoder | None, files: Mapping[str, bytes]) -> None:
    """Both in turn, so that the machine's moods hit both alike; then all files at once."""
    reads, bare, computed = [], 0.0, 0.0
    for name, content in files.items():
        one = await hearth.ingest(name, content)
        seconds, of_processors = await embed(embedder, sparse, one.passages)
        report(name, [one], one.took, seconds)
        reads.append(one)
        bare, computed = bare + seconds, computed + of_processors
    report("one after another", reads, sum(one.took for one in reads), bare)
    spent = sum(one.computed for one in reads)
    print(f"of all that was computed the models were {computed / spent:.2f} ({computed:.1f} of {spent:.1f} s)")
    started = time.perf_counter()
    await asyncio.gather(*(hearth.ingest(name, content) for name, content in files.items()))
    report("all at once", reads, time.perf_counter() - started, bare)
    print(f"uploads were answered in {', '.join(f'{one.answered * 1000:.0f}' for one in reads)} ms")


async def main(paths: list[Path]) -> None:
    print(f"{machine()}; load before {os.getloadavg()[0]:.1f}")
    paths = paths or [SHARED / "financebench" / "pdfs" / f"{name}.pdf" for name in REPORTS]
    files = {path.name: await asyncio.to_thread(path.read_bytes) for path in paths}
    async with prepared_settings() as settings:
        embedding, models_dir = worker_settings(settings).embedding, settings.data_dir / "models"
        async with (
            start_server(settings, worker=True, RATE_LIMIT_ENABLED="false") as server,
            open_embedder(embedding, models_dir) as embedder,
            open_sparse_encoder(embedding, models_dir) as sparse,
            httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client,
        ):
            os.nice(NICENESS)  # as the worker: what else runs here takes as much from the models alone
            await sign_in(client)
            assert server.worker is not None
            hearth = Hearth(client, [server.process.pid, server.worker.pid, postgres_id(settings)])
            await hearth.ingest("warm-up.pdf", make_pdf(["The worker loads its models with the first document."]))
            await embed(embedder, sparse, ["They are loaded here, too."])
            await settle()
            await measure(hearth, embedder, sparse, files)
            print(f"memory (PSS): worker {resident_mib(server.worker.pid):.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main([Path(argument) for argument in sys.argv[1:]]))
