"""Projects: who sees them, who changes them, with whom they are shared."""

import asyncio

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, select

from app.main import create_app
from app.models import Channel
from app.resources import Resources
from app.services.callers import Credentials
from tests.factories import User, execute, make_project, make_user, share

PROJECTS = "/api/v1/projects"


def outcome(response) -> tuple[int, str | None]:
    return response.status_code, response.json().get("error", {}).get("code") if response.content else None


@pytest.fixture
async def friend(client: AsyncClient, owner: User) -> User:
    return await make_user(client, name="Friend")


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> dict:
    return await make_project(client, owner)


async def default_of(client: AsyncClient, user: User) -> dict:
    items = (await client.get(PROJECTS, headers=user.headers)).json()["items"]
    return next(item for item in items if item["is_default"])


async def members_of(client: AsyncClient, user: User, project_id: str) -> dict[str, str]:
    page = await client.get(f"{PROJECTS}/{project_id}/members", headers=user.headers)
    return {member["user_id"]: member["role"] for member in page.json()["items"]}


async def test_a_project_is_its_makers(client: AsyncClient, owner, admin):
    made = await client.post(PROJECTS, headers=owner.headers, json={"name": " Lighthouse ", "description": "At sea"})
    body = made.json()
    assert (made.status_code, body["name"], body["description"], body["role"]) == (
        *(201, "Lighthouse", "At sea", "owner"),
    )
    location = made.headers["Location"]
    shown = await client.get(location, headers=owner.headers)
    assert shown.json() == body
    assert shown.headers["ETag"] == made.headers["ETag"]
    assert await members_of(client, owner, body["id"]) == {owner.id: "owner"}
    for method in ("GET", "PATCH", "DELETE"):
        content = {"json": {"name": "Mine"}} if method == "PATCH" else {}
        refused = await client.request(method, location, headers=admin.headers, **content)
        assert outcome(refused) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.get(location)) == (401, "NOT_AUTHENTICATED")


async def test_a_project_is_changed_by_its_owners_alone(client: AsyncClient, owner, friend, project):
    path = f"{PROJECTS}/{project['id']}"
    for role in ("viewer", "editor"):
        await share(client, owner, project["id"], friend, role)
        assert (await client.get(path, headers=friend.headers)).json()["role"] == role
        for method, content in (("PATCH", {"json": {"name": "Mine"}}), ("DELETE", {})):
            refused = await client.request(method, path, headers=friend.headers, **content)
            assert outcome(refused) == (403, "PERMISSION_DENIED")
    changed = await client.patch(path, headers=owner.headers, json={"description": "New"})
    assert (changed.json()["name"], changed.json()["description"]) == ("Lighthouse", "New")
    await share(client, owner, project["id"], friend, "owner")
    assert (await client.patch(path, headers=friend.headers, json={"name": "Ours"})).json()["name"] == "Ours"


async def test_a_change_that_is_based_on_an_old_state_is_refused(client: AsyncClient, owner, project):
    path = f"{PROJECTS}/{project['id']}"
    etag = (await client.get(path, headers=owner.headers)).headers["ETag"]
    conditional = {**owner.headers, "If-Match": etag}
    assert outcome(await client.patch(path, headers=conditional, json={"name": "One"})) == (200, None)
    assert outcome(await client.patch(path, headers=conditional, json={"name": "Two"})) == (412, "PRECONDITION_FAILED")
    assert outcome(await client.delete(path, headers=conditional)) == (412, "PRECONDITION_FAILED")
    assert (await client.get(path, headers=owner.headers)).json()["name"] == "One"


async def test_a_deleted_project_is_gone_with_its_log_and_the_default_one_stays(
    client: AsyncClient, resources: Resources, owner, friend, project
):
    await share(client, owner, project["id"], friend, "editor")
    assert outcome(await client.delete(f"{PROJECTS}/{project['id']}", headers=owner.headers)) == (204, None)
    for user in (owner, friend):
        gone = await client.get(f"{PROJECTS}/{project['id']}", headers=user.headers)
        assert outcome(gone) == (404, "RESOURCE_NOT_FOUND")
    assert await execute(resources, select(func.count()).where(Channel.id == project["id"])) == 0
    default = await default_of(client, owner)
    assert outcome(await client.delete(f"{PROJECTS}/{default['id']}", headers=owner.headers)) == (409, "CONFLICT")


async def test_own_and_shared_projects_are_listed_the_newest_first(client: AsyncClient, owner, friend, project):
    second = await make_project(client, owner, name="Second")
    await make_project(client, friend, name="Not shared")
    await share(client, owner, second["id"], friend, "viewer")
    default = await default_of(client, owner)
    page = (await client.get(PROJECTS, headers=owner.headers, params={"limit": 2})).json()
    assert [item["id"] for item in page["items"]] == [second["id"], project["id"]]
    rest = (await client.get(PROJECTS, headers=owner.headers, params={"cursor": page["next_cursor"]})).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == ([default["id"]], None)
    seen = (await client.get(PROJECTS, headers=friend.headers)).json()["items"]
    assert {item["name"]: item["role"] for item in seen} == {
        "Not shared": "owner",
        "Second": "viewer",
        "My project": "owner",
    }


