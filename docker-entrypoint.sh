#!/bin/sh
# Wait for PostgreSQL and Redis (WAIT_SECONDS, 60), migrate if the first word is --migrate, and become the command.
set -eu

python - <<'END'
import asyncio
import os
import sys
import time

import asyncpg
from redis.asyncio import Redis

deadline = time.monotonic() + float(os.environ.get("WAIT_SECONDS") or 60)


async def postgres() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"].replace("+asyncpg", "", 1), timeout=3)
    await connection.close()


async def redis() -> None:
    async with Redis.from_url(os.environ["REDIS_URL"], socket_connect_timeout=3, socket_timeout=3) as client:
        await client.ping()


async def wait() -> None:
    for name, ask in (("DATABASE_URL", postgres), ("REDIS_URL", redis)):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set")
        while True:
            try:
                await ask()
                break
            except Exception as error:
                if time.monotonic() > deadline:
                    sys.exit(f"{name}: no answer: {error or type(error).__name__}")
            await asyncio.sleep(0.5)


asyncio.run(wait())
END

if [ "${1:-}" = "--migrate" ]; then
    shift
    hearth migrate
fi
exec "$@"
