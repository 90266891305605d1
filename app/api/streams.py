"""Server-Sent Events for routes that answer in pieces."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import structlog
from fastapi import Request, Response, status
from fastapi.sse import EventSourceResponse, format_sse_event

from app.api.errors import is_dependency_down
from app.errors import AppError
from app.schemas.query import ErrorEvent

log = structlog.get_logger(__name__)

PING_INTERVAL = 15.0  # seconds of silence before a comment is sent, which keeps proxies from hanging up
CLOSING_PATIENCE = 5.0  # seconds for a source to let go of what it holds, once the client has gone
PING = b": ping\n\n"
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second for proxies that would buffer


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`id` is what a client that comes back sends as `Last-Event-ID`."""

    name: str | None
    data: str
    id: str | None = None


Events = AsyncGenerator[ServerSentEvent, None]
Result = TypeVar("Result")


def failure_event(event: ErrorEvent) -> ServerSentEvent:
    return ServerSentEvent("error", event.model_dump_json())


def event_stream(
    events: Events, *, as_event: Callable[[ErrorEvent], ServerSentEvent] = failure_event
) -> EventSourceResponse:
    """Stream `events`; a failure on the way is told in a last event, `error` if it is not said how.

    A client that goes away closes `events`.
    """
    return EventSourceResponse(_encoded(_with_errors(events, as_event)), headers=HEADERS)


async def unless_gone(request: Request, work: Awaitable[Result]) -> Result | Response:
    """The work is cancelled when the client hangs up, and with it whatever is being asked for it."""
    working, leaving = asyncio.ensure_future(work), asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return Response(status_code=status.HTTP_204_NO_CONTENT)  # for nobody
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _with_errors(events: Events, as_event: Callable[[ErrorEvent], ServerSentEvent]) -> Events:
    async with contextlib.aclosing(events):
        try:
            async for event in events:
                yield event
        except AppError as error:
            yield as_event(ErrorEvent(code=error.code, message=error.message))
        except Exception as error:
            log.exception("stream.failed")
            yield as_event(_unexpected(error))


def _unexpected(error: Exception) -> ErrorEvent:
    """Names nothing internal, as a 500 or 503 would not."""
    if is_dependency_down(error):
        message = "A part of the service is not available at the moment. Please try again."
        return ErrorEvent(code="SERVICE_UNAVAILABLE", message=message)
    return ErrorEvent(code="INTERNAL_ERROR", message="Something went wrong on our side.")


async def _encoded(events: Events) -> AsyncGenerator[bytes, None]:
    """Each step of `events` is a task of its own, so that a ping between two of them interrupts nothing."""
    step: asyncio.Task[ServerSentEvent | None] | None = None
    try:
        while True:
            step = step or asyncio.create_task(_next_of(events))
            await asyncio.wait({step}, timeout=PING_INTERVAL)
            if not step.done():
                yield PING
                continue
            event, step = step.result(), None
            if event is None:
                return
            yield format_sse_event(event=event.name, data_str=event.data, id=event.id)
    finally:
        with anyio.move_on_after(CLOSING_PATIENCE, shield=True):
            if step is not None:
                step.cancel()
                await asyncio.wait({step})
            await events.aclose()


async def _next_of(events: Events) -> ServerSentEvent | None:
    return await anext(events, None)
