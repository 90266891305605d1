"""Workers that are killed at random while they work: does everything end, once, and how long does work lie about?

    python -m benchmarks.task_kills

500 tasks of six types, two workers; each is killed with SIGKILL a few seconds after it has begun, and started again.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg

from app.settings import Settings
from benchmarks.measuring import machine, prepared_settings, settle
from benchmarks.task_handlers import EFFECTS, HANDLERS, STEPS, installed
from benchmarks.tasks import plain
from tests.factories import make_project, make_user
from tests.processes import environment_of, start_server, stop_process

TASKS = 500
LEASE = 5.0  # seconds
LIFE = (3.0, 7.0)  # seconds that a worker works
WORKERS = 2
PATIENCE = 240.0
EFFECTS_OF = {"bench_at_the_end": 1, "bench_in_steps": STEPS, "bench_busy": 1, "bench_few_at_once": 1}
RUNNING = "SELECT id, fence FROM tasks WHERE status = 'running'"
UNFINISHED = "SELECT count(*) FROM tasks WHERE status IN ('queued', 'running')"


class Watch:
    """How long work that a killed worker held waits until another goes on with it.

    `clock` stands still while no worker works: both may have been killed, and start again.
    """

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._looked = time.perf_counter()
        self.clock = 0.0
        self.at_work = 0
        self._held: dict[tuple[UUID, int], float] = {}
        self.waits: list[float] = []

    async def ask(self, question: str) -> int:
        async with self._turn:
            count: int = await self._database.fetchval(question)
            return count

    async def killed(self) -> None:
        async with self._turn:
            for row in await self._database.fetch(RUNNING):
                self._held.setdefault((row["id"], row["fence"]), self.clock)

    async def look(self) -> None:
        taken = "SELECT id, fence FROM tasks WHERE id = ANY ($1)"
        async with self._turn:
            rows = await self._database.fetch(taken, list({task_id for task_id, _ in self._held}))
        now = time.perf_counter()
        self.clock += now - self._looked if self.at_work else 0.0
        self._looked = now
        fences = {row["id"]: row["fence"] for row in rows}
        for task_id, fence in list(self._held):
            if fences.get(task_id, fence) > fence:
                self.waits.append(self.clock - self._held.pop((task_id, fence)))


async def start_tasks(settings: Settings, environment: dict[str, str], folder: str) -> None:
    """Through the API, in turns of the six types."""
    unlimited = environment | {"RATE_LIMIT_REQUESTS": "1000000/minute"}
    async with start_server(settings, worker=False, **unlimited) as server, server.client() as client:
        user = await make_user(client)
        project = (await make_project(client, user))["id"]
        for number in range(TASKS):
            body = {"task_type": HANDLERS[number % len(HANDLERS)].kind.name, "params": {"folder": folder}}
            answer = await client.post(f"/api/v1/projects/{project}/tasks", json=body, headers=user.headers)
            assert answer.status_code == 202, answer.text


def has_begun(log: Path) -> bool:
    return "worker.started" in log.read_text()


async def live_and_die(environment: dict[str, str], log: Path, watch: Watch, is_over: asyncio.Event) -> int:
    """One worker after another, each killed soon after it has begun to work. How often one was killed."""
    kills = 0
    while True:
        with log.open("w") as output:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "worker"), env=environment, stdout=output, stderr=output
            )
        while not has_begun(log) and not is_over.is_set():
            await asyncio.sleep(0.1)
        watch.at_work += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), random.uniform(*LIFE))
        if is_over.is_set():
            await stop_process(worker)
            return kills
        watch.at_work -= 1
        worker.kill()
        await worker.wait()
        await watch.killed()
        kills += 1
        print(f"    {await watch.ask(UNFINISHED)} left", flush=True)


async def kill_now_and_then(environment: dict[str, str], folder: str, watch: Watch) -> int:
    """Until everything has ended. How often a worker was killed."""
    is_over = asyncio.Event()
    lives = [
        asyncio.create_task(live_and_die(environment, Path(folder, f"{number}.log"), watch, is_over))
        for number in range(WORKERS)
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while await watch.ask(UNFINISHED):
                await watch.look()
                await asyncio.sleep(0.02)
    is_over.set()
    return sum(await asyncio.gather(*lives))


def count_files(folder: str) -> int:
    return len(list(Path(folder).iterdir()))


async def report(database: asyncpg.Connection, folder: str, watch: Watch, kills: int) -> None:
    rows = await database.fetch("SELECT id, task_type, status, fence FROM tasks")
    print(f"{kills} kills; {TASKS} tasks: {dict(Counter(row['status'] for row in rows))}")
    fences = [row["fence"] for row in rows]
    print(f"taken more than once: {sum(fence > 1 for fence in fences)}, at most {max(fences)} times")
    expected = sum(EFFECTS_OF.get(row["task_type"], 0) for row in rows)
    effects = [tuple(row) for row in await database.fetch("SELECT task_id, step FROM effects")]
    print(f"effects: {expected} wanted, {len(set(effects))} there, {len(effects) - len(set(effects))} twice")
    outside = [row for row in rows if row["task_type"] == "bench_outside"]
    print(f"effects outside: {len(outside)} wanted, {count_files(folder)} there")
    if watch.waits:
        longest = max(watch.waits)
        print(f"work of the dead waited {longest:.2f} s at most, lease {LEASE:.0f} s ({len(watch.waits)} tasks)")


async def main() -> None:
    print(machine())
    async with prepared_settings() as settings:
        database = await asyncpg.connect(plain(settings))
        await database.execute(EFFECTS)
        with TemporaryDirectory() as folder, TemporaryDirectory() as logs, installed() as paths:
            await start_tasks(settings, paths, folder)
            watch = Watch(database)
            types = ",".join(handler.kind.name for handler in HANDLERS)
            options = {"TASK_LEASE": str(LEASE), "TASK_TYPES": types, "EMBEDDING_SPARSE": "off", "LOG_LEVEL": "info"}
            environment = environment_of(settings, **paths, **options)
            kills = await kill_now_and_then(environment, logs, watch)
            await settle()
            await report(database, folder, watch, kills)
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
