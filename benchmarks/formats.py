"""Every file of the shared documents through a running server: seconds, outcome, whether it is as it should be.

python -m benchmarks.formats [NAME …]
"""

import asyncio
import contextlib
import json
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.ingest import sign_in
from benchmarks.measuring import machine, percentiles, prepared_settings, settle
from tests.conftest import SHARED
from tests.processes import start_server

POLL_INTERVAL = 0.02  # seconds
REFUSED, READ = "refused", "read"


async def send(client: httpx.AsyncClient, name: str, content: bytes) -> tuple[str, str, str]:
    """Whether it was `REFUSED` or `READ`, with which status and code, and its text."""
    response = await client.post("/documents", files={"file": (name, content)})
    answer = response.json()
    if response.is_error:
        return REFUSED, f"{response.status_code} {answer['error']['code']}", ""
    document = answer["document"]
    path = f"/documents/{document['id']}"
    while document["status"] in ("pending", "processing"):
        await asyncio.sleep(POLL_INTERVAL)
        document = (await client.get(path)).raise_for_status().json()
    if document["status"] == "failed":
        return REFUSED, f"{response.status_code} {document['error']['code']}", ""
    text = (await client.get(f"{path}/text")).raise_for_status().text
    shape = f"{len(text):,} characters, {document['page_count'] or 0} pages, {document['chunk_count']} passages"
    return READ, f"{response.status_code} {shape}", text


def judge(entry: Mapping[str, Any], outcome: str, detail: str, text: str, seconds: float) -> str:
    """What is wrong; empty where it is as the manifest expects."""
    expected = entry["expect"]
    if detail.startswith("5"):
        return "5xx"
    if seconds > entry["max_seconds"]:
        return "too slow"
    if outcome == REFUSED:
        return "should be read" if expected in ("text", "text_any") else ""
    if expected == "reject":
        return "should be refused"
    folded = _fold(text)
    hits = sum(_fold(wanted) in folded for wanted in entry["must_contain"])
    if hits < entry["min_hits"]:
        return "lacks what it should hold"
    return "holds what it should not" if any(bad in text for bad in entry.get("must_not_contain", ())) else ""


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


@contextlib.asynccontextmanager
async def watched(client: httpx.AsyncClient) -> AsyncIterator[list[float]]:
    """Seconds that the server took to say that it lives, asked all the time."""
    found: list[float] = []

    async def watch() -> None:
        while True:
            started = time.perf_counter()
            (await client.get("/health/live")).raise_for_status()
            found.append(time.perf_counter() - started)
            await asyncio.sleep(POLL_INTERVAL)

    watcher = asyncio.create_task(watch())
    yield found
    watcher.cancel()


async def measure(client: httpx.AsyncClient, entries: Sequence[Mapping[str, Any]]) -> int:
    """How many are not as they should be."""
    print("| file | kB | seconds | outcome | wrong |\n| --- | ---: | ---: | --- | --- |")
    wrong = 0
    for entry in entries:
        content = await asyncio.to_thread((SHARED / "documents" / entry["file"]).read_bytes)
        started = time.perf_counter()
        outcome, detail, text = await send(client, entry["upload_name"], content)
        seconds = time.perf_counter() - started
        problem = judge(entry, outcome, detail, text, seconds)
        wrong += bool(problem)
        print(f"| {entry['file']} | {len(content) / 1_000:,.1f} | {seconds:.2f} | {detail} | {problem} |", flush=True)
    return wrong


async def main(names: Sequence[str]) -> None:
    print(machine())
    manifest = json.loads(await asyncio.to_thread((SHARED / "documents" / "manifest.json").read_text))
    entries = [entry for entry in manifest if not names or entry["file"] in names]
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=True, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60) as client,
        httpx.AsyncClient(base_url=server.url, timeout=60) as other,
    ):
        await sign_in(client)
        await send(client, "warm-up.txt", b"The worker loads its model with the first document.")
        await settle()
        async with watched(other) as lives:
            wrong = await measure(client, entries)
    print(f"{wrong} of {len(entries)} are not as they should be; `/health/live` meanwhile: {percentiles(lives)}")


if __name__ == "__main__":
    asyncio.run(main([Path(argument).name for argument in sys.argv[1:]]))
