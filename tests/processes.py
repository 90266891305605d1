"""Real server and worker processes for tests of whole paths, crashes and sockets."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from httpx import AsyncClient, HTTPError

from app.rates import Budget
from app.settings import Settings, environment_names

REPOSITORY = Path(__file__).parent.parent
START_PATIENCE = 60.0  # seconds; a start takes three, on a machine that has time


@dataclass
class LiveServer:
    port: int
    process: asyncio.subprocess.Process
    worker: asyncio.subprocess.Process | None
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def client(self, **options: object) -> AsyncClient:
        return AsyncClient(base_url=self.url, timeout=30, **options)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(settings: Settings, **overrides: str) -> dict[str, str]:
    """What a child process needs to run with the same settings."""
    inherited = {name: value for name, value in os.environ.items() if name not in set(environment_names())}
    return inherited | {
        "ENVIRONMENT": settings.environment,
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database.url.get_secret_value(),
        "REDIS_URL": settings.redis.url.get_secret_value(),
        "REDIS_PREFIX": settings.redis.prefix,
        "PASSWORD_MEMORY_KIB": str(settings.password.memory_kib),
        "PASSWORD_TIME_COST": str(settings.password.time_cost),
        "PASSWORD_MIN_STRENGTH": str(settings.password.min_strength),
        **{f"RATE_LIMIT_{budget.name}": getattr(settings.rate_limit, budget) for budget in Budget},
        "LOCKOUT_NETWORK_FAILURES": str(settings.lockout.network_failures),
        "LOG_LEVEL": "warning",
        **overrides,
    }


async def start_process(environment: dict[str, str], *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "app", *command, env=environment, cwd=REPOSITORY)


async def stop_process(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()


async def wait_until_live(server: LiveServer) -> None:
    async with asyncio.timeout(START_PATIENCE), server.client() as client:
        while True:
            assert server.process.returncode is None, "the server ended at its start"
            with suppress(HTTPError):
                if (await client.get("/health/live")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def start_server(settings: Settings, *, worker: bool, **overrides: str) -> AsyncIterator[LiveServer]:
    port = free_port()
    environment = environment_of(settings, PORT=str(port), **overrides)
    server = LiveServer(port, await start_process(environment, "serve"), None, environment)
    try:
        if worker:
            server.worker = await start_process(environment, "worker")
        await wait_until_live(server)
        yield server
    finally:
        for process in (server.process, server.worker):
            if process is not None and process.returncode is None:
                await stop_process(process)
