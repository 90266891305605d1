"""Rooms over real sockets of real server processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient

from app.events import Frame, SpiritToken
from app.realtime.state import AnswerState
from app.settings import Settings
from tests.factories import User, make_key, make_user
from tests.processes import LiveServer
from tests.realtime.nodes import open_node
from tests.rooms import invite_guest, make_room, visit


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def ada(http: AsyncClient) -> User:
    return await make_user(http, name="Ada")


async def test_two_people_talk_and_see_each_other_come_and_go(live: LiveServer, http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    grace = await invite_guest(http, ada, room, name="Grace")
    async with visit(live, f"chat/{room}", ada.headers) as first:
        welcome = await first.next()
        assert (welcome["type"], welcome["session_id"], welcome["last_seq"]) == ("welcome", room, 0)
        assert (welcome["you"], welcome["recovered"]) == ({"id": ada.id, "name": "Ada"}, True)
        async with visit(live, room, grace) as second:
            welcome = await second.next_of("welcome")
            assert [person["name"] for person in welcome["participants"]] == ["Ada", "Grace"]
            joined = await first.next_of("user_joined")
            assert (joined["user"]["name"], joined["participants"]) == ("Grace", 2)

            await first.say("good evening", client_id="1")
            heard = [await first.next_of("message_received")]
            await second.say("good evening to you")
            heard.append(await first.next_of("message_received"))
            assert [(frame["seq"], frame["user_name"]) for frame in heard] == [(1, "Ada"), (2, "Grace")]
            assert heard[0]["client_id"] == "1"
            assert await second.hear(2) == ["good evening", "good evening to you"]

            await second.send("typing")
            assert (await first.next_of("typing"))["user"]["name"] == "Grace"
            await second.send("ping")
            assert (await second.next_of("pong"))["session_id"] == room
            assert "typing" not in {frame["type"] for frame in second.frames}
        left = await first.next_of("user_left")
        assert (left["user"]["name"], left["participants"]) == ("Grace", 1)
    history = (await http.get(f"/api/v1/chat/{room}/messages", headers=ada.headers)).json()["items"]
    assert [message["id"] for message in history] == [frame["id"] for frame in reversed(heard)]


async def test_credentials_come_in_every_way_of_the_contract(live: LiveServer, http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    path = f"chat/{room}"
    key = (await make_key(http, ada))["key"]
    ticket = (await http.post("/api/v1/ws-tickets", headers=ada.headers)).json()["ticket"]
    async with visit(live, path, {"X-API-Key": key}) as visitor:
        assert (await visitor.next())["you"]["id"] == ada.id
    async with visit(live, path, query=f"?ticket={ticket}") as visitor:
        assert (await visitor.next())["you"]["id"] == ada.id
    async with visit(live, path, query=f"?ticket={ticket}") as visitor:  # single use
        assert await visitor.closed() == 4401
        assert visitor.frames[0]["error_code"] == "INVALID_CREDENTIALS"
    async with visit(live, path, subprotocols=["hearth.v1", f"bearer.{ada.access_token}"]) as visitor:
        assert visitor.socket.subprotocol == "hearth.v1"
        assert (await visitor.next())["you"]["id"] == ada.id
    async with visit(live, path) as visitor:
        await visitor.send("authenticate", token=ada.access_token)
        assert (await visitor.next())["you"]["id"] == ada.id


async def test_who_may_not_enter_learns_why(live: LiveServer, http: AsyncClient, ada: User):
    room, other = await make_room(http, ada, max_users=1), await make_room(http, ada)
    stranger = await make_user(http, name="Stranger")
    guest = await invite_guest(http, ada, room)
    for headers, path, code in (
        ({"Authorization": "Bearer nonsense"}, f"chat/{room}", 4401),
        (stranger.headers, f"chat/{room}", 4404),
        (stranger.headers, room, 4404),
        (guest, f"chat/{other}", 4404),
        (ada.headers, f"chat/{uuid4()}", 4404),
        (ada.headers, "chat/not-an-id", 4404),
    ):
        async with visit(live, path, headers) as visitor:
            assert await visitor.closed() == code, path
    async with visit(live, f"chat/{room}") as visitor:
        await visitor.say("let me in")
        assert await visitor.closed() == 4401
    async with visit(live, f"chat/{room}", ada.headers) as first, visit(live, f"chat/{room}", ada.headers) as tab:
        await first.next_of("welcome")
        assert len((await tab.next_of("welcome"))["participants"]) == 1  # two tabs of one person
        async with visit(live, f"chat/{room}", guest) as second:
            assert await second.closed() == 4409
            assert second.frames[-1]["error_code"] == "SESSION_FULL"


async def test_bad_frames_are_answered_and_the_connection_lives_on(live: LiveServer, http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    async with visit(live, f"chat/{room}", ada.headers) as visitor:
        await visitor.next_of("welcome")
        for frame, code in (
            ("not json", "BAD_REQUEST"),
            ("[" * 10_000, "BAD_REQUEST"),
            ("null", "BAD_REQUEST"),
            (b"binary", "BAD_REQUEST"),
            (json.dumps({"type": "dance"}), "BAD_REQUEST"),
            (json.dumps({"type": "send_message"}), "BAD_REQUEST"),
            (json.dumps({"type": "send_message", "text": " "}), "VALIDATION_ERROR"),
            (json.dumps({"type": "send_message", "text": "x" * 501}), "VALIDATION_ERROR"),
            (json.dumps({"type": "resume", "after_seq": -1}), "BAD_REQUEST"),
            (json.dumps({"type": "send_message", "text": "x", "client_id": "nul \0 inside"}), "BAD_REQUEST"),
        ):
            await visitor.socket.send(frame)
            error = await visitor.next()
            assert (error["type"], error["error_code"], error["session_id"]) == ("error", code, room), frame
        await visitor.say("x" * 500)
        assert await visitor.hear(1) == ["x" * 500]


async def test_what_is_sent_again_is_acknowledged_to_a_connection_that_never_heard_it(
    live: LiveServer, http: AsyncClient, ada: User
):
    room = await make_room(http, ada)
    path = f"/api/v1/chat/{room}/messages"
    first = await http.post(path, json={"text": "once", "client_id": "1"}, headers=ada.headers)
    async with visit(live, f"chat/{room}", ada.headers) as visitor:
        await visitor.say("once", client_id="1")  # the connection that said it first broke before the answer
        again = await visitor.next_of("message_received")
        assert (again["id"], again["seq"], again["client_id"]) == (first.json()["id"], 1, "1")
        await visitor.say("twice", client_id="2")
        await visitor.say("twice", client_id="2")  # heard already
        await visitor.say("three times", client_id="3")
        assert await visitor.hear(2) == ["twice", "three times"]
    for seen in ("0", "1", "99"):
        async with visit(live, f"chat/{room}", ada.headers, query=f"?after_seq={seen}") as visitor:
            await visitor.say("once", client_id="1")
            await visitor.say(f"seen {seen}")
            while (await visitor.next_of("message_received"))["text"] != f"seen {seen}":
                pass
            heard = [frame["text"] for frame in visitor.frames if frame["type"] == "message_received"]
            assert heard.count("once") == heard.count(f"seen {seen}") == 1


async def test_a_returning_client_gets_exactly_what_it_missed(live: LiveServer, http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    path = f"/api/v1/chat/{room}/messages"
    async with visit(live, f"chat/{room}", ada.headers) as visitor:
        await visitor.next_of("welcome")
        await visitor.say("0")
        assert await visitor.hear(1) == ["0"]
    for number in range(1, 8):
        await http.post(path, json={"text": str(number)}, headers=ada.headers)
    async with visit(live, f"chat/{room}", ada.headers, query="?after_seq=1") as visitor:
        welcome = await visitor.next()
        assert (welcome["last_seq"], welcome["recovered"]) == (8, True)
        await http.post(path, json={"text": "8"}, headers=ada.headers)
        assert await visitor.hear(8) == [str(number) for number in range(1, 9)]
        await visitor.send("resume", after_seq=6)
        assert await visitor.hear(3) == ["6", "7", "8"]
    async with visit(live, f"chat/{room}", ada.headers, query="?after_seq=999") as visitor:
        assert (await visitor.next())["recovered"] is False
    async with visit(live, f"chat/{room}", ada.headers, query="?after_seq=x") as visitor:
        assert await visitor.closed() == 4400


async def test_whoever_joins_in_the_middle_of_an_answer_hears_what_was_said_so_far(
    live: LiveServer, http: AsyncClient, ada: User, committed_settings: Settings
):
    room, question = await make_room(http, ada), uuid4()
    async with open_node(committed_settings) as worker:
        answers = AnswerState(worker.redis, prefix=committed_settings.redis.prefix)

        async def speak(delta: str) -> None:
            offset = await answers.append(UUID(room), question, delta)
            event = SpiritToken(session_id=UUID(room), in_reply_to=question, delta=delta, offset=offset)
            worker.hub.publish(Frame(UUID(room), None, event.model_dump_json()))

        await speak("The kettle ")
        async with visit(live, room, ada.headers) as visitor:
            assert (await visitor.next())["type"] == "welcome"
            assert (await visitor.next())["type"] == "spirit_thinking"
            first = await visitor.next()
            assert (first["delta"], first["offset"], first["in_reply_to"]) == ("The kettle ", 0, str(question))
            await speak("is on.")
            assert (await visitor.next_of("spirit_token"))["delta"] == "is on."


async def test_two_server_processes_are_one_house(live: LiveServer, http: AsyncClient, ada: User, start_another):
    other = await start_another()
    room = await make_room(http, ada)
    guest = await invite_guest(http, ada, room)
    async with visit(live, room, ada.headers) as here, visit(other, room, guest) as there:
        await here.next_of("welcome")
        await there.next_of("welcome")
        for number in range(10):
            await (here if number % 2 else there).say(str(number))
        heard = [await visitor.hear(10) for visitor in (here, there)]
        assert heard[0] == heard[1]
        assert sorted(heard[0]) == [str(number) for number in range(10)]
        people = await http.get(f"/api/v1/sessions/{room}/participants", headers=ada.headers)
        assert [person["name"] for person in people.json()["items"]] == ["Ada", "Guest"]

        other.process.kill()  # without a goodbye: its seats expire
        await other.process.wait()
        await here.say("still here")
        assert await here.hear(1) == ["still here"]


async def test_a_stopping_server_says_so_and_nothing_is_lost(
    live: LiveServer, http: AsyncClient, ada: User, start_another
):
    other = await start_another()
    room = await make_room(http, ada)
    async with visit(other, room, ada.headers) as visitor:
        await visitor.next_of("welcome")
        await visitor.say("before")
        last_seq = (await visitor.next_of("message_received"))["seq"]
        other.process.terminate()
        assert await visitor.closed() == 1012
        assert await asyncio.wait_for(other.process.wait(), 15) is not None
    await http.post(f"/api/v1/chat/{room}/messages", json={"text": "meanwhile"}, headers=ada.headers)
    async with visit(live, room, ada.headers, query=f"?after_seq={last_seq}") as visitor:
        welcome = await visitor.next_of("welcome")
        assert [person["name"] for person in welcome["participants"]] == ["Ada"]
        assert await visitor.hear(1) == ["meanwhile"]


async def test_a_project_tells_what_its_tasks_do(live: LiveServer, http: AsyncClient, ada: User):
    body = {"text": "The lamp is lit at nine.", "title": "Lamp"}
    project = (await http.get("/api/v1/projects", headers=ada.headers)).json()["items"][0]["id"]
    async with visit(live, project, ada.headers) as visitor:
        welcome = await visitor.next_of("welcome")
        assert (welcome["project_id"], welcome["active_tasks"]) == (project, [])
        task = (await http.post("/api/v1/documents", json=body, headers=ada.headers)).json()["task"]
        started = await visitor.next_of("task_started")
        assert (started["task_id"], started["task_type"]) == (task["id"], "ingest_document")
        complete = await visitor.next_of("complete")
        assert (complete["seq"], complete["task_id"]) == (started["seq"] + 1, task["id"])
        assert complete["duration"] > 0
        await visitor.send("start_generation", task_type="unheard_of")
        assert (await visitor.next_of("error"))["error_code"] == "VALIDATION_ERROR"
    stranger = await make_user(http, name="Stranger")
    async with visit(live, project, stranger.headers) as visitor:
        assert await visitor.closed() == 4404
