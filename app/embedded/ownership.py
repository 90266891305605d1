"""Who starts and stops the servers of a data folder when several processes use it.

Each server has a lock file next to its data. Whoever holds the lock owns the server: starts or adopts it, keeps it
running, and stops it in the end. Everyone else attaches. The system lets go of a killed owner's lock, so that the next
process adopts what it left behind.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import anyio
import structlog
from anyio import to_thread

from app.embedded.errors import ServerNotStarted
from app.embedded.servers import Engine, Server, accepts_connections

ATTACH_TIMEOUT = 120
ATTACH_PAUSE = 0.1
WATCH_INTERVAL = 0.5
LONGEST_PAUSE = 30.0

log = structlog.get_logger(__name__)


class Ownership:
    """The held lock. What is written in the file tells others whether the server can be used."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """The lock, or None while another process holds it.

        Raises:
            ServerNotStarted: this account may not use the data folder.
        """
        try:
            ownership = cls(path)
        except OSError as error:
            raise ServerNotStarted(
                f"{path}: {error.strerror}. Use the account that owns this folder, or set DATA_DIR to another one."
            ) from error
        try:
            fcntl.flock(ownership._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ownership.release()
            return None
        ownership.retract()
        return ownership

    def announce(self) -> None:
        os.pwrite(self._handle, f"{os.getpid()} ready".encode(), 0)

    def retract(self) -> None:
        os.ftruncate(self._handle, 0)

    def release(self) -> None:
        os.close(self._handle)


@contextlib.asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    """Have the server of `engine` at hand for the length of the block.

    Raises:
        ServerNotStarted: it cannot be started, or its owner does not get it to run.
    """
    ownership = await _own_or_attach(engine)
    if ownership is None:
        yield
        return
    try:
        async with _owned(Server(engine), ownership):
            yield
    finally:
        ownership.release()


@contextlib.asynccontextmanager
async def _owned(server: Server, ownership: Ownership) -> AsyncIterator[None]:
    watch: asyncio.Task[None] | None = None
    try:
        await to_thread.run_sync(server.start)
        ownership.announce()
        watch = asyncio.create_task(_keep_running(server))
        yield
    finally:
        with anyio.CancelScope(shield=True):  # nobody is left behind, even when the caller was cancelled
            ownership.retract()
            await to_thread.run_sync(server.stop)  # ends a start under way, too
            if watch is not None:
                watch.cancel()


async def _own_or_attach(engine: Engine) -> Ownership | None:
    """The lock of the server, or None once its owner has it running."""
    path = engine.base.with_suffix(".lock")
    deadline = time.monotonic() + ATTACH_TIMEOUT
    while (ownership := Ownership.take(path)) is None:
        words = path.read_text(encoding="ascii").split()
        if "ready" in words and await to_thread.run_sync(accepts_connections, engine.socket):
            return None
        if time.monotonic() > deadline:
            owner = f"process {words[0]}" if words else "another process"
            raise ServerNotStarted(
                f"{owner} holds {path}, but its {engine.name} does not answer: stop it and start again."
            )
        await anyio.sleep(ATTACH_PAUSE)
    return ownership


async def _keep_running(server: Server) -> None:
    pause = WATCH_INTERVAL
    while True:
        await anyio.sleep(pause)
        if await to_thread.run_sync(server.is_alive):
            continue
        log.warning("embedded.server_died", server=server.name)
        try:
            await to_thread.run_sync(server.start)
            pause = WATCH_INTERVAL
        except ServerNotStarted as error:
            pause = min(pause * 2, LONGEST_PAUSE)
            log.error("embedded.server_not_restarted", server=server.name, error=str(error), next_try_in=pause)  # noqa: TRY400 - said in one line
