"""How often something was done: counted in Redis for all processes, and by each alone while Redis is away."""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

import structlog
from limits import RateLimitItem
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.errors import RateLimited
from app.gathering import Gathering
from app.rates import Budget, written
from app.realtime.outages import REDIS_FAILURES
from app.realtime.patience import patience
from app.realtime.scripts import COUNT
from app.telemetry.meters import LIMIT_REFUSALS, LIMITER_DEGRADED, LIMITER_FALLBACKS

log = structlog.get_logger(__name__)

PATIENCE: Final = 0.25  # seconds for an answer of Redis
PAUSE: Final = 2.0  # seconds without asking Redis again after it failed, so that not every call waits
AT_ONCE: Final = 2  # round trips under way
MOST_TOGETHER: Final = 100  # calls in one
MOST_COUNTS: Final = 50_000  # that are kept in memory while Redis is away; of more, those unused for longest go


@dataclass(frozen=True, slots=True)
class Use:
    """One use, or `cost` uses at once, of the budget that `who` has."""

    budget: Budget
    rate: RateLimitItem
    who: str
    cost: int = 1

    @property
    def key(self) -> str:
        return f"{self.budget}:{self.rate.get_expiry()}:{self.who}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a budget; `reset_after` is when there is more again, or, when refused, when to come back."""

    budget: Budget
    rate: RateLimitItem
    is_refused: bool
    remaining: int
    reset_after: timedelta

    def require(self) -> None:
        """Raises RateLimited: there was nothing left."""
        if self.is_refused:
            raise RateLimited(
                "Too many requests: please slow down."
                if self.budget is not Budget.TOKENS
                else "The language model's tokens are used up for now.",
                retry_after=self.reset_after,
                most=self.rate.amount,
                budget=self.budget.value,
                limit=written(self.rate),
                retry_after_seconds=int(self.reset_after.total_seconds()),
            )


class Counting(StrEnum):
    """`TAKE` in every budget or, when one is used up, in none; `CHARGE` in all, come what may; `LOOK` in none."""

    TAKE = "take"
    CHARGE = "charge"
    LOOK = "look"


Standing = tuple[int, bool, int, int]
"""Of the refusing budget or else the one with least left: its position, whether it refuses, how many uses are left, and
in how many milliseconds there is more."""


