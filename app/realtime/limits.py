"""How often a caller may do something: counted in Redis for all processes, and by each alone while Redis is away."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import RateLimited
from app.settings import RateLimitSettings

log = structlog.get_logger(__name__)

PATIENCE: Final = 0.25  # seconds for an answer of Redis
PAUSE: Final = 2.0  # seconds without asking Redis again after it failed, so that not every request waits

# A sliding window made of two counters: calls of this window, and those of the last one as far as it still counts.
# KEYS: one hash per budget. ARGV: for each its amount and its window in milliseconds.
# A call is counted in every budget or, when one of them is used up, in none.
# Returns, for the refusing budget or else the one with least left: its position, whether it refuses, how many calls
# are left, and in how many milliseconds there is more.
TAKE_FROM_BUDGETS: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local counts, tightest, refused = {}, nil, 0

for i, key in ipairs(KEYS) do
    local amount, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local number = math.floor(now / window)
    local left = window - now % window
    local stored = redis.call('HMGET', key, 'number', 'current', 'previous')
    local age = number - (tonumber(stored[1]) or number)
    local current, previous = 0, 0
    if age <= 0 then
        current, previous = tonumber(stored[2]) or 0, tonumber(stored[3]) or 0
    elseif age == 1 then
        previous = tonumber(stored[2]) or 0
    end
    local remaining = amount - current - math.floor(previous * left / window)
    counts[i] = {number, current, previous, window}
    if not tightest or remaining < tightest[2] then
        local wait = left
        if current < amount then
            wait = left - math.floor(window * (amount - current) / math.max(previous, 1))
        end
        tightest = {i, remaining, left, math.max(wait, 0) + 1}
    end
end

if tightest[2] < 1 then
    return {tightest[1], 1, 0, tightest[4]}
end
for i, key in ipairs(KEYS) do
    local number, current, previous, window = unpack(counts[i])
    redis.call('HSET', key, 'number', number, 'current', current + 1, 'previous', previous)
    redis.call('PEXPIRE', key, window * 2)
end
return {tightest[1], 0, tightest[2] - 1, tightest[3]}
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """`rate` (such as 600 per minute) of each caller; `name` keeps the counts of different budgets apart."""

    name: str
    rate: RateLimitItem

    @classmethod
    def of(cls, name: str, rate: str) -> "Budget":
        return cls(name, parse(rate))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a budget; `reset_after` is when there is more again, or, when refused, when to come back."""

    budget: Budget
    is_refused: bool
    remaining: int
    reset_after: timedelta

    def require(self) -> None:
        """Raises RateLimited: there was nothing left."""
        if self.is_refused:
            raise RateLimited(
                "Too many requests: please slow down.",
                retry_after=self.reset_after,
                limit=str(self.budget.rate),
                retry_after_seconds=int(self.reset_after.total_seconds()),
            )


class RateLimits:
    def __init__(self, redis: Redis, settings: RateLimitSettings, *, prefix: str) -> None:
        self.messages = Budget.of("messages", settings.messages)
        self.is_enabled = settings.enabled
        self._prefix = f"{prefix}limit:"
        self._script = redis.register_script(TAKE_FROM_BUDGETS)
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._ask_redis_from = 0.0

    async def check(self, budget: Budget, key: str) -> None:
        """Count one use of `budget` by the caller `key`. Raises RateLimited: it is used up."""
        if self.is_enabled:
            (await self.take([(budget, key)])).require()

    async def take(self, wanted: Sequence[tuple[Budget, str]]) -> Allowance:
        """Count one use of every budget, or of none if one of them is used up; says what is left of the tightest."""
        if time.monotonic() >= self._ask_redis_from:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._take_from_redis(wanted)
            except (RedisError, OSError, TimeoutError) as error:
                self._ask_redis_from = time.monotonic() + PAUSE
                log.warning("limits.redis_lost", error=repr(error))
        return await self._take_from_memory(wanted)

    async def _take_from_redis(self, wanted: Sequence[tuple[Budget, str]]) -> Allowance:
        keys = [f"{self._prefix}{budget.name}:{key}" for budget, key in wanted]
        rates = [number for budget, _ in wanted for number in (budget.rate.amount, budget.rate.get_expiry() * 1000)]
        index, is_refused, remaining, reset_ms = await self._script(keys=keys, args=rates)
        reset_after = timedelta(seconds=math.ceil(int(reset_ms) / 1000))
        return Allowance(wanted[int(index) - 1][0], bool(int(is_refused)), int(remaining), reset_after)

    async def _take_from_memory(self, wanted: Sequence[tuple[Budget, str]]) -> Allowance:
        left = []
        for budget, key in wanted:
            is_refused = not await self._memory.hit(budget.rate, budget.name, key)
            state = await self._memory.get_window_stats(budget.rate, budget.name, key)
            reset_after = timedelta(seconds=max(1, math.ceil(state.reset_time - time.time())))
            left.append(Allowance(budget, is_refused, state.remaining, reset_after))
        return min(left, key=lambda allowance: (not allowance.is_refused, allowance.remaining))
