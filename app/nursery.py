"""Where `hearth run` gets its children from: a process that has loaded everything once, and forks.

They start in half the time, and what was loaded lies in memory once. Libraries do not bear to be forked everywhere, so
elsewhere than on Linux each child is a new interpreter.
"""

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

LONGEST_FOLDER: Final = 70  # characters: the fork server listens in a folder of its own below, at a path of 107 at most
FORKS: Final = sys.platform == "linux" and len(tempfile.gettempdir()) <= LONGEST_FOLDER
CONTEXT: Final = multiprocessing.get_context("forkserver") if FORKS else multiprocessing.get_context("spawn")


def prepare() -> None:
    """Let the loading begin, in its own process; nobody waits for it until a child is started."""
    if FORKS:
        CONTEXT.set_forkserver_preload(["app.preloaded"])
        forkserver.ensure_running()


def run_hearth(*arguments: str) -> None:
    """The `hearth` command, in a child."""
    sys.argv = ["hearth", *arguments]
    importlib.import_module("app.cli").main()


class ChildNotStarted(Exception):
    """The process that it would come from ended, or the system has no room for another one."""


class Child:
    """A process that leads a group of its own: Ctrl-C in a terminal does not reach it."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    @property
    def has_ended(self) -> bool:
        return self._process.exitcode is not None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int:
        """Its exit code, or the number of the signal that ended it, negative; for one caller at a time."""
        if not self.has_ended:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(self._process.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._process.sentinel)
            self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code


@contextlib.asynccontextmanager
async def started(
    name: str, environment: Mapping[str, str], target: Callable[..., object], *arguments: str
) -> AsyncIterator[Child]:
    """A child that calls `target` with nothing but `environment` around it; whoever leaves the block ends it first.

    `target` is a function of a module: the child finds it by its name.

    Raises:
        ChildNotStarted
    """
    process = CONTEXT.Process(target=_live, args=(name, dict(environment), target, arguments), name=name)
    starting = asyncio.create_task(asyncio.to_thread(process.start))  # the first one waits for the loading
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        if starting.exception() is None:
            process.kill()
        raise
    except (OSError, EOFError) as error:
        raise ChildNotStarted from error
    yield Child(process)


def _live(name: str, environment: Mapping[str, str], target: Callable[..., object], arguments: tuple[str, ...]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"hearth {name}")  # what ps and top call it
    target(*arguments)
