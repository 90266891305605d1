"""Long-running work: how soon it begins, how many empty tasks a second go from the API to their end, and fairness.

    REFERENCE_PYTHON=/path/to/venv/bin/python python -m benchmarks.tasks

One server, one worker, PostgreSQL, Valkey and the clients on the same machine. The reference is Celery with Redis,
acknowledging late and storing results, behind a small FastAPI route and called directly; its interpreter needs
`pip install "celery[redis]" fastapi uvicorn uvloop httptools`. Without it, only our own figures are measured.
"""

import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from httpx import AsyncClient
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from app.settings import Settings
from benchmarks.measuring import machine, percentiles, prepared_settings, settle
from benchmarks.task_handlers import EFFECTS, installed
from tests.factories import User, make_project, make_user
from tests.processes import REPOSITORY, LiveServer, free_port, start_server, stop_process

REFERENCE_PYTHON = os.environ.get("REFERENCE_PYTHON", "")
ROUNDS, TASKS, CLIENTS = 3, 1200, 32
STARTS = 100
CROWD, FEW = 10_000, 10
NO_LIMIT = "100000000/minute"
OPTIONS = {
    "RATE_LIMIT_REQUESTS": NO_LIMIT,
    "RATE_LIMIT_MESSAGES": NO_LIMIT,
    "RATE_LIMIT_FRAMES": NO_LIMIT,
    "TASK_CONCURRENCY": "64",
    "REALTIME_OUTBOX_SIZE": "10000",
}


