"""Rate limits: on every route, for every caller apart, also while Redis is away."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from app.errors import RateLimited
from app.main import create_app
from app.rates import Budget, parse_rate
from app.realtime.limits import MOST_COUNTS, Counting, MemoryCounts, RateLimits, Use
from app.resources import Resources
from app.settings import RateLimitSettings
from tests.factories import login, make_key, make_user, register, with_limits

ME = "/api/v1/users/me"
EXEMPT = {"/api/v1/health", "/api/v1/metrics"}
HEADERS = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}

Limited = Callable[..., "AsyncIterator[AsyncClient]"]


@pytest.fixture
def limited(resources: Resources) -> Limited:
    """The application with other limits; `redis` may be one that does not answer."""

    @asynccontextmanager
    async def open_client(*, address: str = "127.0.0.1", redis: Redis | None = None, **rates: object):
        settings = RateLimitSettings(**(dict.fromkeys(Budget, "1000/hour") | rates))
        await resources.foundation.redis.flushdb()
        changed = with_limits(resources, settings, redis)
        changed.services.health.begin()  # as a server does when it starts
        transport = ASGITransport(create_app(resources=changed), client=(address, 1234))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client
        await changed.services.health.aclose()

    return open_client


async def test_every_route_has_a_limit_or_is_exempt_on_purpose(client: AsyncClient):
    document = (await client.get("/openapi.json")).json()
    routes = [(path, method) for path, item in document["paths"].items() for method in item if "/api/v1" in path]
    assert len(routes) > 10
    for path, method in routes:
        concrete = re.sub(r"{\w+}", "01900000-0000-7000-8000-000000000000", path)
        response = await client.request(method, concrete)
        has_headers = set(response.headers) >= HEADERS
        assert has_headers is (path not in EXEMPT), (method, path, response.status_code)


async def test_what_is_left_counts_down_and_ends_with_429(limited: Limited, resources: Resources):
    await resources.foundation.embedder.check()  # loads the model, which takes longer than health waits
    async with limited(requests="3/minute") as client:
        for remaining in (2, 1, 0):
            headers = (await client.get("/api/v1/info")).headers
            assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("3", str(remaining))
            assert 1 <= int(headers["RateLimit-Reset"]) <= 60
        refused = await client.get("/api/v1/info")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert 1 <= int(refused.headers["Retry-After"]) <= 120
        assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
        assert (await client.get("/api/v1/health")).status_code == 200
        assert (await client.get("/docs")).status_code == 200


async def test_keys_users_and_addresses_are_counted_apart(limited: Limited):
    async with limited() as client:
        ada, grace = await make_user(client), await make_user(client)
        key = (await make_key(client, ada))["key"]
        other_key = (await make_key(client, ada))["key"]
    callers = [ada.headers, grace.headers, {"X-API-Key": key}, {"Authorization": f"Bearer {other_key}"}]
    async with limited(requests="2/hour") as client:
        for headers in callers:
            assert [(await client.get(ME, headers=headers)).status_code for _ in range(3)] == [200, 200, 429]
        bad = {"Authorization": "Bearer hearth_key_guessed"}
        assert [(await client.get(ME, headers=bad)).status_code for _ in range(3)] == [401, 401, 429]
        assert (await client.get(ME)).status_code == 429  # bad credentials count as the address they come from


async def test_an_ipv6_network_counts_as_one_address(limited: Limited):
    async with limited(requests="2/hour", address="2001:db8::1") as client:
        assert [(await client.get("/api/v1/info")).status_code for _ in range(3)] == [200, 200, 429]
        for address, status in (("2001:db8::ffff", 429), ("2001:db8:0:1::1", 200), ("10.0.0.1", 200)):
            client._transport.client = (address, 1234)
            assert (await client.get("/api/v1/info")).status_code == status, address


async def test_signing_in_has_a_tighter_limit_of_its_own(limited: Limited):
    async with limited(login="3/minute") as client:
        assert (await register(client, "ada@example.com")).status_code == 201
        wrong = await login(client, "ada@example.com", "wrong")
        assert (wrong.status_code, wrong.headers["RateLimit-Limit"]) == (401, "3")
        tokens = await login(client, "ada@example.com")
        assert tokens.headers["RateLimit-Remaining"] == "0"
        for refused in (
            await login(client, "ada@example.com"),
            await login(client, "grace@example.com"),
            await register(client, "grace@example.com"),
            await client.post("/api/v1/auth/refresh", json={"refresh_token": "x"}),
        ):
            assert refused.status_code == 429
        headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        assert (await client.get(ME, headers=headers)).status_code == 200


async def test_limits_can_be_switched_off(limited: Limited):
    async with limited(requests="1/hour", enabled=False) as client:
        for _ in range(3):
            response = await client.get("/api/v1/info")
            assert response.status_code == 200
            assert not set(response.headers) & HEADERS


async def test_while_redis_does_not_answer_each_process_counts_alone(limited: Limited):
    async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        for address in (f"redis://127.0.0.1:{port}", "redis://127.0.0.1:1"):  # hangs, refuses
            async with Redis.from_url(address) as redis, limited(requests="3/hour", redis=redis) as client:
                async with asyncio.timeout(2):
                    answers = [await client.get("/api/v1/info") for _ in range(5)]
                assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
                assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
                assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.fixture
def counts(resources: Resources) -> RateLimits:
    return RateLimits(resources.foundation.redis, prefix=f"test-{uuid4().hex}:")


def use(rate: str, who: str = "ada", *, budget: Budget = Budget.REQUESTS, cost: int = 1) -> Use:
    return Use(budget, parse_rate(rate), who, cost)


async def test_a_budget_is_never_overdrawn_and_comes_back(counts: RateLimits):
    taken = await asyncio.gather(*(counts.take([use("5/second")]) for _ in range(20)))
    assert 5 <= sum(not one.is_refused for one in taken) <= 6  # 6: a second may end in between
    again = await asyncio.gather(*(counts.take([use("5/second")]) for _ in range(6)))
    with pytest.raises(RateLimited) as refused:
        next(one for one in again if one.is_refused).require()
    (await counts.take([use("5/second", "grace")])).require()
    assert 1 <= refused.value.retry_after.total_seconds() <= 2
    await asyncio.sleep(refused.value.retry_after.total_seconds())
    (await counts.take([use("5/second")])).require()


async def test_what_one_budget_refuses_is_not_counted_in_another(counts: RateLimits):
    both = [use("10/hour"), use("1/hour", budget=Budget.LOGIN)]
    first, second = await counts.take(both), await counts.take(both)
    assert (first.budget, first.remaining, first.is_refused) == (Budget.LOGIN, 0, False)
    assert (second.budget, second.is_refused) == (Budget.LOGIN, True)
    assert (await counts.take([use("10/hour")])).remaining == 8


async def test_many_uses_are_charged_at_once_and_a_debt_is_paid_off(counts: RateLimits):
    await asyncio.gather(*(counts.take([use("1000/hour", cost=30)], Counting.CHARGE) for _ in range(20)))
    assert (await counts.take([use("1000/hour")], Counting.LOOK)).remaining == 400
    assert (await counts.take([use("1000/hour", cost=401)])).is_refused
    assert not (await counts.take([use("1000/hour", cost=400)])).is_refused
    indebted = await counts.take([use("2/second", "grace", cost=6)], Counting.CHARGE)
    assert indebted.remaining == 0
    refused = await counts.take([use("2/second", "grace")], Counting.LOOK)
    assert refused.is_refused
    await asyncio.sleep(refused.reset_after.total_seconds())
    assert not (await counts.take([use("2/second", "grace")])).is_refused


async def test_memory_counts_as_redis_does(counts: RateLimits):
    memory = MemoryCounts()
    steps = [
        ([use("3/hour"), use("9/day", budget=Budget.LOGIN)], Counting.TAKE),
        ([use("3/hour", cost=2)], Counting.TAKE),
        ([use("3/hour"), use("9/day", budget=Budget.LOGIN)], Counting.TAKE),
        ([use("9/day", budget=Budget.LOGIN)], Counting.LOOK),
        ([use("9/day", budget=Budget.LOGIN, cost=12)], Counting.CHARGE),
        ([use("9/day", budget=Budget.LOGIN)], Counting.TAKE),
        ([use("0/day", "grace")], Counting.TAKE),
    ]
    for uses, counting in steps:
        [stored], kept = await counts._count_in_redis([(uses, counting)]), memory.count(uses, counting)
        assert stored[:3] == kept[:3]
        assert abs(stored[3] - kept[3]) < 1000


def test_memory_forgets_whoever_was_away_for_longest():
    memory = MemoryCounts()
    memory.count([use("1/day")], Counting.TAKE)
    assert memory.count([use("1/day")], Counting.LOOK)[1]
    for number in range(MOST_COUNTS):
        memory.count([use("1/day", str(number))], Counting.TAKE)
    assert len(memory._windows) == MOST_COUNTS
    assert not memory.count([use("1/day")], Counting.LOOK)[1]
