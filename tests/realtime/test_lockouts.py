"""Pauses after wrong passwords, with Redis and without it."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from app.errors import RateLimited
from app.foundation import Foundation, create_redis
from app.realtime.lockouts import Lockouts
from app.settings import LockoutSettings, RedisSettings

NETWORK = "address:192.0.2.1"
MakeLockouts = Callable[..., Lockouts]


@pytest.fixture(params=["redis", "memory"])
def lockouts(request: pytest.FixtureRequest, foundation: Foundation) -> MakeLockouts:
    prefix = f"{foundation.settings.redis.prefix}{uuid4().hex}:"
    redis = foundation.redis
    if request.param == "memory":
        redis = create_redis(RedisSettings(url="unix:///nowhere/redis.sock"))
    shared = Lockouts(redis, LockoutSettings(), prefix=prefix)

    def make(**settings: object) -> Lockouts:
        shared._settings = LockoutSettings(**{"network_failures": 1000} | settings)
        return shared

    return make


async def waits(lockouts: Lockouts, account: str, network: str = NETWORK) -> int:
    """Seconds until guesses are looked at; 0 when this one is, and is wrong."""
    try:
        await lockouts.begin(account, network=network)
    except RateLimited as refused:
        return int(refused.retry_after.total_seconds())
    return 0


async def test_pauses_grow_up_to_the_longest_and_guesses_within_do_not_count(lockouts: MakeLockouts):
    guesses = lockouts(account_failures=3, longest=timedelta(seconds=1.5))
    pauses = [(await guesses.begin("ada", network=NETWORK)).pause for _ in range(3)]
    assert [pause.total_seconds() for pause in pauses] == [0, 0, 1]
    assert await waits(guesses, "ada") == 1
    assert await waits(guesses, "grace") == 0
    await asyncio.sleep(1.02)
    assert (await guesses.begin("ada", network=NETWORK)).pause == timedelta(seconds=1.5)


async def test_of_a_hundred_guesses_at_once_as_many_are_looked_at_as_are_free(lockouts: MakeLockouts):
    guesses = lockouts()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(waits(guesses, "ada") for _ in range(100)))
    pauses_over = int(time.monotonic() - began)  # on a slow machine
    assert 5 <= outcomes.count(0) <= 5 + pauses_over


async def test_the_right_password_forgets_the_failures_of_the_account(lockouts: MakeLockouts):
    guesses = lockouts()
    for _ in range(4):
        await guesses.begin("ada", network=NETWORK)
    await guesses.succeed(await guesses.begin("ada", network=NETWORK))
    assert [await waits(guesses, "ada") for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    await guesses.clear("ada")
    assert await waits(guesses, "ada") == 0


async def test_what_was_not_looked_at_counts_nowhere(lockouts: MakeLockouts):
    guesses = lockouts(account_failures=1, network_failures=1)
    for _ in range(3):
        await guesses.withdraw(await guesses.begin("ada", network=NETWORK))
    assert await waits(guesses, "ada") == 0
    assert await waits(guesses, "ada") == 1


async def test_a_network_has_failures_of_its_own_over_all_accounts(lockouts: MakeLockouts):
    guesses = lockouts(network_failures=6)
    for number in range(20):  # people who know their passwords
        await guesses.succeed(await guesses.begin(f"person {number}", network=NETWORK))
    assert [await waits(guesses, f"account {number}") for number in range(8)] == [0] * 6 + [1] * 2
    assert await waits(guesses, "account 9", "address:192.0.2.2") == 0
    assert await waits(guesses, "account 10", "") == 0  # from nowhere: the command line


async def test_processes_count_together_and_time_forgives(foundation: Foundation):
    def another(longest: timedelta = timedelta(minutes=15)) -> Lockouts:
        return Lockouts(foundation.redis, LockoutSettings(account_failures=4, longest=longest), prefix=prefix)

    prefix = f"{foundation.settings.redis.prefix}{uuid4().hex}:"
    assert [await waits(another(), "ada") for _ in range(5)] == [0, 0, 0, 0, 1]

    short = timedelta(seconds=0.2)  # so long is the longest pause, and one failure is forgiven in it
    assert [await waits(another(short), "grace") for _ in range(3)] == [0, 0, 0]
    await asyncio.sleep(0.7)
    assert [await waits(another(short), "grace") for _ in range(3)] == [0, 0, 0]


async def test_when_redis_goes_away_guesses_are_counted_on(foundation: Foundation, redis_that_fails: Redis):
    guesses = Lockouts(redis_that_fails, LockoutSettings(account_failures=3), prefix=f"{uuid4().hex}:")
    began = time.monotonic()
    assert [await waits(guesses, "ada") for _ in range(5)] == [0, 0, 0, 1, 1]
    assert time.monotonic() - began < 3


@pytest.fixture
async def redis_that_fails():
    """A server that takes connections and never answers."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = create_redis(RedisSettings(url=f"redis://127.0.0.1:{port}"))
    yield redis
    await redis.aclose()
    server.close()