async def test_sharing_adds_a_member_once_and_then_changes_the_role(client: AsyncClient, owner, friend, project):
    members = f"{PROJECTS}/{project['id']}/members"

    async def put(email: str, role: str, by: User = owner):
        return await client.post(members, headers=by.headers, json={"email": email, "role": role})

    added = await put(friend.email.upper(), "viewer")
    expected = {"user_id": friend.id, "name": "Friend", "email": friend.email, "role": "viewer"}
    assert (added.status_code, added.json()) == (201, expected)
    assert (await put(friend.email, "editor")).status_code == 200
    assert await members_of(client, friend, project["id"]) == {owner.id: "owner", friend.id: "editor"}

    assert outcome(await put("nobody@example.com", "viewer")) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await put(friend.email, "king")) == (422, "VALIDATION_ERROR")
    assert outcome(await put(owner.email, "viewer", by=friend)) == (403, "PERMISSION_DENIED")
    stranger = await make_user(client, name="Stranger")
    assert outcome(await put(stranger.email, "owner", by=stranger)) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.get(members, headers=stranger.headers)) == (404, "RESOURCE_NOT_FOUND")


async def test_members_are_removed_by_owners_and_may_leave(client: AsyncClient, owner, friend, project):
    members = f"{PROJECTS}/{project['id']}/members"
    other = await make_user(client, name="Other")
    await share(client, owner, project["id"], friend, "editor")
    await share(client, owner, project["id"], other, "viewer")
    refused = await client.delete(f"{members}/{other.id}", headers=friend.headers)
    assert outcome(refused) == (403, "PERMISSION_DENIED")
    assert outcome(await client.delete(f"{members}/{other.id}", headers=owner.headers)) == (204, None)
    again = await client.delete(f"{members}/{other.id}", headers=owner.headers)
    assert outcome(again) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.delete(f"{members}/{friend.id}", headers=friend.headers)) == (204, None)
    gone = await client.get(f"{PROJECTS}/{project['id']}", headers=friend.headers)
    assert outcome(gone) == (404, "RESOURCE_NOT_FOUND")


async def test_the_last_owner_neither_leaves_nor_steps_down(client: AsyncClient, owner, friend, project):
    members = f"{PROJECTS}/{project['id']}/members"
    step_down = {"headers": owner.headers, "json": {"email": owner.email, "role": "viewer"}}
    await share(client, owner, project["id"], friend, "editor")
    assert outcome(await client.delete(f"{members}/{owner.id}", headers=owner.headers)) == (409, "CONFLICT")
    assert outcome(await client.post(members, **step_down)) == (409, "CONFLICT")

    await share(client, owner, project["id"], friend, "owner")
    assert outcome(await client.post(members, **step_down)) == (200, None)
    assert (await client.get(f"{PROJECTS}/{project['id']}", headers=friend.headers)).json()["owner_id"] == friend.id
    assert outcome(await client.delete(f"{members}/{friend.id}", headers=friend.headers)) == (409, "CONFLICT")


async def test_a_default_project_can_be_shared_but_not_left(client: AsyncClient, owner, friend):
    default = await default_of(client, owner)
    await share(client, owner, default["id"], friend, "owner")
    for by in (owner, friend):
        refused = await client.delete(f"{PROJECTS}/{default['id']}/members/{owner.id}", headers=by.headers)
        assert outcome(refused) == (409, "CONFLICT")
    assert (await default_of(client, owner))["role"] == "owner"


async def test_of_two_owners_who_leave_at_once_one_stays(committed: Resources):
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        one, other = await make_user(client), await make_user(client)
        for _ in range(3):
            project = await make_project(client, one)
            await share(client, one, project["id"], other, "owner")
            leaving = (
                client.delete(f"{PROJECTS}/{project['id']}/members/{user.id}", headers=user.headers)
                for user in (one, other)
            )
            answers = await asyncio.gather(*leaving)
            assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_a_project_needs_a_name(client: AsyncClient, owner):
    for bad in ({"name": ""}, {"name": "x" * 101}, {"name": "x", "description": "y" * 2001}, {}):
        assert outcome(await client.post(PROJECTS, headers=owner.headers, json=bad)) == (422, "VALIDATION_ERROR"), bad


async def test_services_find_a_project_or_the_callers_default_in_one_question(
    client: AsyncClient, resources: Resources, owner, friend, project
):
    await share(client, owner, project["id"], friend, "viewer")
    actor = await resources.services.callers.identify(Credentials(bearer=friend.access_token))
    foreign = (await default_of(client, owner))["id"]
    async with resources.uow() as uow:
        shared = await uow.projects.get_visible_or_default(actor, project["id"])
        default = await uow.projects.get_visible_or_default(actor, None)
        assert await uow.projects.get_visible_or_default(actor, foreign) is None
    assert (str(shared.id), shared.role) == (project["id"], "viewer")
    assert (default.is_default, str(default.owner_id), default.role) == (True, friend.id, "owner")
