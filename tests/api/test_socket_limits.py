"""What sockets do to those who read too slowly, say too much, or come while a part of the house is away."""

import socket
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from httpx import AsyncClient
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from app.settings import Settings
from tests.factories import User, make_user
from tests.processes import LiveServer, start_server
from tests.realtime.nodes import Proxy, open_node
from tests.rooms import bulky_frame, invite_guest, make_room, visit


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def ada(http: AsyncClient) -> User:
    return await make_user(http, name="Ada")


@pytest.fixture(scope="module")
async def strained(committed_settings: Settings) -> AsyncIterator[tuple[LiveServer, Proxy]]:
    """A second server, of little patience, whose Redis can be taken away."""
    async with (
        Proxy(committed_settings.redis.url.get_secret_value()) as proxy,
        start_server(committed_settings, worker=False, REDIS_URL=proxy.url, RATE_LIMIT_MESSAGES="5/minute") as server,
    ):
        yield server, proxy


def socket_with_small_buffer(server: LiveServer) -> socket.socket:
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect(("127.0.0.1", server.port))
    return opened


async def test_a_slow_reader_is_cut_off_with_4408_slows_nobody_and_comes_back_without_loss(
    live: LiveServer, http: AsyncClient, ada: User, committed_settings: Settings
):
    room = await make_room(http, ada)
    guest = await invite_guest(http, ada, room, name="Sleeper")
    async with (
        visit(live, room, ada.headers) as healthy,
        visit(live, room, guest, sock=socket_with_small_buffer(live), max_queue=1) as sleeper,
        open_node(committed_settings) as elsewhere,
    ):
        await healthy.next_of("user_joined")
        await sleeper.next_of("welcome")
        await healthy.say("first")
        assert await healthy.hear(1) == await sleeper.hear(1) == ["first"]

        async with elsewhere.hub.attach(UUID(room)):
            for _ in range(2000):  # the sleeper reads none of these
                elsewhere.hub.publish(bulky_frame(room))
                if (await healthy.next())["type"] == "user_left":
                    break
        assert healthy.frames[-1]["type"] == "user_left"
        await healthy.say("second")
        assert await healthy.hear(1) == ["second"]
        assert await sleeper.closed() == 4408, "it reads at last, and learns why"
    async with visit(live, room, guest, query="?after_seq=1") as returned:
        assert await returned.hear(1) == ["second"]


async def test_a_flood_is_refused_and_then_cut_off(http: AsyncClient, ada: User, strained: tuple[LiveServer, Proxy]):
    server, _ = strained
    room = await make_room(http, ada)
    async with visit(server, room, ada.headers) as flooding, visit(server, room, ada.headers) as tab:
        for _ in range(40):
            await flooding.send("ping")
        assert await flooding.closed() == 4429
        assert [frame["type"] for frame in flooding.frames].count("pong") == 5
        refusal = next(frame for frame in flooding.frames if frame["type"] == "error")
        assert refusal["error_code"] == "RATE_LIMITED"

        await tab.send("ping")  # the caller is counted, not the connection
        assert (await tab.next_of("error"))["error_code"] == "RATE_LIMITED"


async def test_a_connection_has_a_budget_of_its_own_beside_that_of_its_person(
    http: AsyncClient, ada: User, start_another
):
    server = await start_another(RATE_LIMIT_FRAMES="5/10 second")
    room = await make_room(http, ada)
    async with visit(server, room, ada.headers) as flooding, visit(server, room, ada.headers) as tab:
        for _ in range(8):
            await flooding.send("ping")
        error = await flooding.next_of("error")
        assert (error["error_code"], error["details"]["budget"]) == ("RATE_LIMITED", "frames")
        assert [frame["type"] for frame in flooding.frames].count("pong") == 5
        await tab.send("ping")
        await tab.next_of("pong")


async def test_a_peer_that_is_gone_without_a_goodbye_is_found(
    http: AsyncClient, ada: User, start_another, committed_settings: Settings
):
    """One that reads nothing any more, with writes waiting for it, and one that is silent alone."""
    server = await start_another(REALTIME_HEARTBEAT="1")
    room = await make_room(http, ada)
    guests = [await invite_guest(http, ada, room, name=name) for name in ("Stuck", "Silent")]
    async with visit(server, room, ada.headers) as healthy:
        await healthy.next_of("welcome")
        peers = [open_by_hand(server, room, guest, size) for guest, size in zip(guests, (4096, 1 << 20), strict=True)]
        for _ in peers:
            await healthy.next_of("user_joined")
        async with open_node(committed_settings) as elsewhere, elsewhere.hub.attach(UUID(room)):
            for _ in range(150):  # more than its buffers take, and less than an outbox holds
                elsewhere.hub.publish(bulky_frame(room))
        left = [(await healthy.next_of("user_left"))["user"]["name"] for _ in peers]
        assert sorted(left) == ["Silent", "Stuck"]
        people = await http.get(f"/api/v1/sessions/{room}/participants", headers=ada.headers)
        assert [person["name"] for person in people.json()["items"]] == ["Ada"]
        for peer in peers:
            peer.close()


