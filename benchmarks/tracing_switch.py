"""What counters and spans cost the processor: one process, one application, only the switch differs.

python -m benchmarks.tracing_switch

Short turns, one after another, so that the machine's moods hit all alike; the median of their ratios. The application
is called without a client, whose time would count. Spans are taken and not sent: `benchmarks.tracing` has that.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
from fastapi import FastAPI
from httpx import ASGITransport
from prometheus_client import Counter, Gauge, Histogram

from app.main import create_app
from app.resources import open_resources
from app.settings import RateLimitSettings
from app.telemetry.spans import Span, start_recording, stop_recording
from benchmarks.http import ROOMS, prepare_rooms
from benchmarks.measuring import machine, prepared_settings

TURNS, REQUESTS, TOGETHER = 90, 40, 4
NO_LIMIT = "10000000/minute"
METHODS = {
    (kind, name): getattr(kind, name)
    for kind in (Counter, Gauge, Histogram)
    for name in ("inc", "dec", "set", "observe")
    if hasattr(kind, name)
}


def count(*, is_on: bool) -> None:
    for (kind, name), method in METHODS.items():
        setattr(kind, name, method if is_on else lambda self, *_, **__: self)


def record(take: Callable[[Span], None], *, is_on: bool) -> None:
    if is_on:
        start_recording(take, share=1.0)
    else:
        stop_recording()


async def ask(app: FastAPI, path: str, authorization: str) -> None:
    name, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"test"), (b"authorization", authorization.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await app(scope, receive, send)
    assert statuses == [200], (path, statuses)


async def milliseconds(app: FastAPI, path: str, authorization: str) -> float:
    """Of the processor, for each request."""
    before = time.process_time()
    for _ in range(REQUESTS // TOGETHER):
        await asyncio.gather(*(ask(app, path, authorization) for _ in range(TOGETHER)))
    return (time.process_time() - before) / REQUESTS * 1000


async def compare(app: FastAPI, path: str, authorization: str) -> None:
    spans: list[Any] = []
    costs: dict[str, list[float]] = {"nothing": [], "counters": [], "counters and spans": []}
    for turn in range(TURNS + 1):
        for name, turns in costs.items():
            count(is_on=name != "nothing")
            record(spans.append, is_on=name == "counters and spans")
            cost = await milliseconds(app, path, authorization)
            if turn:  # the first one warms up
                turns.append(cost)
    count(is_on=True)
    stop_recording()
    plain = costs.pop("nothing")
    told = [
        f"{name} {statistics.median(one / other for one, other in zip(turns, plain, strict=True)):.3f}"
        for name, turns in costs.items()
    ]
    print(f"{path:<32} {statistics.median(plain):.2f} ms; {', '.join(told)}")


async def main() -> None:
    print(machine())
    async with prepared_settings() as settings:
        settings = settings.model_copy(update={"rate_limit": RateLimitSettings(requests=NO_LIMIT)})
        async with open_resources(settings) as resources:
            app = create_app(resources=resources)
            async with httpx.AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
                await prepare_rooms(client)
                authorization = client.headers["Authorization"]
            for path in ("/health/live", "/api/v1/info", f"/api/v1/sessions?limit={ROOMS}"):
                await compare(app, path, authorization)


if __name__ == "__main__":
    asyncio.run(main())
