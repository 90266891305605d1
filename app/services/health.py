"""Is everything there? Answers at once, also while a dependency hangs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.errors import AppError

Status = Literal["healthy", "degraded", "unhealthy"]
Probe = Callable[[], Awaitable[None]]

PATIENCE = timedelta(milliseconds=60)
GRACE = timedelta(seconds=3)
START_PATIENCE = timedelta(seconds=1)
LONGEST_PROBE = timedelta(seconds=10)
LAST_PATIENCE = timedelta(seconds=1)
DEFAULT_FRESHNESS = timedelta(milliseconds=500)
ILL_FRESHNESS = 1.0  # seconds: that something is back is told soon, however dear it is to ask
VITAL = frozenset({"database"})  # without the others the service still does part of its work


@dataclass(frozen=True, slots=True)
class Check:
    """What one probe found; `latency_ms` of the last answer, None while there was none."""

    status: Status
    latency_ms: float | None
    message: str | None = None


class Watched:
    """One dependency. A probe that outlasts our patience goes on alone, so probes never pile up."""

    def __init__(self, probe: Probe, *, fresh_for: timedelta) -> None:
        self._probe = probe
        self._fresh_for = fresh_for.total_seconds()
        self._checked_at = -float("inf")
        self._asked_at = -float("inf")
        self._patient_until = -float("inf")
        self._last = Check("unhealthy", None, "does not answer")
        self._running: asyncio.Task[None] | None = None

    async def check(self) -> Check:
        """The state now; while the answer takes longer than 60 ms, and up to some seconds, the last one.

        So a busy moment is not taken for an outage, and a dependency that hangs is told within those seconds. While
        the server starts, the first answer may take longer: connections are made, models are loaded.
        """
        fresh_for = self._fresh_for if self._last.status == "healthy" else min(self._fresh_for, ILL_FRESHNESS)
        if time.monotonic() - self._checked_at < fresh_for:
            return self._last
        running = self._start()
        await asyncio.wait({running}, timeout=self._patience())
        is_in_time = time.monotonic() - self._asked_at < GRACE.total_seconds()
        return self._last if running.done() or is_in_time else Check("unhealthy", None, "does not answer")

    def begin(self) -> None:
        """Ask for the first time: who wants to know meanwhile waits for it, as nobody could ask before."""
        self._patient_until = time.monotonic() + START_PATIENCE.total_seconds()
        self._start()

    async def aclose(self) -> None:
        """Let what is being asked come to its end: it uses what is closed next."""
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=LAST_PATIENCE.total_seconds())
            self._running.cancel()

    def _patience(self) -> float:
        """Seconds to wait for an answer."""
        has_answered = self._checked_at > -float("inf")
        of_start = 0.0 if has_answered else self._patient_until - time.monotonic()
        return max(PATIENCE.total_seconds(), of_start)

    def _start(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._asked_at = time.monotonic()
            self._running = asyncio.create_task(self._run())
        return self._running

    async def _run(self) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_PROBE.total_seconds()):
                await self._probe()
        except AppError as error:
            self._last = Check("unhealthy", None, error.message)
        except Exception as error:
            self._last = Check("unhealthy", None, type(error).__name__)
        else:
            self._last = Check("healthy", round((time.perf_counter() - started) * 1000, 2))
        self._checked_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class Health:
    status: Status
    checks: Mapping[str, Check]


class HealthService:
    """`probes` by the name of what they look at; each raises when it is not well."""

    def __init__(self, probes: Mapping[str, Probe], *, fresh_for: Mapping[str, timedelta]) -> None:
        self._watched = {
            name: Watched(probe, fresh_for=fresh_for.get(name, DEFAULT_FRESHNESS)) for name, probe in probes.items()
        }

    def begin(self) -> None:
        """Ask everything for the first time, in the background, so that it is known or nearly so when somebody asks."""
        for watched in self._watched.values():
            watched.begin()

    async def aclose(self) -> None:
        await asyncio.gather(*(watched.aclose() for watched in self._watched.values()))

    async def check(self) -> Health:
        checks = await asyncio.gather(*(watched.check() for watched in self._watched.values()))
        by_name = dict(zip(self._watched, checks, strict=True))
        ill = {name for name, check in by_name.items() if check.status != "healthy"}
        status: Status = "unhealthy" if ill & VITAL else "degraded" if ill else "healthy"
        return Health(status, by_name)

    async def check_readiness(self, *, is_stopping: bool) -> Health:
        """The same, and not well as soon as the server is about to stop."""
        health = await self.check()
        if not is_stopping:
            return health
        return Health("unhealthy", {**health.checks, "server": Check("unhealthy", None, "is about to stop")})