def open_by_hand(server: LiveServer, room: str, headers: dict[str, str], buffer_size: int) -> socket.socket:
    """A WebSocket whose peer answers no ping, and reads nothing."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_size)
    opened.connect(("127.0.0.1", server.port))
    handshake = {
        "Host": "here",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in handshake.items())
    opened.sendall(f"GET /ws/chat/{room} HTTP/1.1\r\n{lines}\r\n".encode())
    return opened


async def test_messages_count_alike_by_whichever_door_they_come(
    http: AsyncClient, ada: User, strained: tuple[LiveServer, Proxy]
):
    server, _ = strained
    room = await make_room(http, ada)
    async with server.client() as door, visit(server, room, ada.headers) as visitor:
        for _ in range(3):
            path = f"/api/v1/chat/{room}/messages"
            assert (await door.post(path, json={"text": "by HTTP"}, headers=ada.headers)).status_code == 201
        for _ in range(2):
            await visitor.send("ping")
            await visitor.next_of("pong")
        await visitor.send("ping")
        assert (await visitor.next_of("error"))["error_code"] == "RATE_LIMITED"
        assert (await door.post(path, json={"text": "again"}, headers=ada.headers)).status_code == 429


async def test_opening_sockets_is_limited_by_caller_and_for_strangers_by_address(
    http: AsyncClient, ada: User, start_another, committed_settings: Settings
):
    server = await start_another(
        RATE_LIMIT_REQUESTS="3/hour", RATE_LIMIT_FAILURES="2/hour", REDIS_PREFIX=f"{committed_settings.redis.prefix}o:"
    )
    room = await make_room(http, ada)
    for _ in range(3):
        async with visit(server, room, ada.headers) as welcome:
            await welcome.next_of("welcome")
    async with visit(server, room, ada.headers) as refused:
        assert await refused.closed() == 4429
    guess = {"X-API-Key": f"hearth_key_{'a' * 43}"}
    for code in (4401, 4401, 4429):
        async with visit(server, room, guess) as stranger:
            assert await stranger.closed() == code
    async with server.client() as door:
        assert (await door.get("/api/v1/users/me", headers=guess)).status_code == 429
    async with visit(server, room) as silent:  # the third of this address; waits for a first frame
        await silent.send("authenticate", token="x.y.z")
        assert await silent.closed() == 4429
    async with visit(server, room) as silent:
        assert await silent.closed() == 4429


async def test_a_burst_cuts_nobody_off_who_reads(live: LiveServer, http: AsyncClient, ada: User, start_another):
    lenient = await start_another(RATE_LIMIT_ENABLED="false")
    room = await make_room(http, ada)
    ping = WebSocketFrame(Opcode.TEXT, b'{"type": "ping"}').serialize(mask=True)
    async with visit(lenient, room, ada.headers) as visitor:
        await visitor.next_of("welcome")
        visitor.socket.transport.write(ping * 2000)
        for _ in range(2000):
            assert (await visitor.next())["type"] == "pong"


async def test_while_redis_is_away_open_rooms_go_on_and_nobody_enters(
    http: AsyncClient, ada: User, strained: tuple[LiveServer, Proxy]
):
    server, proxy = strained
    room = await make_room(http, ada)
    async with visit(server, room, ada.headers) as inside:
        await inside.next_of("welcome")
        proxy.cut()
        await inside.say("dark in here")
        assert await inside.hear(1) == ["dark in here"]
        await http.post(f"/api/v1/chat/{room}/messages", json={"text": "not here"}, headers=ada.headers)
        assert await inside.hear(1) == ["not here"]
        async with visit(server, room, ada.headers) as outside:
            assert await outside.closed() == 1013
            assert outside.frames[-1]["error_code"] == "SERVICE_UNAVAILABLE"
        proxy.restore()
        frame = {"type": "error"}
        while frame["type"] == "error":
            async with visit(server, room, ada.headers) as outside:
                frame = await outside.next()
        assert (frame["type"], frame["last_seq"]) == ("welcome", 2)
