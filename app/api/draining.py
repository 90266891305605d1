"""The time between the wish to stop and the end: no new traffic should come, and what comes is still served.

`SIGTERM` turns readiness off at once. `DRAIN_SECONDS` later, when every load balancer has noticed, uvicorn gets it: it
closes the port and the WebSockets (1012), and waits for the requests that are under way. A second signal does not wait.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType

import structlog

log = structlog.get_logger(__name__)


class Drain:
    """`is_on` from the first `SIGTERM` on."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience.total_seconds()
        self.is_on = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Stand before the handler of `SIGTERM` that is there, within a running event loop of the main thread."""
        before = signal.getsignal(signal.SIGTERM)
        if not self._patience or not callable(before) or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def end(number: int, frame: FrameType | None) -> None:
            if callable(before):
                before(number, frame)

        def begin(number: int, frame: FrameType | None) -> None:
            if self.is_on:
                end(number, frame)
                return
            self.is_on = True
            loop.call_soon_threadsafe(loop.call_later, self._patience, end, number, None)
            log.info("server.draining", seconds=self._patience)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
