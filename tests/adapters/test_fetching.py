"""What a URL may lead to: the public internet, and nothing of ours."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from app.adapters.addresses import is_acceptable, parse_networks
from app.adapters.fetching import Fetcher, Resolve
from app.errors import AppError, InvalidInput, PayloadTooLarge
from app.settings import FetchSettings
from tests.web_server import Web, answer, certificate_for, start_web

LAMP = b"The lamp is lit at dusk."
MEGABYTE = 1_048_576


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with start_web() as opened:
        yield opened


def settings_for(web: Web, **values: object) -> FetchSettings:
    """Loopback is the internet of these tests."""
    return FetchSettings(**{"allowed_networks": ("127.0.0.0/8",), "ports": (80, 443, web.port), **values})


@asynccontextmanager
async def fetcher_for(settings: FetchSettings, **options: object) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(settings, **options)
    try:
        yield fetcher
    finally:
        fetcher.close()


async def fetch(
    url: str, settings: FetchSettings, *, max_bytes: int = MEGABYTE, **options: object
) -> tuple[str, bytes]:
    async with fetcher_for(settings, **options) as fetcher, fetcher.open(url, max_bytes=max_bytes) as fetched:
        return fetched.filename, b"".join([piece async for piece in fetched.pieces])


async def refusal_of(url: str, settings: FetchSettings, **options: object) -> str:
    with pytest.raises(InvalidInput) as refused:
        await fetch(url, settings, **options)
    assert refused.value.details["errors"][0]["loc"] == ["body", "url"]
    return str(refused.value.details["reason"])


def names(**addresses: list[str]) -> Resolve:
    """A name server that gives these answers, one after the other; the last one for ever."""

    async def resolve(host: str, port: int) -> list[str]:
        given = addresses[host.partition(".")[0]]
        return [given.pop(0) if len(given) > 1 else given[0]]

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2002:7f00:1::1",
        "2001:0:7f00:1::1",
        "2001:db8::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2a00:1450::5efe:7f00:1",
        "nonsense",
    ],
)
def test_addresses_that_are_not_public_are_not_acceptable(address: str):
    assert not is_acceptable(address, ())
    assert all(is_acceptable(public, ()) for public in ("8.8.8.8", "2a00:1450:4001:80b::200e", "64:ff9b::808:808"))


def test_a_network_can_be_allowed():
    allowed = parse_networks(["10.1.0.0/16", "fd00::/8"])
    assert is_acceptable("10.1.2.3", allowed)
    assert is_acceptable("fd12::1", allowed)
    assert not is_acceptable("10.2.0.1", allowed)
    assert not is_acceptable("::ffff:10.1.2.3", allowed)


async def test_a_file_is_fetched_with_a_harmless_name(web: Web):
    web.pages["/a/lamp%20one.txt?x=1"] = answer(LAMP)
    web.pages["/"] = answer(LAMP, Content_Disposition='attachment; filename="../../etc/pass\\wd.txt"')
    web.pages["/coded"] = answer(LAMP, Content_Disposition="attachment; filename*=UTF-8''L%C3%A4mp%0d%0achen.txt")
    assert await fetch(web.url("/a/lamp%20one.txt?x=1#part"), settings_for(web)) == ("lamp one.txt", LAMP)
    assert (await fetch(web.url(), settings_for(web)))[0] == "wd.txt"
    assert (await fetch(web.url("/coded"), settings_for(web)))[0] == "Lämpchen.txt"
    assert "user-agent: hearth/" in web.heads[0].lower()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:80/_x", "scheme"),
        ("ftp://example.org/", "scheme"),
        ("//example.org/", "scheme"),
        ("http:///etc", "malformed"),
        ("http://user@example.org/", "credentials"),
        ("http://:pass@example.org/", "credentials"),
        ("http://example.org:22/", "port"),
        ("http://example.org:0/", "port"),
        ("http://example.org:99999/", "port"),
        ("http://exa mple.org/", "malformed"),
        ("http://example.org\\@127.0.0.1/", "malformed"),
        ("http://127.0.0.1\n.example.org/", "malformed"),
        ("http://127.1/", "malformed"),
        ("http://2130706433/", "malformed"),
        ("http://0x7f000001/", "malformed"),
        ("http://0x7f.0.0.1/", "malformed"),
        ("http://0177.0.0.1/", "malformed"),
        ("http://127.0.0.1./", "malformed"),
        ("http://[fe80::1%25lo]/", "malformed"),
        ("http://[::1]/", "address"),
        ("http://[::ffff:127.0.0.1]/", "address"),
        ("http://[0:0:0:0:0:ffff:7f00:1]/", "address"),
        ("http://127.0.0.1/", "address"),
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://localhost/", "address"),
        ("http://LOCALHOST./", "address"),
        ("http://no-such-host.invalid/", "address"),
        ("http://" + "a." * 200 + "org/", "malformed"),
    ],
)
async def test_urls_that_are_not_acceptable_say_why(url: str, reason: str):
    assert await refusal_of(url, FetchSettings()) == reason


@pytest.mark.parametrize("spelling", ["①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"])
async def test_spellings_of_loopback_in_other_letters_reach_nothing(web: Web, spelling: str):
    settings = FetchSettings(ports=(web.port,))
    assert await refusal_of(web.url(host=spelling), settings) in ("address", "malformed")
    assert web.connections == 0


async def test_an_open_and_a_closed_private_port_look_the_same(web: Web):
    settings = FetchSettings(ports=(web.port, 9))
    answers = []
    for port in (web.port, 9):
        with pytest.raises(AppError) as refused:
            await fetch(f"http://127.0.0.1:{port}/", settings)
        answers.append((refused.value.message, refused.value.details))
    assert answers[0] == answers[1]
    assert web.connections == 0


async def test_a_name_is_resolved_once_and_its_address_is_the_one_that_is_connected_to(web: Web):
    web.pages["/"] = answer(LAMP)
    settings = settings_for(web, allowed_networks=("127.0.0.1/32",))
    switching = names(rebind=["127.0.0.1", "127.0.0.2"])
    assert (await fetch(web.url(host="rebind.test"), settings, resolve=switching))[1] == LAMP
    assert f"Host: rebind.test:{web.port}\r\n" in web.heads[0]
    assert await refusal_of(web.url(host="rebind.test"), settings, resolve=switching) == "address"
    assert web.connections == 1


async def test_one_private_address_among_public_ones_is_one_too_many(web: Web):
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"]

    assert await refusal_of(web.url(host="both.test"), settings_for(web), resolve=both) == "address"
    assert web.connections == 0


async def test_another_address_of_the_name_is_tried_when_one_is_dead(web: Web):
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    web.pages["/"] = answer(LAMP)
    assert (await fetch(web.url(host="two.test"), settings_for(web), resolve=two))[1] == LAMP


async def test_redirects_are_checked_as_the_url_was(web: Web):
    settings = settings_for(web, allowed_networks=("127.0.0.1/32",))
    async with start_web() as canary:
        settings = settings.model_copy(update={"ports": (web.port, canary.port)})
        web.pages["/lamp.txt"] = answer(LAMP)
        web.pages["/there"] = answer(b"", "302 Found", Location="/lamp.txt")
        web.pages["/inside"] = answer(b"", "302 Found", Location=f"http://127.0.0.2:{canary.port}/")
        web.pages["/by-name"] = answer(b"", "307 Temporary Redirect", Location=f"http://inside.test:{canary.port}/")
        web.pages["/file"] = answer(b"", "301 Moved", Location="file:///etc/passwd")
        web.pages["/user"] = answer(b"", "301 Moved", Location=f"http://a:b@127.0.0.1:{web.port}/lamp.txt")
        web.pages["/round"] = answer(b"", "302 Found", Location="/round")
        resolve = names(inside=["127.0.0.2"])
        assert await fetch(web.url("/there"), settings) == ("lamp.txt", LAMP)
        refusals = {
            path: await refusal_of(web.url(path), settings, resolve=resolve)
            for path in web.pages
            if path not in ("/lamp.txt", "/there")
        }
        assert refusals == {
            "/inside": "address",
            "/by-name": "address",
            "/file": "scheme",
            "/user": "credentials",
            "/round": "redirects",
        }
        assert canary.connections == 0


async def test_a_proxy_of_the_environment_is_not_asked(web: Web, monkeypatch: pytest.MonkeyPatch):
    async with start_web() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        web.pages["/"] = answer(LAMP)
        assert (await fetch(web.url(), settings_for(web)))[1] == LAMP
        assert proxy.connections == 0


async def test_the_certificate_must_be_the_names(tmp_path: Path):
    server, believing = certificate_for("lamp.test", tmp_path)
    resolve = names(lamp=["127.0.0.1"], other=["127.0.0.1"])
    async with start_web(server) as web:
        web.pages["/"] = answer(LAMP)
        settings = settings_for(web)
        good = f"https://lamp.test:{web.port}/"
        assert (await fetch(good, settings, resolve=resolve, tls=believing))[1] == LAMP
        other = f"https://other.test:{web.port}/"
        assert await refusal_of(other, settings, resolve=resolve, tls=believing) == "unreachable"
        assert await refusal_of(good, settings, resolve=resolve) == "unreachable"
        assert len(web.heads) == 1


async def test_too_much_ends_as_soon_as_it_is_too_much(web: Web):
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    web.pages["/endless"] = endless
    web.pages["/announced"] = answer(b"").replace(b"Length: 0", b"Length: 9999999999")
    web.pages["/bomb"] = answer(gzip.compress(bytes(300 * MEGABYTE), 1), Content_Encoding="gzip")
    web.pages["/small"] = answer(gzip.compress(LAMP) + gzip.compress(LAMP), Content_Encoding="gzip")
    for path in ("/endless", "/announced", "/bomb"):
        started = time.monotonic()
        with pytest.raises(PayloadTooLarge):
            await fetch(web.url(path), settings_for(web))
        assert time.monotonic() - started < 2, path
    assert (await fetch(web.url("/small"), settings_for(web)))[1] == LAMP * 2


async def test_what_a_server_can_do_wrong_has_an_answer_in_time(web: Web):
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    web.pages |= {
        "/silent": silent,
        "/dripping": dripping,
        "/short": answer(LAMP).replace(b"24", b"240"),
        "/garbage": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "/brotli": answer(LAMP, Content_Encoding="br"),
        "/broken": answer(b"no gzip", Content_Encoding="gzip"),
        "/cut": answer(gzip.compress(LAMP)[:-4], Content_Encoding="gzip"),
        "/lost": answer(LAMP, "404 Not Found"),
        "/partial": answer(LAMP, "206 Partial Content"),
    }
    settings = settings_for(web, timeout=timedelta(seconds=0.6), read_timeout=timedelta(seconds=0.4))
    started = time.monotonic()
    assert {path: await refusal_of(web.url(path), settings) for path in web.pages} == {
        "/silent": "timeout",
        "/dripping": "timeout",
        "/short": "unreachable",
        "/garbage": "unreachable",
        "/brotli": "encoding",
        "/broken": "unreachable",
        "/cut": "unreachable",
        "/lost": "status",
        "/partial": "status",
    }
    assert time.monotonic() - started < 3
    assert (
        await refusal_of(f"http://127.0.0.1:{web.port + 1}/", settings_for(web, ports=(web.port + 1,))) == "unreachable"
    )
