"""Time-outs for processes that are busy: an answer that is there, and could not be passed on yet, is not late."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

GRACE: Final = 64  # turns of the event loop


@contextlib.asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError: the block was not done in time, though this process has had time to look."""
    loop = asyncio.get_running_loop()
    handles: list[asyncio.Handle] = []

    def expire(turns: int) -> None:
        if turns:
            handles.append(loop.call_soon(expire, turns - 1))
        else:
            deadline.reschedule(loop.time())

    async with asyncio.timeout(None) as deadline:
        handles.append(loop.call_later(seconds, expire, GRACE))
        try:
            yield
        finally:
            handles[-1].cancel()
