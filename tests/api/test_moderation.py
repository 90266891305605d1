"""What hosts do: mute, let talk again, show out, close and open again; and invites, which they list and revoke."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import func, text, update

from app.models import Invite
from app.resources import Resources
from tests.factories import User, execute, make_project, make_user, share
from tests.processes import LiveServer
from tests.rooms import invite_guest, make_room, visit


@dataclass
class House:
    """A room in a project of Ada's, whose viewer is Vera and whose guest is Gus."""

    http: AsyncClient
    ada: User
    vera: User
    gus: dict[str, str]
    gus_id: str
    room: str

    async def call(self, method: str, path: str, headers: dict[str, str] | None = None, **options: object) -> Response:
        return await self.http.request(method, f"/api/v1{path}", headers=headers or self.ada.headers, **options)

    async def mute(self, user_id: str, *, is_muted: bool = True) -> int:
        path = f"/sessions/{self.room}/participants/{user_id}"
        return (await self.call("PATCH", path, json={"is_muted": is_muted})).status_code

    async def remove(self, user_id: str) -> int:
        return (await self.call("DELETE", f"/sessions/{self.room}/participants/{user_id}")).status_code

    async def invite(self, **fields: int) -> dict:
        response = await self.call("POST", f"/sessions/{self.room}/invites", json=fields)
        assert response.status_code == 201, response.text
        return response.json()

    async def say(self, headers: dict[str, str]) -> Response:
        return await self.call("POST", f"/chat/{self.room}/messages", headers, json={"text": "hello"})

    async def restricted(self) -> list[tuple[str, str]]:
        items = (await self.call("GET", f"/sessions/{self.room}/restrictions")).json()["items"]
        return [(item["user_id"], item["kind"]) for item in items]


async def make_house(http: AsyncClient) -> House:
    ada, vera = await make_user(http, name="Ada"), await make_user(http, name="Vera")
    project = (await make_project(http, ada))["id"]
    await share(http, ada, project, vera, "viewer")
    room = await make_room(http, ada, project_id=project)
    gus = await invite_guest(http, ada, room, name="Gus")
    said = await http.post(f"/api/v1/chat/{room}/messages", json={"text": "hello"}, headers=gus)
    return House(http, ada, vera, gus, said.json()["user_id"], room)


@pytest.fixture
async def house(live: LiveServer) -> AsyncIterator[House]:
    async with live.client() as http:
        yield await make_house(http)


async def test_the_muted_follow_the_room_and_are_told_why_they_cannot_talk(live: LiveServer, house: House):
    async with visit(live, house.room, house.gus) as visitor:
        await visitor.next_of("welcome")
        assert [await house.mute(house.gus_id) for _ in range(2)] == [204, 204]
        muted = await visitor.next_of("participant_muted")
        assert (muted["user_id"], muted["by"]) == (house.gus_id, house.ada.id)
        await visitor.say("let me talk")
        error = await visitor.next_of("error")
        assert (error["error_code"], error["details"]["reason"]) == ("PERMISSION_DENIED", "muted")
        by_http = await house.say(house.gus)
        assert (by_http.status_code, by_http.json()["error"]["details"]["reason"]) == (403, "muted")
        await house.say(house.vera.headers)
        assert await visitor.hear(1) == ["hello"]
        assert await house.restricted() == [(house.gus_id, "muted")]
        assert await house.mute(house.gus_id, is_muted=False) == 204
        assert (await visitor.next_of("participant_unmuted"))["seq"] == muted["seq"] + 2, "each is told once"
        await visitor.say("thank you")
        assert await visitor.hear(1) == ["thank you"]


async def test_a_guest_who_is_removed_is_out_and_the_token_is_good_for_nothing(live: LiveServer, house: House):
    async with visit(live, house.room, house.gus) as visitor, visit(live, house.room, house.ada.headers) as host:
        await visitor.next_of("welcome")
        assert await house.remove(house.gus_id) == 204
        assert (await house.say(house.gus)).status_code == 401
        assert await visitor.closed() in (4401, 4404)
        assert (await host.next_of("participant_removed"))["user_id"] == house.gus_id
        assert (await host.next_of("user_left"))["user"]["name"] == "Gus"
    async with visit(live, house.room, house.gus) as again:
        assert await again.closed() == 4401
    assert (await house.call("GET", f"/sessions/{house.room}", house.gus)).status_code == 401
    assert await house.remove(house.gus_id) == 404


