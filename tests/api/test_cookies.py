"""Signing in with a cookie: what browsers do, and what other sites' pages make them do."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import select, update

from app.main import create_app
from app.models import Login, User
from app.resources import Resources
from tests.factories import PASSWORD, execute, login, make_user, with_fresh_accounts

SESSION = "/api/v1/auth/session"
ME = "/api/v1/users/me"
DEVICES = "/api/v1/users/me/devices"
MINUTE = timedelta(minutes=1)
FOREIGN = {"Origin": "https://evil.example"}


def outcome(response: Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["error"]["code"] if response.is_error else None


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD, **headers: str) -> Response:
    return await client.post(SESSION, data={"username": email, "password": password}, headers=headers)


@pytest.fixture
async def browser(client: AsyncClient, owner) -> AsyncClient:
    """Signed in by a cookie; sends the token that belongs to it only when told."""
    response = await sign_in(client, owner.email)
    assert response.status_code == 200, response.text
    return client


async def token_of(browser: AsyncClient) -> dict[str, str]:
    return {"X-CSRF-Token": (await browser.get(SESSION)).json()["csrf_token"]}


async def test_a_cookie_signs_in_and_out(client: AsyncClient, owner):
    assert outcome(await sign_in(client, owner.email, "wrong")) == (401, "INVALID_CREDENTIALS")
    assert not client.cookies
    response = await sign_in(client, owner.email)
    attributes = response.headers["set-cookie"].lower()
    for attribute in ("httponly", "samesite=lax", "path=/", "max-age=7776000"):
        assert attribute in attributes
    assert "secure" not in attributes  # this is http, and no production
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json()["user"]["id"] == owner.id
    assert (await client.get(ME)).json()["id"] == owner.id

    token = await token_of(client)
    assert token["X-CSRF-Token"] == response.json()["csrf_token"]
    kept = client.cookies["hearth_session"]
    assert (await client.post("/api/v1/auth/logout", headers=token)).status_code == 204
    assert not client.cookies
    assert outcome(await client.get(ME, cookies={"hearth_session": kept})) == (401, "INVALID_CREDENTIALS")


async def test_over_https_the_cookie_never_travels_in_the_clear(resources: Resources, owner):
    transport = ASGITransport(create_app(resources=resources))
    async with AsyncClient(transport=transport, base_url="https://test") as client:
        assert "secure" in (await sign_in(client, owner.email)).headers["set-cookie"].lower()


async def test_what_changes_something_needs_the_token_of_the_very_session(browser: AsyncClient, owner, admin):
    change = {"json": {"name": "Changed"}}
    mine = await token_of(browser)
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x" * 43}, FOREIGN, FOREIGN | mine):
        assert outcome(await browser.patch(ME, headers=headers, **change)) == (403, "CSRF_FAILED"), headers
    assert (await browser.get(ME)).json()["name"] == "Owner"

    async with AsyncClient(transport=browser._transport, base_url="http://test") as other:
        await sign_in(other, admin.email)
        theirs = await token_of(other)
    assert outcome(await browser.patch(ME, headers=theirs, **change)) == (403, "CSRF_FAILED")
    for own_page in ({}, {"Origin": "http://test"}, {"Origin": "http://localhost:3000"}):
        assert outcome(await browser.patch(ME, headers=mine | own_page, **change)) == (200, None)
    assert outcome(await browser.patch(ME, headers=owner.headers | FOREIGN, **change)) == (200, None)  # no cookie used


async def test_a_replayed_creation_needs_the_token_too(browser: AsyncClient):
    key = {"Idempotency-Key": "once"}
    token = await token_of(browser)
    made = await browser.post("/api/v1/projects", json={"name": "One"}, headers=key | token)
    assert made.status_code == 201
    assert outcome(await browser.post("/api/v1/projects", json={"name": "One"}, headers=key)) == (403, "CSRF_FAILED")
    again = await browser.post("/api/v1/projects", json={"name": "One"}, headers=key | token)
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])


async def test_another_sites_page_cannot_sign_the_browser_in_as_somebody_else(client: AsyncClient, owner):
    for origin in ("https://evil.example", "null", "http://test.evil.example", "http://[", "http://localhost:3001"):
        assert outcome(await sign_in(client, owner.email, Origin=origin)) == (403, "CSRF_FAILED"), origin
    assert not client.cookies
    assert outcome(await sign_in(client, owner.email, Origin="http://localhost:3000")) == (200, None)


async def test_a_cookie_from_before_the_log_in_is_worth_nothing_after_it(client: AsyncClient, owner, admin):
    planted = "0" * 32 + ".planted"
    client.cookies.set("hearth_session", planted, domain="test.local")
    await sign_in(client, owner.email)
    first = client.cookies["hearth_session"]
    assert planted not in first
    await sign_in(client, admin.email)
    second = client.cookies["hearth_session"]
    assert first != second
    assert (await client.get(ME)).json()["id"] == admin.id
    client.cookies.clear()
    assert outcome(await client.get(ME, cookies={"hearth_session": first})) == (401, "INVALID_CREDENTIALS")


async def test_a_damaged_cookie_is_refused(browser: AsyncClient):
    good = browser.cookies["hearth_session"]
    browser.cookies.clear()
    for bad in ("", "x", ".", good[:-1], good + "x", good.replace(".", ":"), "0" * 32 + good[32:], "é", "x" * 5000):
        response = await browser.get(ME, headers={"Cookie": f"hearth_session={bad}".encode()})
        assert response.status_code == 401, bad
    assert (await browser.get(ME, headers={"Cookie": f"hearth_session={good}"})).status_code == 200


async def test_a_cookie_lives_on_with_its_use_and_ends_without(resources: Resources, browser: AsyncClient):
    login_id = UUID(hex=browser.cookies["hearth_session"].partition(".")[0])
    key = f"{resources.settings.redis.prefix}login:{login_id}"
    await resources.foundation.redis.expire(key, 100)
    await browser.get(ME)
    assert await resources.foundation.redis.ttl(key) > 1_000_000
    await resources.foundation.redis.delete(key)
    assert outcome(await browser.get(ME)) == (401, "INVALID_CREDENTIALS")


async def test_the_row_of_a_cookie_follows_its_use_up_to_the_longest_life(resources: Resources, browser: AsyncClient):
    settings, is_cookie = resources.settings.cookie, Login.kind == "cookie"

    async def use(*, begun: timedelta) -> timedelta:
        """What is left of the log-in after a use, when it began that long ago."""
        now = datetime.now(UTC)
        moments = {"created_at": now - begun, "last_used_at": now - timedelta(hours=1), "expires_at": now + MINUTE}
        await execute(resources, update(Login).where(is_cookie).values(**moments))
        transport = ASGITransport(create_app(resources=with_fresh_accounts(resources)))
        async with AsyncClient(transport=transport, base_url="http://test", cookies=browser.cookies) as client:
            assert (await client.get(ME)).status_code == 200
        return await execute(resources, select(Login.expires_at).where(is_cookie)) - now

    assert abs(await use(begun=timedelta(days=20)) - settings.ttl) < 2 * MINUTE
    assert abs(await use(begun=settings.longest - timedelta(days=1)) - timedelta(days=1)) < 2 * MINUTE


async def test_everybody_sees_and_ends_their_own_log_ins(browser: AsyncClient, owner, admin):
    token = await token_of(browser)
    phone = (await login(browser, owner.email)).json()
    in_hand = {"Authorization": f"Bearer {phone['access_token']}"}
    listed = (await browser.get(DEVICES)).json()["items"]
    assert [(device["kind"], device["is_current"]) for device in listed] == [
        ("token", False),
        ("cookie", True),
        ("token", False),
    ]
    assert listed[0]["user_agent"].startswith("python-httpx")
    assert listed[0]["address"] == "127.0.0.1"

    foreign = await browser.delete(f"{DEVICES}/{listed[0]['id']}", headers=admin.headers)
    assert outcome(foreign) == (404, "RESOURCE_NOT_FOUND")
    assert (await browser.get(ME, headers=in_hand)).status_code == 200
    assert (await browser.delete(f"{DEVICES}/{listed[0]['id']}", headers=token)).status_code == 204
    assert (await browser.get(ME, headers=in_hand)).status_code == 401
    refreshed = await browser.post("/api/v1/auth/refresh", json={"refresh_token": phone["refresh_token"]})
    assert refreshed.status_code == 401

    assert (await browser.delete(DEVICES, headers=token)).status_code == 204
    assert (await browser.get(ME, headers=owner.headers)).status_code == 401
    [left] = (await browser.get(DEVICES)).json()["items"]
    assert left["is_current"]
    assert (await browser.delete(f"{DEVICES}/{left['id']}", headers=token)).status_code == 204
    assert (await browser.get(ME)).status_code == 401


async def test_a_disabled_accounts_cookie_opens_nothing(resources: Resources, browser: AsyncClient, owner):
    await execute(resources, update(User).where(User.id == owner.id).values(is_active=False))
    transport = ASGITransport(create_app(resources=with_fresh_accounts(resources)))
    async with AsyncClient(transport=transport, base_url="http://test", cookies=browser.cookies) as client:
        assert outcome(await client.get(ME)) == (401, "INVALID_CREDENTIALS")


async def test_sessions_survive_a_restart_of_the_server(committed: Resources):
    async with AsyncClient(transport=ASGITransport(create_app(resources=committed)), base_url="http://test") as client:
        user = await make_user(client)
        await sign_in(client, user.email)
        cookies = client.cookies
    again = create_app(resources=with_fresh_accounts(committed))
    async with AsyncClient(transport=ASGITransport(again), base_url="http://test", cookies=cookies) as client:
        assert (await client.get(ME)).json()["id"] == user.id
