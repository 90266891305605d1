"""Messages that come at the same time are stored together: each as if it had come alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from tests.factories import User, make_user
from tests.processes import LiveServer
from tests.rooms import invite_guest, make_room, visit


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def ada(http: AsyncClient) -> User:
    return await make_user(http, name="Ada")


async def post(http: AsyncClient, room: str, headers: dict[str, str], text: str, **fields: str):
    return await http.post(f"/api/v1/chat/{room}/messages", json={"text": text, **fields}, headers=headers)


async def test_each_room_counts_for_itself_whoever_talks_at_once(http: AsyncClient, ada: User, live: LiveServer):
    rooms = [await make_room(http, ada) for _ in range(4)]
    async with visit(live, rooms[0], ada.headers) as listener:
        await listener.next_of("welcome")
        posts = [post(http, room, ada.headers, f"{number}") for number in range(8) for room in rooms]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {201}
        heard = [await listener.next_of("message_received") for _ in range(8)]
    assert [frame["seq"] for frame in heard] == list(range(1, 9))
    for room in rooms:
        told = {
            answer.json()["seq"]: answer.json()["text"] for answer in answers if answer.json()["session_id"] == room
        }
        listed = (await http.get(f"/api/v1/chat/{room}/messages?after_seq=0", headers=ada.headers)).json()["items"]
        assert [(item["seq"], item["text"]) for item in listed] == sorted(told.items())
        assert sorted(told) == list(range(1, 9))


async def test_what_is_sent_twice_at_once_is_said_once(http: AsyncClient, ada: User):
    room = await make_room(http, ada)
    answers = await asyncio.gather(*(post(http, room, ada.headers, "once", client_id="same") for _ in range(8)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(201, answers[0].json()["id"])}
    again = await post(http, room, ada.headers, "another", client_id="same")
    assert again.json()["text"] == "once"
    assert (await post(http, room, ada.headers, "next")).json()["seq"] == 2


async def test_who_may_not_talk_is_refused_beside_those_who_may(http: AsyncClient, ada: User):
    room, closed = await make_room(http, ada), await make_room(http, ada)
    guest, stranger = await invite_guest(http, ada, room), await make_user(http, name="Stranger")
    await http.patch(f"/api/v1/sessions/{closed}", json={"is_active": False}, headers=ada.headers)
    people = (await post(http, room, guest, "before")).json()
    muting = f"/api/v1/sessions/{room}/participants/{people['user_id']}"
    good, theirs, shut, foreign = await asyncio.gather(
        post(http, room, ada.headers, "mine"),
        post(http, room, stranger.headers, "not mine"),
        post(http, closed, ada.headers, "too late"),
        post(http, closed, guest, "of another room"),
    )
    assert [answer.status_code for answer in (good, theirs, shut, foreign)] == [201, 404, 403, 404]
    assert (await http.patch(muting, json={"is_muted": True}, headers=ada.headers)).is_success
    muted, mine = await asyncio.gather(post(http, room, guest, "hush"), post(http, room, ada.headers, "still mine"))
    assert (muted.status_code, mine.status_code) == (403, 201)


async def test_the_spirit_is_asked_whoever_else_talks(http: AsyncClient, ada: User):
    quiet, answering = await make_room(http, ada), await make_room(http, ada, spirit_mode="mention")
    answers = await asyncio.gather(
        post(http, quiet, ada.headers, "hello @Spirit"),
        post(http, answering, ada.headers, "hello all"),
        post(http, answering, ada.headers, "hello @Spirit"),
    )
    assert {answer.status_code for answer in answers} == {201}
    async with asyncio.timeout(15):
        while True:
            listed = await http.get(f"/api/v1/chat/{answering}/messages?after_seq=0", headers=ada.headers)
            spirits = [item for item in listed.json()["items"] if item["is_spirit"]]
            if spirits:
                break
            await asyncio.sleep(0.1)
    assert [spirit["in_reply_to"] for spirit in spirits] == [answers[2].json()["id"]]
