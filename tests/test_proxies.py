"""Whom the server takes its callers for, with proxies in front of it and with such as only pretend to be some."""

from collections.abc import AsyncIterator, Sequence

import pytest

from app.settings import Settings
from tests.processes import LiveServer, start_server

INFO = "/api/v1/info"
FORWARDED = "X-Forwarded-For"


@pytest.fixture(scope="module")
async def proxied(committed_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server that believes this machine, and a network of proxies."""
    trusted = {"TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8,2001:db8:ffff::/48"}
    prefix = {"REDIS_PREFIX": f"{committed_settings.redis.prefix}proxied:"}
    async with start_server(
        committed_settings, worker=False, RATE_LIMIT_REQUESTS="1000/hour", **trusted, **prefix
    ) as server:
        yield server


async def left_for(server: LiveServer, *headers: tuple[str, str]) -> int:
    """How many requests the caller has left, after one more."""
    async with server.client() as client:
        response = await client.get(INFO, headers=list(headers))
    return int(response.headers["RateLimit-Remaining"])


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("198.51.100.1", ["198.51.100.1"]),
        ("198.51.100.2", ["192.0.2.7, 198.51.100.2"]),  # the left one may be invented
        ("198.51.100.3", ["192.0.2.8, 198.51.100.3, 10.1.2.3"]),
        ("198.51.100.4", ["192.0.2.9", "198.51.100.4, 10.0.0.1", "2001:db8:ffff::1"]),
        ("198.51.100.5", ["198.51.100.5:4711"]),
        ("198.51.100.6", ["::ffff:198.51.100.6"]),
        ("2001:db8:1::", ["[2001:db8:1::77]:443"]),
        ("2001:db8:2::", ["2001:db8:2::abcd"]),
        ("10.9.9.9", ["10.9.9.9, 10.0.0.2"]),  # a proxy that calls for itself
        ("10.0.0.3", ["192.0.2.10, <script>, 10.0.0.3"]),
        ("127.0.0.1", ["unknown"]),
    ],
)
async def test_the_right_most_address_counts_that_is_no_trusted_proxy(
    proxied: LiveServer, address: str, values: Sequence[str]
):
    before = await left_for(proxied, (FORWARDED, address))
    assert await left_for(proxied, *[(FORWARDED, value) for value in values]) == before - 1


async def test_other_headers_and_other_spellings_reset_nothing(proxied: LiveServer, live: LiveServer):
    caller = (FORWARDED, "203.0.113.1")
    before = await left_for(proxied, caller)
    disguises = [
        ("User-Agent", "somebody else"),
        ("X-Real-IP", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-Host", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
    ]
    for number, disguise in enumerate(disguises, 1):
        assert await left_for(proxied, caller, disguise) == before - number
    begun = await left_for(live)
    for number, disguise in enumerate([*disguises, caller, (FORWARDED, "192.0.2.2")], 1):
        assert await left_for(live, disguise) == begun - number, "nobody is trusted here"


async def test_https_is_believed_of_trusted_proxies_alone(proxied: LiveServer, live: LiveServer):
    for server, values, is_secure in (
        (proxied, ["https"], True),
        (proxied, ["https, http"], False),
        (proxied, ["http", "https"], True),
        (proxied, ["gopher"], False),
        (live, ["https"], False),
    ):
        async with server.client() as client:
            headers = [("X-Forwarded-Proto", value) for value in values]
            response = await client.get(INFO, headers=headers)
        assert ("Strict-Transport-Security" in response.headers) is is_secure, values
