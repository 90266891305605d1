"""Rooms as Server-Sent Events, from a live server: what the socket promises, without a socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient

from app.events import Frame, SpiritToken
from app.realtime.state import AnswerState
from app.settings import Settings
from tests.factories import PASSWORD, User, make_key, make_user
from tests.processes import LiveServer
from tests.realtime.nodes import open_node
from tests.rooms import bulky_frame, follow, invite_guest, make_room, visit


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def ada(http: AsyncClient) -> User:
    return await make_user(http, name="Ada")


async def say(http: AsyncClient, user: User, room: str, *texts: str) -> None:
    for text in texts:
        response = await http.post(f"/api/v1/chat/{room}/messages", json={"text": text}, headers=user.headers)
        assert response.status_code == 201, response.text


async def test_a_follower_hears_what_a_socket_hears_and_is_no_participant(
    live: LiveServer, http: AsyncClient, ada: User
):
    room = await make_room(http, ada, max_users=1)
    guest = await invite_guest(http, ada, room)
    async with visit(live, room, ada.headers) as speaker, follow(http, room, guest) as follower:
        welcome = await follower.next()
        assert (welcome["type"], welcome["last_seq"], welcome["recovered"]) == ("welcome", 0, True)
        await speaker.next_of("welcome")
        present = await http.get(f"/api/v1/sessions/{room}/participants", headers=guest)
        assert [person["name"] for person in present.json()["items"]] == ["Ada"]
        await speaker.say("good evening")
        heard = await speaker.next_of("message_received")
        assert await follower.next_of("message_received") == heard
        await speaker.send("typing")
        assert (await follower.next_of("typing"))["user"]["name"] == "Ada"
        await speaker.send("delete_message", message_id=heard["id"])
        await follower.next_of("message_deleted")
        told = {frame["type"]: number for frame, number in zip(follower.frames, follower.ids, strict=True)}
        told.pop("user_joined", None)  # the speaker, who may have been there before
        assert told == {"welcome": 0, "message_received": 1, "typing": None, "message_deleted": 2}
    assert follower.response.headers["content-type"].startswith("text/event-stream")
    assert follower.response.headers["cache-control"] == "no-cache"
    assert "user_joined" not in {frame["type"] for frame in speaker.frames}


async def test_whoever_comes_back_gets_exactly_what_it_missed(http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    await say(http, ada, room, "1", "2", "3")
    async with follow(http, room, ada.headers) as follower:
        assert (await follower.next())["last_seq"] == 3
        assert follower.ids == [3], "whoever hears nothing more comes back with this"
    for query, last_event_id, missed in (
        ("", 0, ["1", "2", "3"]),
        ("?after_seq=1", None, ["2", "3"]),
        ("?after_seq=0", 2, ["3"]),
        ("", 3, []),
    ):
        async with follow(http, room, ada.headers, query=query, last_event_id=last_event_id) as follower:
            assert (await follower.next())["recovered"] is True
            assert await follower.hear(len(missed)) == missed
    async with follow(http, room, ada.headers, last_event_id=99) as follower:
        assert (await follower.next())["recovered"] is False
        await say(http, ada, room, "4")
        assert await follower.hear(1) == ["4"]
        assert follower.ids == [3, 4]
    bad = await http.get(f"/api/v1/chat/{room}/events", headers=ada.headers | {"Last-Event-ID": "x"})
    assert bad.status_code == 422


async def test_every_credential_of_a_reader_opens_a_stream_and_no_other(http: AsyncClient, ada: User, live: LiveServer):
    room = await make_room(http, ada)
    key = {"X-API-Key": (await make_key(http, ada, scopes=["read"]))["key"]}
    async with live.client() as browser:
        form = {"username": ada.email, "password": PASSWORD}
        assert (await browser.post("/api/v1/auth/session", data=form)).status_code == 200
        async with follow(browser, room, {}) as by_cookie, follow(http, room, key) as by_key:
            assert (await by_cookie.next())["you"]["id"] == (await by_key.next())["you"]["id"] == ada.id
    stranger = await make_user(http, name="Stranger")
    for headers, status in (({}, 401), (stranger.headers, 404)):
        assert (await http.get(f"/api/v1/chat/{room}/events", headers=headers)).status_code == status
    await http.patch(f"/api/v1/sessions/{room}", json={"is_active": False}, headers=ada.headers)
    assert (await http.get(f"/api/v1/chat/{room}/events", headers=ada.headers)).status_code == 403


async def test_whoever_loses_the_right_is_told_so_and_the_stream_ends(http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    guest = await invite_guest(http, ada, room)
    async with follow(http, room, guest) as follower, follow(http, room, ada.headers) as host:
        you = (await follower.next())["you"]["id"]
        path = f"/api/v1/sessions/{room}/participants/{you}"
        assert (await http.delete(path, headers=ada.headers)).status_code == 204
        last = await follower.closed()
        assert (last["type"], last["details"]["close_code"]) in (("error", 4401), ("error", 4404))
        assert (await host.next_of("participant_removed"))["user_id"] == you
    assert (await http.get(f"/api/v1/chat/{room}/events", headers=guest)).status_code in (401, 404)


async def test_whoever_joins_in_the_middle_of_an_answer_hears_what_was_said_so_far(
    http: AsyncClient, ada: User, committed_settings: Settings
):
    room, question = await make_room(http, ada), uuid4()
    async with open_node(committed_settings) as worker:
        answers = AnswerState(worker.redis, prefix=committed_settings.redis.prefix)

        async def speak(delta: str) -> None:
            offset = await answers.append(UUID(room), question, delta)
            event = SpiritToken(session_id=UUID(room), in_reply_to=question, delta=delta, offset=offset)
            worker.hub.publish(Frame(UUID(room), None, event.model_dump_json()))

        await speak("The kettle ")
        async with follow(http, room, ada.headers) as follower:
            assert (await follower.next_of("spirit_token"))["delta"] == "The kettle "
            await speak("is on.")
            assert (await follower.next_of("spirit_token"))["delta"] == "is on."
            assert follower.ids == [0, None, None, None]


async def test_a_slow_reader_is_cut_off_slows_nobody_and_comes_back_without_loss(
    live: LiveServer, http: AsyncClient, ada: User, committed_settings: Settings
):
    room = await make_room(http, ada)
    await say(http, ada, room, "first")
    bulky = bulky_frame(room)
    sleeper = socket.socket()
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.connect(("127.0.0.1", live.port))
    head = f"GET /api/v1/chat/{room}/events HTTP/1.1\r\nHost: here\r\nAuthorization: {ada.headers['Authorization']}"
    sleeper.sendall(f"{head}\r\n\r\n".encode())
    async with follow(http, room, ada.headers) as healthy, open_node(committed_settings) as elsewhere:
        await healthy.next_of("welcome")
        async with elsewhere.hub.attach(UUID(room)):
            for _ in range(1200):  # the sleeper reads none of these
                elsewhere.hub.publish(bulky)
                await healthy.next_of("typing")
        await say(http, ada, room, "second")
        assert await healthy.hear(1) == ["second"]
    sleeper.settimeout(15)
    received = b""
    while more := await asyncio.to_thread(sleeper.recv, 1_000_000):  # until the server has given it up
        received += more
    assert len(received) < 600 * len(bulky.text)
    sleeper.close()
    async with follow(http, room, ada.headers, last_event_id=1) as returned:
        assert await returned.hear(1) == ["second"]


async def test_a_stopping_server_ends_its_streams_at_once(http: AsyncClient, ada: User, start_another):
    other = await start_another()
    room = await make_room(http, ada)
    async with other.client() as door, follow(door, room, ada.headers) as follower:
        await follower.next_of("welcome")
        other.process.terminate()
        assert (await follower.closed())["details"]["close_code"] == 1012
        assert await asyncio.wait_for(other.process.wait(), 8) is not None
