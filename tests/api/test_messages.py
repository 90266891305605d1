"""What becomes of messages: over HTTP and over sockets the same, told once to everybody, and kept."""

import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from httpx import AsyncClient, Response

from app.repositories.audit import AuditFilter
from app.resources import Resources
from tests.api.test_sessions import make_room
from tests.factories import User, make_project, make_user, share
from tests.processes import LiveServer
from tests.rooms import Visitor, invite_guest, visit
from tests.rooms import make_room as make_quiet_room

THUMB, HEART = "%F0%9F%91%8D", "%E2%9D%A4"


@pytest.fixture
async def room(client: AsyncClient, owner: User) -> str:
    return (await make_room(client, owner, spirit_mode="off"))["id"]


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as opened:
        yield opened


async def say(client: AsyncClient, headers: dict[str, str], room: str, text: str, **fields: str) -> dict:
    response = await client.post(f"/api/v1/chat/{room}/messages", json={"text": text, **fields}, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def history(client: AsyncClient, user: User, room: str) -> list[dict]:
    response = await client.get(f"/api/v1/chat/{room}/messages?after_seq=0&limit=100", headers=user.headers)
    return response.json()["items"]


async def log(resources: Resources, room: str) -> list[dict]:
    """What somebody who comes back from the beginning is told."""
    async with resources.uow() as uow:
        return [json.loads(frame.text) for frame in await uow.events.list_after(UUID(room), 0, limit=100)]


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_an_edited_message_is_told_once_and_what_it_said_before_is_gone(
    client: AsyncClient, resources: Resources, owner: User, room: str
):
    first = await say(client, owner.headers, room, "the kettel is on")
    path = f"/api/v1/chat/{room}/messages/{first['id']}"
    for text in ("the kettel's on", "the kettle is on", "the kettle is on"):
        edited = await client.patch(path, json={"text": text}, headers=owner.headers)
        assert (edited.status_code, edited.json()["text"], edited.json()["seq"]) == (200, text, 1)
    frames = await log(resources, room)
    assert [frame["type"] for frame in frames] == ["message_received", "message_edited", "message_edited"]
    assert [frame["text"] for frame in frames] == ["the kettle is on", None, "the kettle is on"]
    assert [frame["seq"] for frame in frames] == [1, 2, 3]
    assert frames[2]["message_id"] == first["id"]
    [shown] = await history(client, owner, room)
    assert (shown["text"], shown["deleted_at"]) == ("the kettle is on", None)
    assert shown["edited_at"] == frames[2]["edited_at"] == frames[0]["edited_at"]
    export = await client.get(f"/api/v1/chat/{room}/export", headers=owner.headers)
    assert "kettel" not in export.text

    guest = await invite_guest(client, owner, room)
    assert code_of(await client.patch(path, json={"text": "mine"}, headers=guest)) == (403, "PERMISSION_DENIED")
    for bad in ("", "x" * 501):
        assert code_of(await client.patch(path, json={"text": bad}, headers=owner.headers)) == (422, "VALIDATION_ERROR")
    stale = owner.headers | {"If-Match": '"1"'}
    assert code_of(await client.patch(path, json={"text": "x"}, headers=stale)) == (412, "PRECONDITION_FAILED")


async def test_the_text_of_a_deleted_message_is_nowhere_any_more(
    client: AsyncClient, resources: Resources, owner: User, room: str
):
    said = await say(client, owner.headers, room, "my secret is zanzibar", client_id="1")
    path = f"/api/v1/chat/{room}/messages/{said['id']}"
    await client.patch(path, json={"text": "my secret is zanzibars"}, headers=owner.headers)
    await client.put(f"{path}/reactions/{THUMB}", headers=owner.headers)
    for _ in range(2):
        assert (await client.delete(path, headers=owner.headers)).status_code == 204
    frames = await log(resources, room)
    told = [frame["type"] for frame in frames]
    assert told == ["message_received", "message_edited", "reaction_added", "message_deleted"]
    assert frames[3]["message_id"] == said["id"]
    assert "zanzibar" not in json.dumps(frames)
    [shown] = await history(client, owner, room)
    assert (shown["text"], shown["reactions"], shown["seq"]) == ("", [], 1)
    assert shown["deleted_at"] is not None
    export = await client.get(f"/api/v1/chat/{room}/export", headers=owner.headers)
    assert "zanzibar" not in export.text
    assert [json.loads(line)["deleted_at"] for line in export.text.splitlines()] == [shown["deleted_at"]]
    for response in (
        await client.patch(path, json={"text": "back"}, headers=owner.headers),
        await client.put(f"{path}/reactions/{THUMB}", headers=owner.headers),
        await client.post(
            f"/api/v1/chat/{room}/messages", json={"text": "to it", "reply_to": said["id"]}, headers=owner.headers
        ),
    ):
        assert code_of(response) == (404, "RESOURCE_NOT_FOUND")
    again = await say(client, owner.headers, room, "my secret is zanzibar", client_id="1")
    assert (again["id"], again["text"]) == (said["id"], ""), "a message that was sent again does not come back"


async def test_a_host_deletes_what_others_said_and_nobody_else_does(
    client: AsyncClient, resources: Resources, owner: User
):
    project = await make_project(client, owner)
    room = (await make_room(client, owner, project_id=project["id"], spirit_mode="off"))["id"]
    viewer = await make_user(client, name="Viewer")
    await share(client, owner, project["id"], viewer, "viewer")
    guest = await invite_guest(client, owner, room)
    said = await say(client, guest, room, "something rude")
    path = f"/api/v1/chat/{room}/messages/{said['id']}"
    assert code_of(await client.delete(path, headers=viewer.headers)) == (403, "PERMISSION_DENIED")
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert (await log(resources, room))[-1]["user_id"] == owner.id
    async with resources.uow() as uow:
        entries = await uow.audit.list(AuditFilter(target_id=UUID(said["id"])), before=None, limit=5)
    assert [(entry.action, str(entry.actor_id)) for entry in entries] == [("message.deleted", owner.id)]


async def test_reactions_count_once_for_everybody_and_can_be_taken_back(
    client: AsyncClient, resources: Resources, owner: User, room: str
):
    guest = await invite_guest(client, owner, room)
    said = await say(client, owner.headers, room, "tea?")
    path = f"/api/v1/chat/{room}/messages/{said['id']}"
    seen = await client.get(path, headers=owner.headers)
    for headers, emoji in ((owner.headers, THUMB), (owner.headers, THUMB), (guest, THUMB), (guest, HEART)):
        reacted = await client.put(f"{path}/reactions/{emoji}", headers=headers)
        assert reacted.status_code == 200
    assert [(one["emoji"], len(one["user_ids"])) for one in reacted.json()["reactions"]] == [("👍", 2), ("❤", 1)]
    assert (await history(client, owner, room))[0]["reactions"] == reacted.json()["reactions"]
    fresh = await client.get(path, headers=owner.headers | {"If-None-Match": seen.headers["ETag"]})
    assert fresh.status_code == 200, "a reaction makes another version"
    for _ in range(2):
        assert (await client.delete(f"{path}/reactions/{THUMB}", headers=owner.headers)).status_code == 204
    told = [(frame["type"], frame.get("emoji")) for frame in await log(resources, room)]
    assert told[1:] == [
        ("reaction_added", "👍"),
        ("reaction_added", "👍"),
        ("reaction_added", "❤"),
        ("reaction_removed", "👍"),
    ]
    for bad in ("a%20b", "%00", "x" * 33):
        assert code_of(await client.put(f"{path}/reactions/{bad}", headers=guest)) == (422, "VALIDATION_ERROR"), bad
    for number in range(18):
        assert (await client.put(f"{path}/reactions/e{number}", headers=guest)).status_code == 200
    assert code_of(await client.put(f"{path}/reactions/one-more", headers=guest)) == (409, "CONFLICT")
    assert (await client.put(f"{path}/reactions/{HEART}", headers=owner.headers)).status_code == 200


async def test_a_read_marker_stands_at_a_message_and_only_moves_on(
    client: AsyncClient, resources: Resources, owner: User, room: str
):
    path = f"/api/v1/chat/{room}/read"
    assert (await client.put(path, json={"seq": 5}, headers=owner.headers)).status_code == 204
    assert (await client.get(path, headers=owner.headers)).json() == {"items": []}, "there is nothing to read"
    for number in range(3):
        await say(client, owner.headers, room, str(number))
    for seq in (2, 1, 2, 99, 3, 4):  # the marker's own event has a number, too, and is nothing that is read
        assert (await client.put(path, json={"seq": seq}, headers=owner.headers)).status_code == 204
    markers = await client.get(path, headers=owner.headers)
    assert markers.json() == {"items": [{"user_id": owner.id, "last_read_seq": 3}]}
    read = [(frame["seq"], frame["last_read_seq"]) for frame in await log(resources, room) if frame["type"] == "read"]
    assert read == [(4, 2), (5, 3)]
    assert code_of(await client.put(path, json={"seq": -1}, headers=owner.headers)) == (422, "VALIDATION_ERROR")


async def test_a_reply_names_a_message_of_the_same_room(client: AsyncClient, owner: User, room: str):
    other = (await make_room(client, owner, spirit_mode="off"))["id"]
    first, elsewhere = await say(client, owner.headers, room, "tea?"), await say(client, owner.headers, other, "tea?")
    assert first["reply_to"] is None
    reply = await say(client, owner.headers, room, "yes", reply_to=first["id"])
    assert reply["reply_to"] == first["id"]
    body = {"text": "no", "reply_to": elsewhere["id"]}
    refused = await client.post(f"/api/v1/chat/{room}/messages", json=body, headers=owner.headers)
    assert code_of(refused) == (404, "RESOURCE_NOT_FOUND")
    assert [message["reply_to"] for message in await history(client, owner, room)] == [None, first["id"]]


async def told(visitor: Visitor, *kinds: str) -> list[dict]:
    return [await visitor.next_of(kind) for kind in kinds]


async def test_sockets_change_messages_as_http_does_and_everybody_hears_of_it(live: LiveServer, http: AsyncClient):
    ada = await make_user(http, name="Ada")
    room = await make_quiet_room(http, ada)
    guest = await invite_guest(http, ada, room, name="Grace")
    async with visit(live, room, ada.headers) as first, visit(live, room, guest) as second:
        await first.next_of("user_joined")
        await first.say("the kettel is on")
        said = await second.next_of("message_received")
        message = {"message_id": said["id"]}
        await second.say("yes", reply_to=said["id"])
        await first.send("edit_message", text="the kettle is on", **message)
        await second.send("add_reaction", emoji="👍", **message)
        await second.send("add_reaction", emoji="👍", **message)
        await second.send("remove_reaction", emoji="👍", **message)
        await second.send("mark_read", seq=2)
        await second.send("edit_message", text="mine", **message)
        assert (await second.next_of("error"))["error_code"] == "PERMISSION_DENIED"
        await second.send("add_reaction", emoji="", **message)
        assert (await second.next_of("error"))["error_code"] == "BAD_REQUEST"
        await first.send("delete_message", **message)
        for visitor in (first, second):
            await visitor.next_of("message_deleted")
            numbered = [frame for frame in visitor.frames if "seq" in frame]
            assert sorted(frame["seq"] for frame in numbered) == list(range(1, 8))
            in_order = sorted(numbered, key=lambda frame: frame["seq"])
            assert in_order == numbered
            assert {frame["type"] for frame in in_order} == {
                "message_received",
                "message_edited",
                "reaction_added",
                "reaction_removed",
                "read",
                "message_deleted",
            }
            assert next(frame for frame in in_order if frame.get("text") == "yes")["reply_to"] == said["id"]


async def test_a_client_that_comes_back_is_not_shown_what_was_deleted_meanwhile(live: LiveServer, http: AsyncClient):
    ada = await make_user(http, name="Ada")
    room = await make_quiet_room(http, ada)
    async with visit(live, room, ada.headers) as keeper:  # keeps the room and its recent events in memory
        await keeper.next_of("welcome")
        for number in range(3):
            await keeper.say(f"secret {number}")
        said = [await keeper.next_of("message_received") for _ in range(3)]
        async with visit(live, room, ada.headers, query="?after_seq=0") as early:
            assert await early.hear(3) == ["secret 0", "secret 1", "secret 2"]
        await keeper.send("edit_message", message_id=said[0]["id"], text="nothing")
        await keeper.send("delete_message", message_id=said[1]["id"])
        await keeper.next_of("message_deleted")
        async with visit(live, room, ada.headers, query="?after_seq=0") as late:
            deleted = await late.next_of("message_deleted")
            assert deleted["seq"] == 5
            texts = [frame.get("text") for frame in late.frames if "seq" in frame and frame["type"] != "welcome"]
            assert texts == ["nothing", "", "secret 2", "nothing", None]
