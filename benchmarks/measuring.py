"""What the benchmarks share: servers to measure, percentiles, and the machine's name."""

import asyncio
import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import psutil

from app.embedded import embedded_servers
from app.migrations import migrate
from app.settings import Settings
from tests.data_dirs import temporary_data_dir


def machine() -> str:
    """One line about where the figures come from."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}"


def percentiles(seconds: Sequence[float]) -> str:
    """`p50 / p95` in milliseconds."""
    ordered = statistics.quantiles(seconds, n=100)
    return f"{ordered[49] * 1000:.2f} / {ordered[94] * 1000:.2f} ms"


def p50(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


async def timed(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Seconds of each of `times` calls, one after another."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        took.append(time.perf_counter() - started)
    return took


async def in_turn(
    first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]], *, rounds: int, times: int
) -> tuple[list[float], list[float]]:
    """Seconds of both calls, measured in turn, so that the machine's moods hit both alike."""
    await timed(first, times)
    await timed(second, times)
    firsts: list[float] = []
    seconds: list[float] = []
    for _ in range(rounds):
        firsts += await timed(first, times)
        seconds += await timed(second, times)
    return firsts, seconds


def resident_mib(process_id: int) -> float:
    """Proportional set size of a process and its children, in MiB: shared pages count once over all who share them."""
    process = psutil.Process(process_id)
    everyone = [process, *process.children(recursive=True)]
    return sum(getattr(one.memory_full_info(), "pss", one.memory_info().rss) for one in everyone) / 2**20


def processor_seconds(*process_ids: int) -> float:
    """What these processes and their children have taken of the processors so far, whoever else was at work."""
    processes = [psutil.Process(one) for one in process_ids]
    everyone = {one.pid: one for first in processes for one in (first, *first.children(recursive=True))}
    times = [one.cpu_times() for one in everyone.values()]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


def postgres_id(settings: Settings) -> int:
    """Of the embedded server's first process."""
    return int((settings.data_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


@asynccontextmanager
async def prepared_settings(*, commits_to_disk: bool = False) -> AsyncIterator[Settings]:
    """Embedded servers of their own in a folder that is removed at the end, migrated.

    As in tests, PostgreSQL does not wait for the disk, unless `commits_to_disk`.
    """
    with temporary_data_dir() as folder:
        environment = "development" if commits_to_disk else "testing"
        base = Settings(_env_file=None, environment=environment, data_dir=folder)
        async with embedded_servers(base) as running:
            await migrate(running)
            yield running.model_copy(update={"environment": "testing"})


async def settle(seconds: float = 1.0) -> None:
    """Let start-up work end before anything is measured."""
    await asyncio.sleep(seconds)
