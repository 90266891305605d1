"""What a connection has to keep to, over real sockets: time, size and form of what comes in."""

import asyncio
import json
import time

import pytest
from websockets.asyncio.client import connect

from tests.factories import make_user
from tests.processes import LiveServer

SECURITY = {
    "content-security-policy",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "x-request-id",
}
PATIENCE = 15.0  # seconds


@pytest.fixture
async def hasty(start_another) -> LiveServer:
    """A server with little patience."""
    return await start_another(HTTP_HEADER_TIMEOUT="0.5", HTTP_BODY_TIMEOUT="1.5", DOCUMENT_MAX_BYTES="3000000")


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def code(self) -> str:
        """Of an error in the contract's form, with every security header."""
        body = json.loads(self.body)
        assert set(body) == {"error", "request_id", "timestamp"}
        assert body["request_id"] == self.headers["x-request-id"]
        assert set(self.headers) >= SECURITY
        return body["error"]["code"]


async def talk(server: LiveServer, *pieces: bytes, pause: float = 0.0) -> Answer:
    """All that the server says until it closes the connection, or until its answer is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sending = asyncio.create_task(send(writer, pieces, pause))
    raw = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while piece := await reader.read(65_536):
                raw += piece
                if is_whole(raw):
                    break
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        writer.close()
    return Answer(raw)


async def send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...], pause: float) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass


def is_whole(raw: bytes) -> bool:
    head, separator, body = raw.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    return bool(separator) and length.isdigit() and len(body) >= int(length)


def request(target: str = "/health/live", *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *([f"Host: {host}"] if host else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health/live HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
        (request("/health/live", "Bad Name: x"), 400),
        (request("/health/live", "X-A: 1\r\n folded"), 400),
        (request("/health/live", "X-A: a\0b"), 400),
        (request("/health/live", "X-A: a\rX-B: b"), 400),
        (request("/h\xe4lth"), 400),
        (request("/documents", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"), 400),
        (request("/documents", "Content-Length: 5", "Content-Length: 6", method="POST"), 400),
        (request("/documents", "Content-Length: -5", method="POST"), 400),
        (request("/documents", "Content-Length: 99999999999999999999999", method="POST"), 400),
        (request("/documents", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
        (request(host=""), 400),
        (request("/health/live", "Host: example.org"), 400),
        (request(host="a b"), 400),
        (request(host="a/../b"), 400),
        (request(host="<script>"), 400),
        (request(host="user@example.org"), 400),
        (request("/?" + "x" * 9_000), 414),
        (request("/health/live", "X-A: " + "x" * 40_000), 431),
        (request("/health/live", *(f"X-{number}: " + "x" * 1_000 for number in range(40))), 431),
        (request("/health/live", *(f"X-{number}: 1" for number in range(150))), 431),
    ],
)
async def test_what_is_no_proper_request_is_refused_in_the_form_of_every_error(live, raw: bytes, status: int):
    answer = await talk(live, raw)
    assert (answer.status, answer.code) == (status, "BAD_REQUEST")
    assert answer.headers["connection"] == "close"


async def test_proper_requests_of_all_kinds_are_served(live):
    whole = request("/health/live", "X-A: " + "x" * 20_000)
    assert (await talk(live, whole)).status == 200
    assert (await talk(live, *(whole[at : at + 500] for at in range(0, len(whole), 500)))).status == 200
    assert (await talk(live, b"GET /health/live HTTP/1.0\r\n\r\n")).status == 200
    assert (await talk(live, b"\r\n\r\n" + request(host="[::1]:8000"))).status == 200
    assert (await talk(live, request("http://example.org/health/live"))).status == 200


async def test_a_head_that_does_not_end_is_not_waited_for(hasty):
    started = time.monotonic()
    nothing, cut, dripping, newlines = await asyncio.gather(
        talk(hasty),
        talk(hasty, request()[:-2]),
        talk(hasty, *(request()[at : at + 1] for at in range(len(request()))), pause=0.1),
        talk(hasty, *[b"\r\n"] * 50, pause=0.1),
    )
    assert time.monotonic() - started < 8
    assert (nothing.status, newlines.status) == (0, 0), "there is no request that could be answered"
    assert (cut.status, cut.code) == (408, "BAD_REQUEST")
    assert (dripping.status, dripping.code) == (408, "BAD_REQUEST")


async def test_a_head_without_end_is_not_collected(hasty):
    endless = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", *[b"x" * 10_000] * 1_000]
    answer = await talk(hasty, *endless, pause=0.001)
    assert (answer.status, answer.code) == (431, "BAD_REQUEST")


async def test_a_body_that_does_not_go_on_is_not_waited_for(hasty):
    async with hasty.client() as client:
        user = await make_user(client)
        register = request(
            "/api/v1/auth/register", "Content-Length: 1000", "Content-Type: application/json", method="POST"
        )
        form = ("Content-Type: multipart/form-data; boundary=b", f"Authorization: Bearer {user.access_token}")
        upload = request("/api/v1/documents", "Content-Length: 90000", *form, method="POST")
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nlamp'
        chunked = request("/api/v1/documents", "Transfer-Encoding: chunked", *form, method="POST")
        started = time.monotonic()
        answers = await asyncio.gather(
            talk(hasty, register),
            talk(hasty, register, *[b" "] * 100, pause=0.1),
            talk(hasty, upload + part),
            talk(hasty, upload, part, *[b"x"] * 100, pause=0.1),
            talk(hasty, chunked, b"%x\r\n%b\r\n" % (len(part), part), *[b"1\r\nx\r\n"] * 100, pause=0.1),
        )
        assert [(answer.status, answer.code) for answer in answers] == [(408, "BAD_REQUEST")] * 5
        assert time.monotonic() - started < 8
        listed = await client.get("/api/v1/documents", headers=user.headers)
        assert listed.json()["items"] == []


async def test_a_slow_but_steady_upload_arrives(hasty):
    async with hasty.client() as client:
        user = await make_user(client)
        content = b"The lamp is lit. " * 8_000
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + content + b"\r\n--b--\r\n"
        )
        head = request(
            "/api/v1/documents",
            f"Content-Length: {len(body)}",
            "Content-Type: multipart/form-data; boundary=b",
            f"Authorization: Bearer {user.access_token}",
            method="POST",
        )
        pieces = [body[at : at + 12_000] for at in range(0, len(body), 12_000)]
        assert (await talk(hasty, head, *pieces, pause=0.15)).status == 202


async def test_what_is_announced_to_be_too_large_is_refused_before_it_comes(hasty):
    async with hasty.client() as client:
        user = await make_user(client)
    authorization = f"Authorization: Bearer {user.access_token}"
    for target, content_type in (
        ("/api/v1/documents", "multipart/form-data; boundary=b"),
        ("/api/v1/ingest", "application/json"),
        ("/api/v1/projects", "application/json"),
    ):
        for extra in ("X-A: 1", "Idempotency-Key: large", "Expect: 100-continue"):
            head = request(
                target, "Content-Length: 50000000", f"Content-Type: {content_type}", authorization, extra, method="POST"
            )
            answer = await talk(hasty, head)  # which would be 408 if the body was waited for
            assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE"), (target, extra)


async def test_an_answer_may_take_longer_than_the_times_for_requests(hasty):
    async with connect(f"{hasty.ws_url}/ws/chat/{'0' * 8}-0000-7000-8000-{'0' * 12}") as socket:
        await asyncio.sleep(1.2)
        await socket.send('{"type": "authenticate", "token": "none"}')
        await socket.wait_closed()
        assert socket.close_code == 4401


async def test_a_connection_serves_one_request_after_the_other(hasty):
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    for pause in (0, 0.9, 0.9):  # between requests the time for a head does not run
        await asyncio.sleep(pause)
        writer.write(request() * 2)
        raw = b""
        async with asyncio.timeout(PATIENCE):
            while raw.count(b'"alive"') < 2:
                piece = await reader.read(65_536)
                assert piece
                raw += piece
    writer.close()


async def test_secure_transport_is_demanded_where_a_trusted_proxy_says_that_it_is_in_use(live, start_another):
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    behind = await start_another(TRUSTED_PROXIES="127.0.0.1")
    async with behind.client() as trusting, live.client() as other:
        for path in ("/health/live", "/docs", "/api/v1/nowhere", "/api/v1/documents"):
            assert "max-age=" in (await trusting.get(path, headers=https)).headers["strict-transport-security"]
            assert "strict-transport-security" not in (await trusting.get(path)).headers
            assert "strict-transport-security" not in (await other.get(path, headers=https)).headers
