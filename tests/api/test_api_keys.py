"""API keys: made, used, limited by scope and time, taken away."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select, update

from app.errors import InvalidCredentials
from app.main import create_app
from app.models import APIKey
from app.resources import Resources
from app.services.api_keys import MOST_KEYS
from app.services.callers import Credentials
from tests.factories import execute, make_key, make_user, with_fresh_accounts

KEYS, ME = "/api/v1/api-keys", "/api/v1/users/me"


def outcome(response) -> tuple[int, str | None]:
    return response.status_code, response.json().get("error", {}).get("code")


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_a_key_is_shown_once_and_stands_for_its_maker(client: AsyncClient, owner):
    response = await client.post(KEYS, headers=owner.headers, json={"name": "backup"})
    made = response.json()
    assert (response.status_code, made["scopes"], made["expires_at"]) == (201, ["read", "write"], None)
    assert made["key"].startswith(made["prefix"])
    assert made["prefix"].startswith("hearth_key_")
    for headers in ({"X-API-Key": made["key"]}, {"Authorization": f"Bearer {made['key']}"}):
        assert (await client.get(ME, headers=headers)).json()["id"] == owner.id

    shown = await client.get(response.headers["Location"], headers=owner.headers)
    listed = (await client.get(KEYS, headers=owner.headers)).json()["items"]
    assert listed == [shown.json()]
    assert made["key"] not in shown.text
    assert "digest" not in shown.text
    assert shown.json()["last_used_at"] is not None


async def test_a_key_does_what_its_scopes_say(client: AsyncClient, owner, admin):
    read = {"X-API-Key": (await make_key(client, owner, scopes=["read"]))["key"]}
    write = {"X-API-Key": (await make_key(client, owner, scopes=["write"]))["key"]}
    assert outcome(await client.get(ME, headers=read)) == (200, None)
    assert outcome(await client.patch(ME, headers=read, json={"name": "Eve"})) == (403, "PERMISSION_DENIED")
    assert outcome(await client.patch(ME, headers=write, json={"name": "Eve"})) == (200, None)
    assert outcome(await client.get(ME, headers=write)) == (403, "PERMISSION_DENIED")

    async def grant(headers: dict[str, str], *scopes: str):
        return outcome(await client.post(KEYS, headers=headers, json={"name": "more", "scopes": scopes}))

    assert await grant(write, "write") == (201, None)
    assert await grant(write, "read", "write") == (403, "PERMISSION_DENIED")
    assert await grant(owner.headers, "read", "admin") == (403, "PERMISSION_DENIED")
    assert await grant(admin.headers, "read", "admin") == (201, None)
    assert await grant(owner.headers) == (422, "VALIDATION_ERROR")
    assert await grant(owner.headers, "everything") == (422, "VALIDATION_ERROR")


async def test_a_key_ends_at_its_time(client: AsyncClient, resources: Resources, owner):
    for bad in (in_days(-1), in_days(40_000), "soon", "2040-01-01T00:00:00", "9999-12-31T23:59:59-14:00"):
        refused = await client.post(KEYS, headers=owner.headers, json={"name": "x", "expires_at": bad})
        assert outcome(refused) == (422, "VALIDATION_ERROR"), bad
    key = await make_key(client, owner, expires_at=in_days(1))
    headers = {"X-API-Key": key["key"]}
    assert (await client.get(ME, headers=headers)).status_code == 200
    key = await make_key(client, owner, expires_at=in_days(1))
    await execute(resources, update(APIKey).values(expires_at=APIKey.created_at - timedelta(days=1)))
    assert outcome(await client.get(ME, headers={"X-API-Key": key["key"]})) == (401, "TOKEN_EXPIRED")


async def test_a_deleted_key_stops_working_at_once(client: AsyncClient, owner):
    key = await make_key(client, owner)
    headers = {"X-API-Key": key["key"]}
    assert (await client.get(ME, headers=headers)).status_code == 200
    assert (await client.delete(f"{KEYS}/{key['id']}", headers=owner.headers)).status_code == 204
    assert outcome(await client.get(ME, headers=headers)) == (401, "INVALID_CREDENTIALS")
    assert outcome(await client.delete(f"{KEYS}/{key['id']}", headers=owner.headers)) == (404, "RESOURCE_NOT_FOUND")


async def test_somebody_elses_key_is_not_found(client: AsyncClient, owner, admin):
    key = await make_key(client, owner)
    for method in ("GET", "DELETE"):
        refused = await client.request(method, f"{KEYS}/{key['id']}", headers=admin.headers)
        assert outcome(refused) == (404, "RESOURCE_NOT_FOUND")
    assert (await client.get(KEYS, headers=admin.headers)).json() == {"items": [], "next_cursor": None}
    assert (await client.get(ME, headers={"X-API-Key": key["key"]})).status_code == 200


async def test_keys_are_listed_in_pages_the_newest_first(client: AsyncClient, owner):
    made = [(await make_key(client, owner, name=f"key {number}"))["id"] for number in range(5)]
    seen, cursor = [], {}
    while cursor is not None:
        page = (await client.get(KEYS, headers=owner.headers, params={"limit": 2, **cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert seen == made[::-1]


async def test_nobody_has_more_than_fifty_keys_not_even_two_at_once(committed: Resources):
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        owner = await make_user(client)
        for _ in range(MOST_KEYS - 1):
            await make_key(client, owner)
        request = {"headers": owner.headers, "json": {"name": "the last"}}
        last = await asyncio.gather(*(client.post(KEYS, **request) for _ in range(3)))
        assert sorted(outcome(response) for response in last) == [(201, None), (409, "CONFLICT"), (409, "CONFLICT")]


async def test_the_last_use_is_noted_at_most_once_a_minute(client: AsyncClient, resources: Resources, owner):
    key = await make_key(client, owner)

    async def use(*, last_used: timedelta | None) -> datetime:
        """When the key was last used, as far as is noted, after another use."""
        if last_used is not None:
            await execute(resources, update(APIKey).values(last_used_at=datetime.now(UTC) - last_used))
        await with_fresh_accounts(resources).services.callers.identify(Credentials(api_key=key["key"]))
        return await execute(resources, select(APIKey.last_used_at))

    now = datetime.now(UTC)
    assert await use(last_used=None) >= now
    assert await use(last_used=timedelta(seconds=50)) < now
    assert await use(last_used=timedelta(seconds=70)) >= now


async def test_a_key_needs_a_name(client: AsyncClient, owner):
    for bad in ("", " ", "x" * 101, "a\nb"):
        refused = await client.post(KEYS, headers=owner.headers, json={"name": bad})
        assert outcome(refused) == (422, "VALIDATION_ERROR"), bad


async def test_a_ticket_ends_with_the_key_it_was_asked_for_with(client: AsyncClient, resources: Resources, owner):
    kept, deleted = await make_key(client, owner), await make_key(client, owner)
    tickets = [
        (await client.post("/api/v1/ws-tickets", headers={"X-API-Key": key["key"]})).json()["ticket"]
        for key in (kept, deleted)
    ]
    assert (await client.delete(f"{KEYS}/{deleted['id']}", headers=owner.headers)).status_code == 204
    callers = resources.services.callers
    assert (await callers.identify(Credentials(ticket=tickets[0]))).key_id == UUID(kept["id"])
    with pytest.raises(InvalidCredentials):
        await callers.identify(Credentials(ticket=tickets[1]))
