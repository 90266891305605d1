"""Ending tasks that talk to Redis.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives in the moment in which its work is done, and
redis-py sends every command through it. So once is not enough.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_PATIENCE = 0.1  # seconds


async def cancel_until_done(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait for their end; what they raise is dropped."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=CANCEL_PATIENCE)
        await asyncio.gather(*done, return_exceptions=True)
