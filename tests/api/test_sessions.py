"""Rooms over HTTP: made, shared by invites, changed and removed."""

from httpx import AsyncClient

from tests.factories import User, make_project, make_user, share


async def make_room(client: AsyncClient, owner: User, **fields: object) -> dict:
    response = await client.post("/api/v1/sessions", json={"name": "Kitchen", **fields}, headers=owner.headers)
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/api/v1/sessions/{response.json()['id']}"
    return response.json()


async def make_invite(client: AsyncClient, owner: User, room: dict, **fields: object) -> str:
    response = await client.post(f"/api/v1/sessions/{room['id']}/invites", json=fields, headers=owner.headers)
    assert response.status_code == 201, response.text
    return response.json()["invite"]


async def test_a_room_belongs_to_the_default_project_unless_told_otherwise(client: AsyncClient, owner: User):
    room = await make_room(client, owner)
    assert (room["max_users"], room["spirit_mode"], room["is_active"]) == (6, "always", True)
    project = await make_project(client, owner)
    other = await make_room(client, owner, project_id=project["id"], spirit_mode="mention", max_users=2)
    assert other["project_id"] == project["id"] != room["project_id"]

    listed = (await client.get("/api/v1/sessions?limit=1", headers=owner.headers)).json()
    assert [item["id"] for item in listed["items"]] == [other["id"]]
    following = await client.get(f"/api/v1/sessions?cursor={listed['next_cursor']}", headers=owner.headers)
    assert [item["id"] for item in following.json()["items"]] == [room["id"]]


async def test_bad_rooms_are_refused_and_nothing_is_made(client: AsyncClient, owner: User):
    for fields in ({"name": ""}, {"name": "x" * 101}, {"max_users": 0}, {"max_users": 1001}, {"spirit_mode": "loud"}):
        response = await client.post("/api/v1/sessions", json={"name": "Kitchen", **fields}, headers=owner.headers)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "VALIDATION_ERROR"), fields
    assert (await client.get("/api/v1/sessions", headers=owner.headers)).json()["items"] == []


async def test_only_editors_change_a_room_and_only_from_what_they_have_seen(client: AsyncClient, owner: User):
    project = await make_project(client, owner)
    room = await make_room(client, owner, project_id=project["id"])
    viewer = await make_user(client, name="Viewer")
    await share(client, owner, project["id"], viewer, "viewer")
    path = f"/api/v1/sessions/{room['id']}"

    seen = await client.get(path, headers=viewer.headers)
    assert seen.json() == room
    refused = await client.patch(path, json={"name": "Mine"}, headers=viewer.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PERMISSION_DENIED")

    etag = {"If-Match": seen.headers["ETag"]}
    assert (await client.get(path, headers=owner.headers | {"If-None-Match": etag["If-Match"]})).status_code == 304
    changed = await client.patch(path, json={"name": "Library"}, headers=owner.headers | etag)
    assert (changed.status_code, changed.json()["name"]) == (200, "Library")
    stale = await client.patch(path, json={"name": "Cellar"}, headers=owner.headers | etag)
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")

    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert (await client.get(path, headers=owner.headers)).status_code == 404


async def test_an_invite_lets_a_guest_into_one_room_alone(client: AsyncClient, owner: User):
    room, other = await make_room(client, owner), await make_room(client, owner)
    invite = await make_invite(client, owner, room)

    joined = (await client.post("/api/v1/sessions/join", json={"invite": invite, "name": "Grace"})).json()
    assert (joined["session"]["id"], joined["user"]["name"], joined["token_type"]) == (room["id"], "Grace", "bearer")
    guest = {"Authorization": f"Bearer {joined['access_token']}"}
    said = await client.post(f"/api/v1/chat/{room['id']}/messages", json={"text": "Hello"}, headers=guest)
    assert (said.status_code, said.json()["user_name"]) == (201, "Grace")

    assert (await client.get(f"/api/v1/sessions/{other['id']}", headers=guest)).status_code == 404
    assert (await client.get(f"/api/v1/chat/{other['id']}/messages", headers=guest)).status_code == 404
    assert (await client.get("/api/v1/documents", headers=guest)).status_code == 403

    again = await client.post("/api/v1/sessions/join", json={"invite": invite, "name": "Mallory"})
    assert (again.status_code, again.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_somebody_with_an_account_joins_as_themselves(client: AsyncClient, owner: User):
    room = await make_room(client, owner)
    friend = await make_user(client, name="Friend")
    path = f"/api/v1/sessions/{room['id']}"
    assert (await client.get(path, headers=friend.headers)).status_code == 404

    invite = await make_invite(client, owner, room)
    joined = await client.post("/api/v1/sessions/join", json={"invite": invite}, headers=friend.headers)
    assert (joined.status_code, joined.json()["access_token"]) == (201, None)
    assert joined.json()["user"] == {"id": friend.id, "name": "Friend"}
    again = await client.post("/api/v1/sessions/join", json={"invite": invite}, headers=friend.headers)
    assert again.status_code == 201, "who is let in already uses nothing up"
    other = await make_user(client, name="Other")
    late = await client.post("/api/v1/sessions/join", json={"invite": invite}, headers=other.headers)
    assert late.status_code == 404
    bad = {"Authorization": "Bearer expired"}
    assert (await client.post("/api/v1/sessions/join", json={"invite": invite}, headers=bad)).status_code == 401
    assert (await client.get(path, headers=friend.headers)).status_code == 200


async def test_nobody_is_in_a_room_before_a_socket_is(client: AsyncClient, owner: User):
    room = await make_room(client, owner)
    response = await client.get(f"/api/v1/sessions/{room['id']}/participants", headers=owner.headers)
    assert response.json() == {"items": []}
