"""A `hearth` whose event loops write down how late they are: `python -m benchmarks.watched run`, `… serve`, `… worker`.

Every tick is a line of `LAG_FOLDER/<command>`: when it came (by the machine's clock that only goes forward), and how
much too late, both in seconds.
"""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterable
from contextvars import Context
from pathlib import Path
from typing import Any

from app import nursery, supervisor

LAG_FOLDER = "LAG_FOLDER"
TICK = 0.005  # seconds
WRITTEN_TICKS = 200  # at once

run_usually = asyncio.Runner.run


def read_lags(folder: Path, command: str, *, since: float, until: float) -> list[float]:
    """Seconds by which the ticks between two times (of `time.monotonic`) came late."""
    lines = (line.split() for line in (folder / command).read_text().splitlines())
    return [float(lag) for at, lag in lines if since <= float(at) <= until]


async def tick(path: Path) -> None:
    lines: list[str] = []
    try:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            now = time.monotonic()
            lines.append(f"{now:.5f} {now - due:.5f}")
            if len(lines) == WRITTEN_TICKS:
                write(path, lines)
                lines.clear()
    finally:
        write(path, lines)


def write(path: Path, lines: Iterable[str]) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


async def ticking(main: Coroutine[Any, Any, Any]) -> Any:
    clock = asyncio.create_task(tick(Path(os.environ[LAG_FOLDER]) / sys.argv[1]))
    try:
        return await main
    finally:
        clock.cancel()


def run_ticking(runner: asyncio.Runner, main: Coroutine[Any, Any, Any], *, context: Context | None = None) -> Any:
    return run_usually(runner, ticking(main), context=context)


def run_watched(*arguments: str) -> None:
    asyncio.Runner.run = run_ticking  # type: ignore[method-assign]  # to watch it
    nursery.run_hearth(*arguments)


if __name__ == "__main__":
    supervisor.run_hearth = run_watched
    run_watched(*sys.argv[1:])