class RateLimits:
    """A sliding window made of two counters: uses of this window, and those of the last as far as it still counts."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._prefix = f"{prefix}{{limit}}:"  # in braces: one server of a cluster counts them all
        self._redis = redis
        self._digest = hashlib.sha1(COUNT.encode(), usedforsecurity=False).hexdigest()
        self._memory = MemoryCounts()
        self._ask_redis_from = 0.0
        self._gathering = Gathering(self._count_in_redis, most=MOST_TOGETHER, at_once=AT_ONCE)

    async def take(self, uses: Sequence[Use], counting: Counting = Counting.TAKE) -> Allowance:
        """Count all `uses` at once, of which there is at least one; says what is left of the tightest budget."""
        allowance = _allowance(uses, await self._count(uses, counting))
        if allowance.is_refused and counting is not Counting.CHARGE:
            LIMIT_REFUSALS.labels(allowance.budget.value).inc()
        return allowance

    async def _count(self, uses: Sequence[Use], counting: Counting) -> Standing:
        if time.monotonic() < self._ask_redis_from:
            LIMITER_FALLBACKS.inc()
            return self._memory.count(uses, counting)
        was_lost = self._ask_redis_from > 0.0
        if was_lost:  # one call tries it, and no other waits for the outcome
            self._ask_redis_from = time.monotonic() + PAUSE
        try:
            standing = await self._gathering.ask((uses, counting))
        except REDIS_FAILURES as error:
            self._ask_redis_from = time.monotonic() + PAUSE
            LIMITER_DEGRADED.set(1)
            LIMITER_FALLBACKS.inc()
            log.warning("limits.redis_lost", error=repr(error))
            return self._memory.count(uses, counting)
        if was_lost:
            self._ask_redis_from = 0.0
            LIMITER_DEGRADED.set(0)
            self._memory = MemoryCounts()
        return standing

    async def _count_in_redis(self, calls: Sequence[tuple[Sequence[Use], Counting]]) -> Sequence[Standing]:
        """One round trip; the uses of one call are counted in one go."""
        async with patience(PATIENCE):
            try:
                answers = await self._run_scripts(calls)
            except NoScriptError:  # Redis was started anew; nothing was counted
                await self._redis.script_load(COUNT)
                answers = await self._run_scripts(calls)
        standings = (map(int, answer) for answer in answers)
        return [
            (position - 1, bool(is_refused), remaining, wait) for position, is_refused, remaining, wait in standings
        ]

    async def _run_scripts(self, calls: Sequence[tuple[Sequence[Use], Counting]]) -> Sequence[Sequence[int]]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for uses, counting in calls:
                keys = [self._prefix + use.key for use in uses]
                numbers = [
                    number for use in uses for number in (use.rate.amount, use.rate.get_expiry() * 1000, use.cost)
                ]
                pipeline.execute_command("EVALSHA", self._digest, len(keys), *keys, counting.value, *numbers)
            answers: Sequence[Sequence[int]] = await pipeline.execute()
        return answers


@dataclass(frozen=True, slots=True)
class _Window:
    number: int
    current: int
    previous: int


class MemoryCounts:
    """The same as the script does in Redis, for this process alone."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def count(self, uses: Sequence[Use], counting: Counting) -> Standing:
        now = int(time.time() * 1000)
        windows = [self._window(use, now) for use in uses]
        standings = [
            _standing(index, use, window, now) for index, (use, window) in enumerate(zip(uses, windows, strict=True))
        ]
        tightest = min(standings, key=lambda standing: (not standing[1], standing[2]))
        if counting is Counting.LOOK or (counting is Counting.TAKE and tightest[1]):
            return tightest
        for use, window in zip(uses, windows, strict=True):
            self._put(use.key, _Window(window.number, window.current + use.cost, window.previous))
        index, is_refused, remaining, wait = tightest
        return index, is_refused, max(0, remaining - uses[index].cost), wait

    def _window(self, use: Use, now: int) -> _Window:
        number = now // (use.rate.get_expiry() * 1000)
        there = self._windows.get(use.key)
        if there is None or number - there.number > 1:
            return _Window(number, 0, 0)
        return there if number <= there.number else _Window(number, 0, there.current)

    def _put(self, key: str, window: _Window) -> None:
        self._windows.pop(key, None)  # so that the order is that of use
        self._windows[key] = window
        if len(self._windows) > MOST_COUNTS:
            del self._windows[next(iter(self._windows))]


class ConnectionLimit:
    """What one connection may send, whoever else sends: counted here alone, for no other process sees it."""

    def __init__(self, rate: RateLimitItem) -> None:
        self._use = Use(Budget.FRAMES, rate, "this")
        self._counts = MemoryCounts()

    def take_one(self) -> None:
        """Raises RateLimited."""
        allowance = _allowance([self._use], self._counts.count([self._use], Counting.TAKE))
        if allowance.is_refused:
            LIMIT_REFUSALS.labels(Budget.FRAMES.value).inc()
        allowance.require()


def _allowance(uses: Sequence[Use], standing: Standing) -> Allowance:
    position, is_refused, remaining, milliseconds = standing
    use = uses[position]
    reset_after = timedelta(seconds=max(1, math.ceil(milliseconds / 1000)))
    return Allowance(use.budget, use.rate, is_refused, remaining, reset_after)


def _standing(index: int, use: Use, window: _Window, now: int) -> Standing:
    length = use.rate.get_expiry() * 1000
    left = length - now % length
    remaining = use.rate.amount - window.current - window.previous * left // length
    needed = max(use.cost, 1)
    if remaining >= needed:
        return index, False, remaining, left
    room = use.rate.amount - needed + 1
    if window.current < room:
        wait = left - length * (room - window.current) // max(window.previous, 1)
    else:
        wait = left + length - length * room // max(window.current, 1)
    return index, True, max(0, remaining), max(wait, 0) + 1
