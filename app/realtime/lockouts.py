"""Pauses after wrong passwords: counted in Redis for all processes, and by each alone while Redis is away."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis

from app.errors import RateLimited
from app.realtime.outages import REDIS_FAILURES
from app.settings import LockoutSettings

log = structlog.get_logger(__name__)

PATIENCE: Final = 1.0  # seconds for an answer of Redis
RETRY_PAUSE: Final = 2.0  # seconds without asking Redis again after it failed
REMEMBERED: Final = 10_000  # subjects that one process counts while Redis is away
NETWORK_FORGIVEN: Final = 60.0  # seconds in which one failure of a network is forgiven: many people may be behind it

# A guess counts as wrong from its beginning, so that of many at once no more are looked at than of many in a row.
# KEYS: one hash per subject: `level` (failures that are not forgiven yet), `at`, `until` (both in milliseconds).
# ARGV: for each its free failures and the milliseconds in which one is forgiven; last of all the longest pause.
# Returns for how many milliseconds guesses are refused (0: this one is counted), and for how many after this one.
BEGIN_GUESS: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local longest = tonumber(ARGV[#ARGV])
local levels, wait, pause = {}, 0, 0
for i, key in ipairs(KEYS) do
    local stored = redis.call('HMGET', key, 'level', 'at', 'until')
    local forgiven = math.max(now - (tonumber(stored[2]) or now), 0) / tonumber(ARGV[2 * i])
    levels[i] = math.max((tonumber(stored[1]) or 0) - forgiven, 0)
    wait = math.max(wait, (tonumber(stored[3]) or 0) - now)
end
if wait > 0 then return {wait, 0} end
for i, key in ipairs(KEYS) do
    local level, free = levels[i] + 1, tonumber(ARGV[2 * i - 1])
    local own, beyond = 0, math.ceil(level - 0.000001) - free
    if beyond >= 0 then own = math.min(1000 * 2 ^ math.min(beyond, 40), longest) end
    redis.call('HSET', key, 'level', tostring(level), 'at', now, 'until', now + own)
    redis.call('PEXPIRE', key, math.ceil(math.max(level * tonumber(ARGV[2 * i]), own)))
    pause = math.max(pause, own)
end
return {0, pause}
"""

# KEYS: the same. ARGV: for each its free failures, and how many were none after all (-1: all of them).
TAKE_BACK: Final = """
for i, key in ipairs(KEYS) do
    local free, back = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local level = tonumber(redis.call('HGET', key, 'level') or 0) - back
    if back < 0 or level <= 0 then
        redis.call('DEL', key)
    else
        redis.call('HSET', key, 'level', tostring(level))
        if math.ceil(level - 0.000001) < free then redis.call('HSET', key, 'until', 0) end
    end
end
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What guesses are counted for; `forgiven` is the time in which one failure is."""

    key: str
    free: int
    forgiven: float
    is_network: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """One password that is about to be looked at; `pause` is what follows if it is wrong."""

    subjects: Sequence[Subject]
    pause: timedelta


@dataclass(frozen=True, slots=True)
class _Count:
    level: float
    at: float
    until: float


