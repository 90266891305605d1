"""Memory of the server while twenty files of 50 MB are uploaded at once, and how fast it answers others meanwhile.

python -m benchmarks.uploads
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator

import httpx

from benchmarks.formats import watched
from benchmarks.ingest import sign_in
from benchmarks.measuring import machine, percentiles, prepared_settings, resident_mib, settle
from tests.processes import start_server

UPLOADS, FILE_BYTES = 20, 50_000_000
PIECE = b"The keeper trims the lamp at dusk. " * 1872  # 64 KB
BOUNDARY = "lamp"
SAMPLE_INTERVAL = 0.05  # seconds


async def form(number: int) -> AsyncIterator[bytes]:
    """A form with a text of its own, in pieces: the client keeps none of it either."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{number}.txt"\r\n\r\n'
    yield head.encode()
    rest = FILE_BYTES
    first = f"Book {number}. ".encode()
    while rest > 0:
        piece = (first + PIECE)[:rest]
        first = b""
        rest -= len(piece)
        yield piece
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


async def upload(client: httpx.AsyncClient, number: int) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    response = await client.post("/documents", content=form(number), headers=headers)
    assert response.raise_for_status().json()["document"]["size"] == FILE_BYTES


@contextlib.asynccontextmanager
async def weighed(process_id: int) -> AsyncIterator[list[float]]:
    """MiB of the process, looked at all the time."""
    found = [await asyncio.to_thread(resident_mib, process_id)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            found.append(await asyncio.to_thread(resident_mib, process_id))

    watcher = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watcher.cancel()


async def main() -> None:
    print(f"{machine()}; load before {os.getloadavg()[0]:.1f}")
    limits = httpx.Limits(max_connections=UPLOADS + 1)
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=False, RATE_LIMIT_ENABLED="false") as server,
        httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=600, limits=limits) as client,
        httpx.AsyncClient(base_url=server.url, timeout=60) as other,
    ):
        await sign_in(client)
        await upload(client, UPLOADS)
        await settle()
        for count in (1, UPLOADS):
            started = time.perf_counter()
            async with watched(other) as lives, weighed(server.process.pid) as sizes:
                await asyncio.gather(*(upload(client, count * 100 + number) for number in range(count)))
            took = time.perf_counter() - started
            print(
                f"{count:>2} uploads of {FILE_BYTES / 1e6:.0f} MB at once: {sizes[0]:.0f} MiB before, at most "
                f"{max(sizes):.0f} MiB (PSS), {count * FILE_BYTES / 1e6 / took:.0f} MB/s; "
                f"`/health/live` {percentiles(lives)}"
            )
            await settle()


if __name__ == "__main__":
    asyncio.run(main())
