#!/usr/bin/env python3
"""Wait until PostgreSQL and Redis answer (WAIT_SECONDS, 60), and become the command.

As the first process of a container it has to ask for signals: without a handler the kernel would not deliver them.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import asyncpg
from redis.asyncio import Redis

PAUSE = 0.5  # seconds between two questions
PATIENCE = 3.0  # seconds for one answer
STOPPED = 128 + signal.SIGTERM  # the exit code of whoever was ended by this signal


async def ask_postgres(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=PATIENCE)
    await connection.close()


async def ask_redis(url: str) -> None:
    async with Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE) as client:
        await client.ping()


async def wait_for(name: str, ask: Callable[[str], Awaitable[None]], deadline: float) -> None:
    url = os.environ.get(name)
    if not url:
        sys.exit(f"{name} is not set")
    while True:
        try:
            return await ask(url)
        except Exception as error:
            if time.monotonic() > deadline:
                sys.exit(f"{name}: no answer: {error or type(error).__name__}")
        await asyncio.sleep(PAUSE)


async def wait(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    await wait_for("DATABASE_URL", ask_postgres, deadline)
    await wait_for("REDIS_URL", ask_redis, deadline)


def stop(*_: object) -> NoReturn:
    sys.exit(STOPPED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    asyncio.run(wait(float(os.environ.get("WAIT_SECONDS") or 60)))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command of the container, as it was given
