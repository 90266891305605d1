"""Ending what comes in pieces, in the middle of a piece if need be."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TypeVar

Part = TypeVar("Part")


async def until(stop: asyncio.Event, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    """The same parts until `stop` is set; then `parts` is closed at once, also while it waits for its next one."""
    stopping = asyncio.create_task(stop.wait())
    step: asyncio.Task[Part] | None = None
    try:
        async with contextlib.aclosing(parts):
            while not stop.is_set():
                step = asyncio.create_task(_next_of(parts))
                try:
                    await asyncio.wait({step, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not step.done():
                        step.cancel()
                        await asyncio.wait({step})
                if step.cancelled():
                    return
                try:
                    part = step.result()
                except StopAsyncIteration:
                    return
                yield part
    finally:
        stopping.cancel()


async def _next_of(parts: AsyncGenerator[Part, None]) -> Part:
    return await anext(parts)