class Lockouts:
    def __init__(self, redis: Redis, settings: LockoutSettings, *, prefix: str) -> None:
        self._settings = settings
        self._prefix = f"{prefix}{{lockout}}:"  # in braces: one server of a cluster counts them all
        self._begin = redis.register_script(BEGIN_GUESS)
        self._take_back = redis.register_script(TAKE_BACK)
        self._memory: dict[str, _Count] = {}
        self._ask_redis_from = 0.0

    async def begin(self, account: str, *, network: str) -> Guess:
        """Count a guess at `account` (any text that stands for it, known or not) from `network`, empty where unknown.

        Raises:
            RateLimited: there were too many wrong ones; this one is not to be looked at.
        """
        subjects = self._subjects(account, network)
        refused_for, pause = await self._count(subjects)
        if refused_for > 0:
            seconds = math.ceil(refused_for)
            raise RateLimited(
                "Too many wrong passwords. Please wait, or choose a new password by mail.",
                retry_after=timedelta(seconds=seconds),
                retry_after_seconds=seconds,
            )
        return Guess(subjects, timedelta(seconds=pause))

    async def succeed(self, guess: Guess) -> None:
        """It was right: the account's failures are forgotten, and the network has one less."""
        await self._return(guess.subjects, all_of_account=True)

    async def withdraw(self, guess: Guess) -> None:
        """It was not looked at after all."""
        await self._return(guess.subjects, all_of_account=False)

    async def clear(self, account: str) -> None:
        """Whoever it was has proved otherwise to be the owner."""
        await self._return(self._subjects(account, ""), all_of_account=True)

    def _subjects(self, account: str, network: str) -> Sequence[Subject]:
        settings = self._settings
        subjects = [Subject(f"account:{account}", settings.account_failures, settings.longest.total_seconds())]
        if network:
            subjects.append(Subject(f"network:{network}", settings.network_failures, NETWORK_FORGIVEN, is_network=True))
        return subjects

    async def _count(self, subjects: Sequence[Subject]) -> tuple[float, float]:
        """In how many seconds guesses are looked at again (0: this one is counted), and the pause after this one."""
        answer = await self._ask_redis_to_begin(subjects)
        if answer is not None and answer[0] > 0:
            return answer
        counted_here = self._begin_in_memory(subjects)  # so that nobody begins anew when Redis goes away
        is_lost = answer is None or time.monotonic() < self._ask_redis_from
        return counted_here if is_lost else answer or counted_here

    async def _ask_redis_to_begin(self, subjects: Sequence[Subject]) -> tuple[float, float] | None:
        """None while Redis is away."""
        arguments = [number for each in subjects for number in (each.free, each.forgiven * 1000)]
        longest = self._settings.longest.total_seconds() * 1000
        try:
            if time.monotonic() < self._ask_redis_from:
                return None
            async with asyncio.timeout(PATIENCE):
                answer = await self._begin(keys=self._keys(subjects), args=[*arguments, longest])
        except REDIS_FAILURES as error:
            self._lost(error)
            return None
        return int(answer[0]) / 1000, int(answer[1]) / 1000

    async def _return(self, subjects: Sequence[Subject], *, all_of_account: bool) -> None:
        back = {each.key: -1 if all_of_account and not each.is_network else 1 for each in subjects}
        self._return_in_memory(subjects, back)
        arguments = [number for each in subjects for number in (each.free, back[each.key])]
        try:
            if time.monotonic() >= self._ask_redis_from:
                async with asyncio.timeout(PATIENCE):
                    await self._take_back(keys=self._keys(subjects), args=arguments)
        except REDIS_FAILURES as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        self._ask_redis_from = time.monotonic() + RETRY_PAUSE
        log.warning("lockouts.redis_lost", error=repr(error))

    def _keys(self, subjects: Sequence[Subject]) -> list[str]:
        return [self._prefix + each.key for each in subjects]

    # --- the same as the scripts, for this process alone --------------------------------------------------------------

    def _begin_in_memory(self, subjects: Sequence[Subject]) -> tuple[float, float]:
        now = time.monotonic()
        counts = {each: self._memory.get(each.key, _Count(0.0, now, 0.0)) for each in subjects}
        refused_for = max(count.until - now for count in counts.values())
        if refused_for > 0:
            return refused_for, 0.0
        pauses = []
        for each, count in counts.items():
            level = max(count.level - (now - count.at) / each.forgiven, 0.0) + 1
            pauses.append(self._pause(level, each.free))
            self._memory.pop(each.key, None)  # so that the order is that of age
            self._memory[each.key] = _Count(level, now, now + pauses[-1])
        while len(self._memory) > REMEMBERED:
            del self._memory[next(iter(self._memory))]
        return 0.0, max(pauses)

    def _pause(self, level: float, free: int) -> float:
        beyond = _whole(level) - free
        pause = 2.0 ** min(beyond, 40) if beyond >= 0 else 0.0
        return min(pause, self._settings.longest.total_seconds())

    def _return_in_memory(self, subjects: Sequence[Subject], back: Mapping[str, int]) -> None:
        for each in subjects:
            count = self._memory.pop(each.key, None)
            if count is not None and back[each.key] > 0 and count.level > 1:
                level = count.level - 1
                self._memory[each.key] = _Count(level, count.at, count.until if _whole(level) >= each.free else 0.0)


def _whole(level: float) -> int:
    """Failures of which not all is forgiven yet."""
    return math.ceil(level - 1e-6)