async def test_a_member_who_is_removed_comes_back_by_a_later_invite_alone(live: LiveServer, house: House):
    earlier = await house.invite(max_uses=5)
    path = f"/sessions/{house.room}"
    assert (await house.call("GET", path, house.vera.headers)).status_code == 200
    async with visit(live, house.room, house.vera.headers) as visitor:
        await visitor.next_of("welcome")
        assert await house.remove(house.vera.id) == 204
        assert await visitor.closed() == 4404
    assert (await house.call("GET", path, house.vera.headers)).status_code == 404
    assert house.room not in (await house.call("GET", "/sessions", house.vera.headers)).text
    refused = await house.call("POST", "/sessions/join", house.vera.headers, json={"invite": earlier["invite"]})
    assert refused.status_code == 404
    listed = (await house.call("GET", f"{path}/invites")).json()["items"]
    assert [item["uses_left"] for item in listed] == [5], "a join that is refused uses nothing up"
    later = await house.invite()
    joined = await house.call("POST", "/sessions/join", house.vera.headers, json={"invite": later["invite"]})
    assert joined.status_code == 201
    assert (await house.call("GET", path, house.vera.headers)).status_code == 200
    assert await house.restricted() == []


async def test_hosts_are_neither_muted_nor_removed_and_strangers_are_not_there(house: House):
    stranger = await make_user(house.http, name="Stranger")
    for act in (house.mute, house.remove):
        assert await act(house.ada.id) == 409
        assert await act(stranger.id) == 404
    for headers in (house.vera.headers, house.gus):
        path = f"/sessions/{house.room}/participants/{house.vera.id}"
        assert (await house.call("DELETE", path, headers)).status_code == 403
    assert await house.restricted() == []


async def test_a_closed_room_sends_everybody_out_until_it_is_opened_again(live: LiveServer, house: House):
    async with visit(live, house.room, house.gus) as visitor:
        await visitor.next_of("welcome")
        closed = await house.call("PATCH", f"/sessions/{house.room}", json={"is_active": False})
        assert closed.status_code == 200
        updated = await visitor.next_of("session_updated")
        assert updated["is_active"] is False
        assert await visitor.closed() == 4403
    async with visit(live, house.room, house.gus) as early:
        assert await early.closed() == 4403
    assert (await house.call("PATCH", f"/sessions/{house.room}", json={"is_active": True})).status_code == 200
    async with visit(live, house.room, house.gus, query=f"?after_seq={updated['seq']}") as back:
        assert (await back.next_of("session_updated"))["is_active"] is True
        await back.say("here again")
        assert await back.hear(1) == ["here again"]


async def test_what_hosts_do_is_in_the_audit_log(client: AsyncClient, resources: Resources, admin: User):
    house = await make_house(client)
    await house.mute(house.gus_id)
    await house.mute(house.gus_id, is_muted=False)
    await house.remove(house.gus_id)
    await house.call("PATCH", f"/sessions/{house.room}", json={"is_active": False, "name": "Cellar"})
    await house.call("PATCH", f"/sessions/{house.room}", json={"name": "Attic"})
    entries = await client.get(f"/api/v1/admin/audit?target_id={house.room}", headers=admin.headers)
    assert [entry["action"] for entry in reversed(entries.json()["items"])] == [
        "session.invite_created",
        "session.participant_muted",
        "session.participant_unmuted",
        "session.participant_removed",
        "session.changed",
    ]
    assert entries.json()["items"][0]["details"] == {"is_active": False}


async def test_invites_are_listed_without_their_secret_and_revoked(client: AsyncClient, owner: User):
    house = await make_house(client)
    made = [await house.invite(max_uses=uses) for uses in (1, 3)]
    path = f"/sessions/{house.room}/invites"
    listed = await house.call("GET", path)
    assert [(item["id"], item["uses_left"]) for item in listed.json()["items"]] == [
        (made[1]["id"], 3),
        (made[0]["id"], 1),
    ]
    assert made[0]["invite"] not in listed.text
    page = (await house.call("GET", f"{path}?limit=1")).json()
    following = (await house.call("GET", f"{path}?limit=1&cursor={page['next_cursor']}")).json()
    assert [item["id"] for item in following["items"]] == [made[0]["id"]]

    assert (await house.call("DELETE", f"{path}/{made[0]['id']}")).status_code == 204
    assert (await house.call("DELETE", f"{path}/{made[0]['id']}")).status_code == 404
    refused = await client.post("/api/v1/sessions/join", json={"invite": made[0]["invite"], "name": "Late"})
    good = await client.post("/api/v1/sessions/join", json={"invite": made[1]["invite"], "name": "In time"})
    assert (refused.status_code, good.status_code) == (404, 201)
    for headers in (house.vera.headers, house.gus, owner.headers):
        assert (await house.call("GET", path, headers)).status_code in (403, 404)


async def test_an_invite_that_has_expired_is_neither_listed_nor_good(client: AsyncClient, resources: Resources):
    house = await make_house(client)
    invite = await house.invite(expires_in=60)
    past = update(Invite).values(expires_at=func.now() - text("interval '1 second'"))
    await execute(resources, past)
    assert (await house.call("GET", f"/sessions/{house.room}/invites")).json()["items"] == []
    late = await client.post("/api/v1/sessions/join", json={"invite": invite["invite"], "name": "Late"})
    assert late.status_code == 404