@dataclass(frozen=True)
class Door:
    """Where tasks are started: one POST each, over connections that stay open."""

    port: int
    path: str
    body: bytes
    headers: str = ""

    async def knock(self, times: int) -> None:
        left = iter(range(times))
        await asyncio.gather(*(self._knock_on(left) for _ in range(CLIENTS)))

    async def _knock_on(self, left: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST {self.path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{self.headers}"
        request = f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body
        for _ in left:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 202"), answer
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()


async def measure_starts(server: LiveServer, user: User, project_id: str) -> None:
    """From the POST to `task_started` on the project's socket, one task at a time."""
    took, answered = [], []
    url = f"{server.ws_url}/ws/{project_id}"
    async with connect(url, additional_headers=user.headers) as socket, server.client() as client:
        for _ in range(STARTS):
            started = time.perf_counter()
            posting = asyncio.create_task(start(client, user, project_id))
            while json.loads(await socket.recv())["type"] != "task_started":
                pass
            took.append(time.perf_counter() - started)
            answered.append(await posting)
            await asyncio.sleep(0.05)
    print(f"POST to task_started, idle worker, p50 / p95 {percentiles(took)}; the POST alone {percentiles(answered)}")


async def start(client: AsyncClient, user: User, project_id: str) -> float:
    """Seconds until the answer."""
    started = time.perf_counter()
    body = {"task_type": "bench_nothing", "quality": "standard"}
    answer = await client.post(f"/api/v1/projects/{project_id}/tasks", json=body, headers=user.headers)
    assert answer.status_code == 202, answer.text
    return time.perf_counter() - started


async def rate(door: Door, is_done: Callable[[], Awaitable[bool]]) -> float:
    """Tasks a second, from the first POST to the last end."""
    started = time.perf_counter()
    await door.knock(TASKS)
    knocked = time.perf_counter() - started
    while not await is_done():
        await asyncio.sleep(0.02)
    taken = time.perf_counter() - started
    print(f"    {TASKS / taken:5.0f}/s (started {TASKS / knocked:.0f}/s)", flush=True)
    return TASKS / taken


@asynccontextmanager
async def celery(settings: Settings) -> AsyncIterator[tuple[Door, Callable[[], Awaitable[bool]]]]:
    """Celery's door, and whether every result is there."""
    port, url = free_port(), settings.redis.url.get_secret_value().replace("unix://", "redis+socket://")
    environment = {**os.environ, "CELERY_URL": url}
    module = "benchmarks.references.with_celery"
    worker = [REFERENCE_PYTHON, "-m", "celery", "-A", module, "worker", "--concurrency", "2", "--loglevel", "error"]
    serve = [REFERENCE_PYTHON, "-m", "uvicorn", f"{module}:api", "--port", str(port), "--log-level", "error"]
    processes = [
        await asyncio.create_subprocess_exec(*command, env=environment, cwd=REPOSITORY) for command in (worker, serve)
    ]
    redis = Redis.from_url(settings.redis.url.get_secret_value())

    async def is_done() -> bool:
        return sum([1 async for _ in redis.scan_iter("celery-task-meta-*", count=10_000)]) >= TASKS

    try:
        await until_open(port)
        await settle(3)
        yield Door(port, "/tasks", b"{}"), is_done
    finally:
        await redis.aclose()
        for process in processes:
            await stop_process(process)


async def until_open(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.1)


async def clear_results(settings: Settings) -> None:
    redis = Redis.from_url(settings.redis.url.get_secret_value())
    keys = [key async for key in redis.scan_iter("celery-task-meta-*", count=10_000)]
    if keys:
        await redis.delete(*keys)
    await redis.aclose()


async def measure_fairness(settings: Settings, server: LiveServer, user: User) -> None:
    """Ten tasks of 0.2 s of a project, eight at once, alone and behind ten thousand of another."""
    async with server.client() as client:
        crowd, few = [(await make_project(client, user, name))["id"] for name in ("Crowd", "Few")]
    alone = await time_of_few(settings, few, user)
    await queue_rows(settings, crowd, user, "bench_at_the_end", CROWD)
    await settle(1)
    behind = await time_of_few(settings, few, user)
    print(f"{FEW} tasks alone {alone:.2f} s, behind {CROWD} of another project {behind:.2f} s: {behind / alone:.2f}")


async def time_of_few(settings: Settings, project_id: str, user: User) -> float:
    database = await asyncpg.connect(plain(settings))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        await queue_rows(settings, project_id, user, "bench_at_the_end", FEW)
        unfinished = "SELECT count(*) FROM tasks WHERE project_id = $1 AND status IN ('queued', 'running')"
        while await database.fetchval(unfinished, project_id):
            await asyncio.sleep(0.005)
        times.append(time.perf_counter() - started)
    await database.close()
    return statistics.median(times)


async def queue_rows(settings: Settings, project_id: str, user: User, task_type: str, count: int) -> None:
    """Queue without the API, and wake the worker."""
    database = await asyncpg.connect(plain(settings))
    await database.execute(
        """INSERT INTO tasks (id, project_id, owner_id, task_type, quality, params, status, progress, message, attempts)
        SELECT uuidv7(), $1, $2, $3, 'standard', '{"seconds": 0.2}', 'queued', 0, '', 0 FROM generate_series(1, $4)""",
        project_id,
        user.id,
        task_type,
        count,
    )
    await database.close()
    redis = Redis.from_url(settings.redis.url.get_secret_value())
    channel = "00000000-0000-0000-0000-000000000000"
    await redis.publish(f"{settings.redis.prefix}channel:{channel}", "benchmark\n- tasks")
    await redis.aclose()


def plain(settings: Settings) -> str:
    return settings.database.url.get_secret_value().replace("+asyncpg", "")


async def measure_rates(settings: Settings, server: LiveServer, user: User, project_id: str) -> None:
    """Rounds in turn, so that the machine's moods hit all alike."""
    database = await asyncpg.connect(plain(settings))

    async def is_done() -> bool:
        return not await database.fetchval("SELECT count(*) FROM tasks WHERE status IN ('queued', 'running')")

    body = json.dumps({"task_type": "bench_nothing", "quality": "standard"}).encode()
    token = f"Authorization: Bearer {user.access_token}\r\n"
    door = Door(server.port, f"/api/v1/projects/{project_id}/tasks", body, token)
    rates: dict[str, list[float]] = {"Hearth": [], "Celery": []}
    async with contextlib.AsyncExitStack() as stack:
        reference = await stack.enter_async_context(celery(settings)) if REFERENCE_PYTHON else None
        for _ in range(ROUNDS):
            rates["Hearth"].append(await rate(door, is_done))
            if reference is not None:
                await clear_results(settings)
                rates["Celery"].append(await rate(*reference))
    await database.close()
    for name, measured in rates.items():
        if measured:
            print(f"empty tasks a second, {name}: {', '.join(f'{one:.0f}' for one in measured)}")
    ratios = [ours / theirs for ours, theirs in zip(rates["Hearth"], rates["Celery"], strict=False)]
    if ratios:
        print(f"Hearth / Celery: {statistics.median(ratios):.2f}")


async def main() -> None:
    print(machine())
    async with prepared_settings() as settings:
        database = await asyncpg.connect(plain(settings))
        await database.execute(EFFECTS)
        await database.close()
        with installed() as environment:
            async with start_server(settings, worker=True, **environment, **OPTIONS) as server:
                async with server.client() as client:
                    user = await make_user(client)
                    project = (await make_project(client, user))["id"]
                await settle(4)
                await measure_starts(server, user, project)
                await measure_rates(settings, server, user, project)
                await measure_fairness(settings, server, user)


if __name__ == "__main__":
    asyncio.run(main())
