"""A server that is told to stop: no more traffic, then no more connections, and nothing that was begun is lost."""

import asyncio
import json
import signal
import time

import pytest
from httpx import HTTPError

from tests.factories import make_user
from tests.rooms import make_room, visit
from tests.test_server import request, talk

DRAIN = 2.0  # seconds


async def test_readiness_falls_first_then_sockets_are_closed_and_what_was_begun_ends(start_another):
    server = await start_another(DRAIN_SECONDS=str(DRAIN))
    async with server.client() as client:
        user = await make_user(client)
        room = await make_room(client, user)
        assert (await client.get("/health/ready")).status_code == 200
        async with visit(server, f"chat/{room}", user.headers) as visitor:
            slow = asyncio.create_task(slow_upload(server, user.access_token, seconds=DRAIN + 1.5))
            await asyncio.sleep(0.3)
            told = time.monotonic()
            server.process.send_signal(signal.SIGTERM)

            async with asyncio.timeout(1):
                while (ready := await client.get("/health/ready")).status_code == 200:
                    pass
            assert ready.json()["checks"]["server"]["message"] == "is about to stop"
            assert ready.headers["connection"] == "close", "the next request finds another server"
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/api/v1/users/me", headers=user.headers)).status_code == 200
            await visitor.say("Still here?")
            assert (await visitor.next_of("message_received"))["text"] == "Still here?"
            assert time.monotonic() - told < DRAIN, "too slow a machine for this test"

            assert await visitor.closed() == 1012
            assert DRAIN - 0.1 < time.monotonic() - told < DRAIN + 2
        with pytest.raises(HTTPError):
            await client.get("/health/live")
        answer = await slow
        assert answer.status == 202, answer
    assert await asyncio.wait_for(server.process.wait(), 5) in (0, -signal.SIGTERM)


async def slow_upload(server, token: str, *, seconds: float):
    part = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"The lamp is lit. " * 2_000
    )
    body = part + b"\r\n--b--\r\n"
    head = request(
        "/api/v1/documents",
        f"Content-Length: {len(body)}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Authorization: Bearer {token}",
        method="POST",
    )
    count = 20
    pieces = [body[at : at + len(body) // count + 1] for at in range(0, len(body), len(body) // count + 1)]
    return await talk(server, head, *pieces, pause=seconds / count)


async def test_a_second_signal_does_not_wait(start_another):
    server = await start_another(DRAIN_SECONDS="60")
    server.process.send_signal(signal.SIGTERM)
    async with server.client() as client, asyncio.timeout(5):
        while json.loads((await client.get("/health/ready")).content)["status"] != "unhealthy":
            pass
    server.process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(server.process.wait(), 5)
