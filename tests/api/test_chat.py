"""What is said in rooms, over HTTP."""

import asyncio
import json
from uuid import uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import delete, func, select

from app.models import Task
from app.models import User as UserRow
from app.resources import Resources
from tests.api.test_sessions import make_invite, make_room
from tests.factories import User, execute, make_user
from tests.processes import LiveServer


async def say(client: AsyncClient, user: User, room: dict, text: str, **fields: str):
    path = f"/api/v1/chat/{room['id']}/messages"
    return await client.post(path, json={"text": text, **fields}, headers=user.headers)


async def texts(client: AsyncClient, user: User, room: dict, query: str = "") -> list[str]:
    response = await client.get(f"/api/v1/chat/{room['id']}/messages{query}", headers=user.headers)
    return [message["text"] for message in response.json()["items"]]


async def join_as_guest(client: AsyncClient, owner: User, room: dict, name: str) -> dict[str, str]:
    invite = await make_invite(client, owner, room)
    joined = await client.post("/api/v1/sessions/join", json={"invite": invite, "name": name})
    return {"Authorization": f"Bearer {joined.json()['access_token']}"}


async def test_messages_are_numbered_and_listed(client: AsyncClient, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    for number in range(5):
        said = (await say(client, owner, room, f"  message {number} ")).json()
        assert (said["seq"], said["text"], said["user_name"]) == (number + 1, f"message {number}", "Owner")
        assert (said["is_spirit"], said["citations"]) == (False, [])

    newest = ["message 4", "message 3", "message 2", "message 1", "message 0"]
    assert await texts(client, owner, room) == newest
    assert await texts(client, owner, room, "?after_seq=3") == ["message 3", "message 4"]
    assert await texts(client, owner, room, "?before_seq=3") == ["message 1", "message 0"]

    read, cursor = [], ""
    while cursor is not None:
        query = f"?limit=2&cursor={cursor}" if cursor else "?limit=2"
        page = await client.get(f"/api/v1/chat/{room['id']}/messages{query}", headers=owner.headers)
        read += [message["text"] for message in page.json()["items"]]
        cursor = page.json()["next_cursor"]
    assert read == newest


async def test_the_same_client_id_makes_no_second_message(client: AsyncClient, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    first = await say(client, owner, room, "once", client_id="a")
    again = await say(client, owner, room, "once", client_id="a")
    other = await say(client, owner, room, "twice", client_id="b")
    assert (first.json(), again.status_code) == (again.json(), 201)
    assert other.json()["seq"] == 2
    assert await texts(client, owner, room) == ["twice", "once"]


async def test_the_same_client_id_at_once_makes_one_message_and_no_gap(live: LiveServer):
    async with live.client() as client:
        owner = await make_user(client, name="Owner")
        room = await make_room(client, owner, spirit_mode="off")
        answers = await asyncio.gather(*(say(client, owner, room, "once", client_id="a") for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert (await say(client, owner, room, "next")).json()["seq"] == 2


async def test_a_message_outlives_its_author(client: AsyncClient, resources: Resources, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    for name in ("Grace", "Edsger"):
        guest = await join_as_guest(client, owner, room, name)
        await client.post(f"/api/v1/chat/{room['id']}/messages", json={"text": name, "client_id": "1"}, headers=guest)
    await execute(resources, delete(UserRow).where(UserRow.role == "guest"))
    response = await client.get(f"/api/v1/chat/{room['id']}/messages", headers=owner.headers)
    assert [(said["user_name"], said["user_id"]) for said in response.json()["items"]] == [
        ("Edsger", None),
        ("Grace", None),
    ]


@pytest.mark.parametrize(
    ("mode", "text", "is_asked"),
    [
        ("always", "good evening", True),
        ("off", "@Spirit good evening", False),
        ("mention", "good evening", False),
        ("mention", "good evening, @sPIRIT!", True),
        ("mention", "write to me@spirit.example, not to @spirits", False),
    ],
)
async def test_the_spirit_is_asked_when_its_mode_says_so(
    client: AsyncClient, resources: Resources, owner: User, mode: str, text: str, is_asked: bool
):
    room = await make_room(client, owner, spirit_mode=mode)
    await say(client, owner, room, text)
    asked = select(func.count()).where(Task.serial_key == f"session:{room['id']}", Task.is_internal)
    assert await execute(resources, asked) == is_asked


@pytest.mark.parametrize("text", ["", "   \n", "x" * 501, "nul \0 inside"])
async def test_a_bad_message_is_refused_and_nothing_is_said(client: AsyncClient, owner: User, text: str):
    room = await make_room(client, owner)
    response = await say(client, owner, room, text)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert await texts(client, owner, room) == []


async def test_a_client_id_that_cannot_be_stored_is_refused(client: AsyncClient, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    response = await say(client, owner, room, "hello", client_id="nul \0 inside")
    assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert await texts(client, owner, room) == []


async def test_a_closed_room_can_be_read_but_nothing_more_is_said(client: AsyncClient, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    await say(client, owner, room, "good night")
    await client.patch(f"/api/v1/sessions/{room['id']}", json={"is_active": False}, headers=owner.headers)
    response = await say(client, owner, room, "one more thing")
    assert (response.status_code, response.json()["error"]["code"]) == (403, "PERMISSION_DENIED")
    assert await texts(client, owner, room) == ["good night"]


async def test_a_stranger_hears_nothing(client: AsyncClient, owner: User):
    room = await make_room(client, owner)
    stranger = await make_user(client, name="Stranger")
    for response in (
        await client.get(f"/api/v1/chat/{room['id']}/messages", headers=stranger.headers),
        await client.get(f"/api/v1/chat/{room['id']}/export", headers=stranger.headers),
        await say(client, stranger, room, "hello?"),
        await client.get(f"/api/v1/chat/{uuid4()}/messages", headers=owner.headers),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_a_conversation_can_be_taken_along(client: AsyncClient, owner: User):
    room = await make_room(client, owner, spirit_mode="off")
    for text in ("first", "second"):
        await say(client, owner, room, text)
    response = await client.get(f"/api/v1/chat/{room['id']}/export", headers=owner.headers)
    assert [json.loads(line)["text"] for line in response.text.splitlines()] == ["first", "second"]
    assert "attachment" in response.headers["Content-Disposition"]


async def test_a_room_that_is_removed_while_people_talk_is_not_found(live: LiveServer):
    async with live.client() as client:
        owner = await make_user(client)
        for _ in range(3):
            room = await make_room(client, owner, spirit_mode="off")
            removing = client.delete(f"/api/v1/sessions/{room['id']}", headers=owner.headers)
            saying = [say(client, owner, room, f"message {number}") for number in range(20)]
            statuses = {response.status_code for response in await asyncio.gather(*saying, removing)}
            assert statuses <= {201, 204, 404}, statuses
