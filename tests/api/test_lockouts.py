"""Guessing passwords at the front door."""

import asyncio
from uuid import uuid4

from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import select

from app.main import create_app
from app.models import AuditAction, AuditEntry
from app.resources import Resources
from app.settings import LockoutSettings
from tests.factories import PASSWORD, login, make_user, with_fresh_accounts
from tests.mails import mails_to, token_in


async def guess(client: AsyncClient, email: str, times: int) -> list[Response]:
    return [await login(client, email, f"guess {number}") for number in range(times)]


async def test_brute_force_is_slowed_down_alike_for_known_and_unknown_addresses(
    client: AsyncClient, resources: Resources, owner
):
    known = await guess(client, owner.email, 7)
    unknown = await guess(client, f"{uuid4().hex}@example.com", 7)
    assert [answer.status_code for answer in known] == [answer.status_code for answer in unknown]
    assert [answer.status_code for answer in known] == [401] * 5 + [429] * 2
    assert known[-1].json()["error"] == unknown[-1].json()["error"]
    assert known[-1].json()["error"]["code"] == "RATE_LIMITED"
    assert known[-1].headers["Retry-After"] == "1"

    assert (await login(client, owner.email)).status_code == 429  # the right one is not looked at either
    async with resources.uow() as uow:
        mine = select(AuditEntry.action).where(AuditEntry.target_id == owner.id).order_by(AuditEntry.id)
        actions = [action for action in await uow._session.scalars(mine) if action.startswith("login.")]
    assert actions[-6:] == [AuditAction.LOGIN_FAILED] * 5 + [AuditAction.LOGIN_LOCKED]


async def test_who_is_signed_in_is_not_locked_out_and_a_mail_opens_the_door(
    client: AsyncClient, resources: Resources, owner
):
    await guess(client, owner.email, 6)
    assert (await client.get("/api/v1/users/me", headers=owner.headers)).status_code == 200
    refreshed = await client.post("/api/v1/auth/refresh", json={"refresh_token": owner.refresh_token})
    assert refreshed.status_code == 200
    await client.post("/api/v1/auth/password/forgot", json={"email": owner.email})
    token = token_in((await mails_to(resources, owner.email))[-1])
    new = {"token": token, "password": "a lamp that nobody lit"}
    assert (await client.post("/api/v1/auth/password/reset", json=new)).status_code == 204
    assert (await login(client, owner.email, new["password"])).status_code == 200


async def test_the_right_password_begins_the_count_anew(client: AsyncClient, owner):
    for _ in range(3):
        assert {answer.status_code for answer in await guess(client, owner.email, 4)} == {401}
        assert (await login(client, owner.email)).status_code == 200
    cookie = await client.post(
        "/api/v1/auth/session", data={"username": owner.email, "password": "wrong"}, headers={"Origin": "http://test"}
    )
    assert cookie.status_code == 401  # the same door
    assert [answer.status_code for answer in await guess(client, owner.email, 5)] == [401] * 4 + [429]


async def test_guesses_at_once_and_in_two_processes_are_counted_together(committed: Resources):
    lockout = LockoutSettings(network_failures=1_000_000)
    apps = [create_app(resources=with_fresh_accounts(committed, lockout=lockout)) for _ in range(2)]
    one, two = (AsyncClient(transport=ASGITransport(app), base_url="http://test") for app in apps)
    async with one, two:
        user = await make_user(one)
        calls = [login(client, user.email, f"guess {number}") for number in range(50) for client in (one, two)]
        codes = [answer.status_code for answer in await asyncio.gather(*calls)]
        assert set(codes) == {401, 429}
        assert codes.count(401) <= 10  # 5, and those for which a pause had passed on a slow machine


async def test_a_network_that_tries_many_accounts_is_slowed_down(resources: Resources, client: AsyncClient, owner):
    app = create_app(resources=with_fresh_accounts(resources, lockout=LockoutSettings(network_failures=6)))
    transport = ASGITransport(app, client=("2001:db8::1", 1))
    neighbour = ASGITransport(app, client=("2001:db8::ffff", 1))
    elsewhere = ASGITransport(app, client=("2001:db8:0:1::1", 1))
    async with AsyncClient(transport=transport, base_url="http://test") as attacker:
        answers = [await login(attacker, f"{uuid4().hex}@example.com", PASSWORD) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [401] * 6 + [429]
    async with AsyncClient(transport=neighbour, base_url="http://test") as client:
        assert (await login(client, owner.email)).status_code == 429
    async with AsyncClient(transport=elsewhere, base_url="http://test") as client:
        assert (await login(client, owner.email)).status_code == 200
