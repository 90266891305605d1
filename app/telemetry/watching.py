"""What nobody reports, and so has to be looked at now and then: how late the event loop is, how full the pool."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.telemetry.meters import CHANNELS, CONNECTIONS, LOOP_LAG, POOL_CONNECTIONS, POOL_SIZE

BEAT: Final = 0.25  # seconds
BEATS_PER_LOOK: Final = 8
LONGEST_SILENCE: Final = 30.0  # seconds without a beat; then the loop hangs


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of this process, now."""

    sockets: int
    channels: int
    connections_in_use: int
    connections_idle: int
    most_connections: int


class Watch:
    """Looks until cancelled; `is_beating` may be asked by any thread."""

    def __init__(self, look: Callable[[], Numbers]) -> None:
        self._look = look
        self._beaten_at = time.monotonic()

    @property
    def is_beating(self) -> bool:
        return time.monotonic() - self._beaten_at < LONGEST_SILENCE

    async def run(self) -> None:
        while True:
            _show(self._look())
            for _ in range(BEATS_PER_LOOK):
                started = time.monotonic()
                await asyncio.sleep(BEAT)
                self._beaten_at = time.monotonic()
                LOOP_LAG.observe(max(0.0, self._beaten_at - started - BEAT))


def _show(numbers: Numbers) -> None:
    CONNECTIONS.set(numbers.sockets)
    CHANNELS.set(numbers.channels)
    POOL_CONNECTIONS.labels("in_use").set(numbers.connections_in_use)
    POOL_CONNECTIONS.labels("idle").set(numbers.connections_idle)
    POOL_SIZE.set(numbers.most_connections)
