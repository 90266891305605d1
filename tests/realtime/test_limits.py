"""Counting in Redis: by several processes at once, and while Redis hangs, dies and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from app.rates import Budget, parse_rate
from app.realtime import limits
from app.realtime.limits import RateLimits, Use
from app.resources import Resources
from app.settings import Settings
from tests.factories import make_user
from tests.processes import LiveServer
from tests.realtime.nodes import Proxy

ME = "/api/v1/users/me"


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.redis.url.get_secret_value()) as standing_between:
        yield standing_between


@pytest.fixture
async def counts(proxy: Proxy) -> AsyncIterator[RateLimits]:
    async with Redis.from_url(proxy.url, decode_responses=True, socket_timeout=1) as redis:
        yield RateLimits(redis, prefix=f"test-{uuid4().hex}:")


def one(rate: str = "100/hour") -> list[Use]:
    return [Use(Budget.REQUESTS, parse_rate(rate), "ada")]


async def taken(counts: RateLimits) -> tuple[int, float]:
    """How many are left, and how many seconds it took to know."""
    started = time.monotonic()
    return (await counts.take(one())).remaining, time.monotonic() - started


async def test_two_processes_share_their_counts_to_the_last_one(live: LiveServer, start_another):
    a, b = await start_another(RATE_LIMIT_REQUESTS="50/hour"), await start_another(RATE_LIMIT_REQUESTS="50/hour")
    async with live.client() as client:
        ada, grace = await make_user(client), await make_user(client)
    async with a.client() as at_a, b.client() as at_b:
        for door in (at_a, at_b):
            await asyncio.gather(*(door.get("/api/v1/info") for _ in range(8)))  # so that all connections are there
        burst = [door.get(ME, headers=ada.headers) for door in (at_a, at_b) for _ in range(40)]
        answers = await asyncio.gather(*burst)
        assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 30
        left = {int(answer.headers["RateLimit-Remaining"]) for answer in answers if answer.status_code == 200}
        assert left == set(range(50))
        assert (await at_b.get(ME, headers=grace.headers)).headers["RateLimit-Remaining"] == "49"


async def test_a_redis_that_hangs_or_dies_costs_a_quarter_of_a_second_once_and_is_used_when_it_is_back(
    proxy: Proxy, counts: RateLimits, resources: Resources, monkeypatch: pytest.MonkeyPatch
):
    async def left_in_redis() -> int:
        [key] = await resources.foundation.redis.keys(f"{counts._prefix}*")
        return 100 - int(await resources.foundation.redis.hget(key, "current"))

    monkeypatch.setattr(limits, "PAUSE", 1.0)
    assert (await taken(counts))[0] == 99
    for take_away in (proxy.stall, proxy.cut):
        take_away()
        burst = await asyncio.gather(*(taken(counts) for _ in range(20)))
        assert sorted(left for left, _ in burst) == list(range(80, 100)), "it counts alone now"
        assert max(seconds for _, seconds in burst) < limits.PATIENCE + 0.2
        assert max([(await taken(counts))[1] for _ in range(10)]) < 0.05

        await asyncio.sleep(limits.PAUSE)
        again = await asyncio.gather(*(taken(counts) for _ in range(20)))
        assert sum(seconds > 0.05 for _, seconds in again) <= 1, "one of them tries whether Redis is back"

        proxy.restore()
        await asyncio.sleep(limits.PAUSE)
        left, _ = await taken(counts)
        assert left == await left_in_redis(), "it counts for all again"
