"""What people see and change of their own account."""

from httpx import AsyncClient

from app.services.callers import Credentials

ME = "/api/v1/users/me"


async def test_people_change_their_name_and_their_preferences(client: AsyncClient, owner):
    preferences = {"theme": "dark", "nested": {"list": [1, None, "🌍"]}}
    changed = await client.patch(ME, headers=owner.headers, json={"preferences": preferences})
    assert (changed.status_code, changed.json()["preferences"], changed.json()["name"]) == (200, preferences, "Owner")

    await client.patch(ME, headers=owner.headers, json={"name": "  Ada Lovelace "})
    me = (await client.get(ME, headers=owner.headers)).json()
    assert (me["name"], me["preferences"], me["role"]) == ("Ada Lovelace", preferences, "user")
    assert me["updated_at"] > me["created_at"]

    await client.patch(ME, headers=owner.headers, json={"preferences": {}, "role": "admin", "email": "x@example.com"})
    me = (await client.get(ME, headers=owner.headers)).json()
    assert (me["preferences"], me["role"], me["email"]) == ({}, "user", owner.email)


async def test_what_cannot_be_kept_is_refused(client: AsyncClient, owner):
    for bad in (
        {"name": ""},
        {"name": "x" * 101},
        {"name": "\u0958" * 51},  # one character in two, once it is composed
        {"name": "a\tb"},
        {"preferences": []},
        {"preferences": "dark"},
        {"preferences": {"x": "y" * 17_000}},
        {"preferences": {"x": "\u0000"}},
    ):
        refused = await client.patch(ME, headers=owner.headers, json=bad)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "VALIDATION_ERROR"), bad
    assert (await client.patch(ME, headers=owner.headers, json={})).json()["name"] == "Owner"


async def test_a_change_that_is_based_on_an_old_state_is_refused(client: AsyncClient, owner):
    etag = (await client.get(ME, headers=owner.headers)).headers["ETag"]
    assert (await client.get(ME, headers={**owner.headers, "If-None-Match": etag})).status_code == 304
    conditional = {**owner.headers, "If-Match": etag}
    assert (await client.patch(ME, headers=conditional, json={"name": "First"})).status_code == 200
    stale = await client.patch(ME, headers=conditional, json={"name": "Second"})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")
    assert (await client.get(ME, headers=owner.headers)).json()["name"] == "First"


async def test_a_new_name_is_the_callers_name_at_once(client: AsyncClient, resources, owner):
    callers = resources.services.callers
    assert (await callers.identify(Credentials(bearer=owner.access_token))).name == "Owner"
    await client.patch(ME, headers=owner.headers, json={"name": "Grace"})
    assert (await callers.identify(Credentials(bearer=owner.access_token))).name == "Grace"


async def test_an_account_is_for_its_owner(client: AsyncClient):
    for response in (await client.get(ME), await client.patch(ME, json={"name": "Eve"})):
        assert (response.status_code, response.json()["error"]["code"]) == (401, "NOT_AUTHENTICATED")
        assert response.headers["WWW-Authenticate"] == "Bearer"
