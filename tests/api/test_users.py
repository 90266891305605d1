"""What people see and change of their own account."""

from uuid import UUID

import pytest
from httpx import AsyncClient
from pydantic import ValidationError
from sqlalchemy import select

from app.models import User as Account
from app.schemas import users
from app.schemas.users import UserSettingsUpdate
from app.services.callers import Credentials
from tests.factories import execute, make_project

ME = "/api/v1/users/me"


async def test_people_change_their_name_and_their_preferences(client: AsyncClient, owner):
    preferences = {"theme": "dark", "nested": {"none": None, "list": [1, None, "🌍"]}}
    changed = await client.patch(ME, headers=owner.headers, json={"preferences": preferences})
    assert (changed.status_code, changed.json()["preferences"], changed.json()["name"]) == (200, preferences, "Owner")

    await client.patch(ME, headers=owner.headers, json={"name": "  Ada Lovelace "})
    me = (await client.get(ME, headers=owner.headers)).json()
    assert (me["name"], me["preferences"], me["role"]) == ("Ada Lovelace", preferences, "user")
    assert me["updated_at"] > me["created_at"]

    await client.patch(ME, headers=owner.headers, json={"preferences": {}, "about": " Keeper of the lamp.\nAt sea. "})
    me = (await client.get(ME, headers=owner.headers)).json()
    assert (me["preferences"], me["about"], me["email_verified"]) == ({}, "Keeper of the lamp.\nAt sea.", False)


async def test_settings_are_changed_one_by_one_and_only_what_was_set_is_stored(client: AsyncClient, resources, owner):
    async def change(**settings: str | None) -> dict:
        response = await client.patch(ME, headers=owner.headers, json={"settings": settings})
        assert response.status_code == 200, response.text
        return response.json()["settings"]

    nothing = {"language": None, "timezone": None, "default_quality": None, "remember": None}
    assert (await client.get(ME, headers=owner.headers)).json()["settings"] == nothing
    assert await change(language="DE-at", timezone="Europe/Vienna") == nothing | {
        "language": "de-AT",
        "timezone": "Europe/Vienna",
    }
    assert (await change(language="zh-hant-TW"))["timezone"] == "Europe/Vienna"
    assert await change(language=None, default_quality="high") == nothing | {
        "timezone": "Europe/Vienna",
        "default_quality": "high",
    }
    stored = await execute(resources, select(Account.settings).where(Account.id == UUID(owner.id)))
    assert stored == {"timezone": "Europe/Vienna", "default_quality": "high"}


async def test_tasks_that_are_started_without_a_quality_have_ones_own(client: AsyncClient, owner):
    async def start(**fields: str) -> str:
        body = {"task_type": "reingest_project", **fields}
        project = await make_project(client, owner)
        return (await client.post(f"/api/v1/projects/{project['id']}/tasks", json=body, headers=owner.headers)).json()[
            "quality"
        ]

    assert await start() == "standard"
    await client.patch(ME, headers=owner.headers, json={"settings": {"default_quality": "draft"}})
    assert (await start(), await start(quality="high")) == ("draft", "high")


def test_without_time_zone_data_a_name_has_to_look_like_one(monkeypatch):
    monkeypatch.setattr(users, "_known_timezones", frozenset)
    assert UserSettingsUpdate(timezone="America/Argentina/Ushuaia").timezone == "America/Argentina/Ushuaia"
    with pytest.raises(ValidationError):
        UserSettingsUpdate(timezone="../../etc/passwd")


@pytest.mark.parametrize(
    "field",
    ["role", "is_active", "email", "id", "password_hash", "email_verified", "email_verified_at", "created_at"],
)
async def test_nobody_gives_themselves_what_is_not_theirs_to_give(client: AsyncClient, owner, field: str):
    before = (await client.get(ME, headers=owner.headers)).json()
    refused = await client.patch(ME, headers=owner.headers, json={"name": "Eve", field: "admin"})
    assert (refused.status_code, refused.json()["error"]["details"]["errors"][0]["type"]) == (422, "extra_forbidden")
    assert (await client.get(ME, headers=owner.headers)).json() == before


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
        {"about": "x" * 501},
        {"about": "\u202egnp.exe"},
        {"settings": {"language": "english please"}},
        {"settings": {"language": "en-"}},
        {"settings": {"timezone": "Mars/Olympus"}},
        {"settings": {"timezone": "../etc/localtime"}},
        {"settings": {"default_quality": "best"}},
        {"settings": {"theme": "dark"}},
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
