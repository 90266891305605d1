"""What it costs to be watched: requests a second with traces and scraped metrics, against the same server without.

python -m benchmarks.tracing

Both servers run at once over the same database and are asked in turn, so that the machine's moods hit both alike. The
watched one records every trace, sends it to a collector in a process of its own, and shows its metrics now and then; in
the other one nothing is traced, and counters, gauges and histograms do nothing. Beside requests a second, which measure
the client, too, stands what a request takes of the server's processor time.
"""

import asyncio
import contextlib
import statistics
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from app.settings import Settings
from benchmarks.http import ROOMS, load, prepare_rooms
from benchmarks.measuring import machine, prepared_settings, processor_seconds, settle
from tests.processes import LiveServer, environment_of, free_port, start_server, stop_process, wait_until_live

ROUNDS, TOTAL, CONNECTIONS = 24, 96, 16
SCRAPE_INTERVAL = 5.0  # seconds; three times as often as Prometheus does
NO_LIMIT = "10000000/minute"  # counted all the same

COLLECTOR = textwrap.dedent(
    """
    import sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        def log_message(self, *_): pass

    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
    """
)

UNWATCHED = textwrap.dedent(
    """
    from prometheus_client import Counter, Gauge, Histogram

    def nothing(self, *arguments, **labels):
        return self

    for kind in (Counter, Gauge, Histogram):
        for name in ("labels", "inc", "dec", "set", "observe"):
            if hasattr(kind, name):
                setattr(kind, name, nothing)

    from app.cli import main
    main()
    """
)


@contextlib.asynccontextmanager
async def unwatched(settings: Settings) -> AsyncIterator[LiveServer]:
    port = free_port()
    environment = environment_of(settings, PORT=str(port), RATE_LIMIT_REQUESTS=NO_LIMIT)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", UNWATCHED, "serve", env=environment)
    server = LiveServer(port, process, None, environment)
    try:
        await wait_until_live(server)
        yield server
    finally:
        await stop_process(process)


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COLLECTOR, str(port))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def scraped(port: int) -> AsyncIterator[None]:
    async def scrape() -> None:
        async with httpx.AsyncClient() as client:
            while True:
                (await client.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status()
                await asyncio.sleep(SCRAPE_INTERVAL)

    scraping = asyncio.create_task(scrape())
    try:
        yield
    finally:
        scraping.cancel()


async def measured(server: LiveServer, ask: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    """Requests a second, and milliseconds of the processor for each."""
    before = processor_seconds(server.process.pid)
    rate = await ask()
    return rate, (processor_seconds(server.process.pid) - before) / TOTAL * 1000


async def spans_of(client: httpx.AsyncClient, port: int) -> float:
    text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("hearth_trace_spans_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def compare(
    servers: tuple[LiveServer, LiveServer], clients: tuple[httpx.AsyncClient, httpx.AsyncClient], path: str
) -> None:
    results: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for number in range(ROUNDS + 1):
        order = (0, 1) if number % 2 else (1, 0)
        for index in order:
            client = clients[index]
            outcome = await measured(
                servers[index],
                lambda client=client: rate(client, path),
            )
            if number:  # the first round warms up
                results[index].append(outcome)
    watched_rate, plain_rate = (statistics.median(rate for rate, _ in rows) for rows in results)
    watched_cost, plain_cost = (statistics.mean(cost for _, cost in rows) for rows in results)  # told in steps of 10 ms
    shares = [watched[0] / plain[0] for watched, plain in zip(*results, strict=True)]
    print(
        f"{path:<32} {watched_rate:7.0f}/s against {plain_rate:7.0f}/s, median share {statistics.median(shares):.2f}; "
        f"processor {watched_cost:.2f} against {plain_cost:.2f} ms, share {plain_cost / watched_cost:.2f}"
    )


async def rate(client: httpx.AsyncClient, path: str) -> float:
    """Requests a second."""
    return (await load(client, path, connections=CONNECTIONS, total=TOTAL))[0]


async def main() -> None:
    print(machine())
    limits = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=30)
    port = free_port()
    async with (
        prepared_settings() as settings,
        collector() as endpoint,
        start_server(
            settings, worker=False, RATE_LIMIT_REQUESTS=NO_LIMIT, TRACING_ENDPOINT=endpoint, METRICS_PORT=str(port)
        ) as watched,
        unwatched(settings) as plain,
        httpx.AsyncClient(base_url=watched.url, limits=limits, timeout=30) as first,
        httpx.AsyncClient(base_url=plain.url, limits=limits, timeout=30) as second,
        scraped(port),
    ):
        await prepare_rooms(first)
        second.headers["Authorization"] = first.headers["Authorization"]
        await settle()
        before = await spans_of(first, port)
        for path in ("/health", "/api/v1/info", f"/api/v1/sessions?limit={ROOMS}"):
            await compare((watched, plain), (first, second), path)
        await settle(2.0)
        print(f"spans: {await spans_of(first, port) - before:.0f}")


if __name__ == "__main__":
    asyncio.run(main())
