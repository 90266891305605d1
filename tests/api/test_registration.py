"""Making an account by invite."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import func, select, update

from app.main import create_app
from app.models import RegistrationInvite
from app.models import User as Account
from app.resources import Resources
from tests.factories import PASSWORD, User, execute, make_user, with_fresh_accounts
from tests.mails import html_of, mails_to, text_of

INVITES = "/api/v1/admin/invites"


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def address() -> str:
    return f"{uuid4().hex}@example.com"


async def make_invite(client: AsyncClient, admin: User, **fields: object) -> dict:
    response = await client.post(INVITES, json=fields, headers=admin.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def register(client: AsyncClient, *, email: str | None = None, **fields: object) -> Response:
    body = {"email": email or address(), "password": PASSWORD, "name": "Ada"} | fields
    return await client.post("/api/v1/auth/register", json=body)


@pytest.fixture
async def by_invite(client: AsyncClient, resources: Resources, admin: User) -> AsyncClient:
    application = create_app(resources=with_fresh_accounts(resources, registration="invite"))
    return AsyncClient(transport=ASGITransport(application), base_url="http://test")


async def test_an_invite_makes_one_account_with_its_role(by_invite, admin):
    made = await make_invite(by_invite, admin, role="admin")
    assert made["invite"].startswith("hearth_reg_")
    assert (await register(by_invite, invite=made["invite"])).json()["role"] == "admin"
    again = await register(by_invite, invite=made["invite"])
    assert code_of(again) == (403, "PERMISSION_DENIED")
    for wrong in ({}, {"invite": None}, {"invite": ""}, {"invite": "hearth_reg_unknown"}, {"invite": made["id"]}):
        assert code_of(await register(by_invite, **wrong)) == (403, "PERMISSION_DENIED"), wrong
    (listed,) = (await by_invite.get(INVITES, headers=admin.headers)).json()["items"]
    assert None not in (listed["used_at"], listed["used_by"])
    assert (listed["created_by"], {"invite", "digest"} & set(listed)) == (admin.id, set())


async def test_an_invite_for_an_address_lets_nobody_else_in_and_outlives_failures(by_invite, resources, admin):
    made = await make_invite(by_invite, admin, email="Grace@Example.com")
    secret = made["invite"]
    assert code_of(await register(by_invite, invite=secret)) == (403, "PERMISSION_DENIED")
    short = await register(by_invite, email="grace@example.com", invite=secret, password="short")
    assert code_of(short) == (422, "VALIDATION_ERROR")
    assert (await register(by_invite, email="GRACE@example.com", invite=secret)).status_code == 201

    open_to_all = (await make_invite(by_invite, admin))["invite"]
    taken = await register(by_invite, email="grace@example.com", invite=open_to_all)
    assert taken.status_code == 409
    assert (await register(by_invite, invite=open_to_all)).status_code == 201


async def test_an_invite_for_an_address_is_mailed_there(client: AsyncClient, resources, admin):
    email = address()
    made = await make_invite(client, admin, email=email)
    (mail,) = await mails_to(resources, email)
    for body in (text_of(mail), html_of(mail)):
        assert f"/register#invite={made['invite']}" in body
    await make_invite(client, admin)
    assert len(await mails_to(resources, email)) == 1


async def test_an_invite_ends_with_its_time_its_revocation_and_the_powers_of_its_maker(by_invite, resources, admin):
    late, revoked, orphaned = [await make_invite(by_invite, admin, role="admin") for _ in range(3)]
    past = func.clock_timestamp() - timedelta(seconds=1)
    expire = update(RegistrationInvite).where(RegistrationInvite.id == late["id"]).values(expires_at=past)
    await execute(resources, expire)
    assert (await by_invite.delete(f"{INVITES}/{revoked['id']}", headers=admin.headers)).status_code == 204
    gone = await by_invite.delete(f"{INVITES}/{revoked['id']}", headers=admin.headers)
    assert code_of(gone) == (404, "RESOURCE_NOT_FOUND")
    for made in (late, revoked):
        assert code_of(await register(by_invite, invite=made["invite"])) == (403, "PERMISSION_DENIED")

    maker = update(Account).where(Account.id == admin.id)
    for change in ({"is_active": False}, {"role": "user"}):
        await execute(resources, maker.values(**change))
        refused = await register(by_invite, invite=orphaned["invite"])
        assert code_of(refused) == (403, "PERMISSION_DENIED"), change
        await execute(resources, maker.values(is_active=True, role="admin"))
    assert (await register(by_invite, invite=orphaned["invite"])).json()["role"] == "admin"


async def test_closed_stays_closed_and_open_needs_no_invite_but_gives_its_role(client, resources, admin):
    made = await make_invite(client, admin, role="admin")
    closed = create_app(resources=with_fresh_accounts(resources, registration="closed"))
    async with AsyncClient(transport=ASGITransport(closed), base_url="http://test") as shut:
        assert code_of(await register(shut, invite=made["invite"])) == (403, "PERMISSION_DENIED")
    assert (await register(client)).json()["role"] == "user"
    assert code_of(await register(client, invite="hearth_reg_unknown")) == (403, "PERMISSION_DENIED")
    assert (await register(client, invite=made["invite"])).json()["role"] == "admin"


@pytest.mark.parametrize(
    "wrong",
    [{"expires_in": 3599}, {"expires_in": 30 * 86_400 + 1}, {"role": "guest"}, {"email": "nobody"}, {"used_by": None}],
)
async def test_invites_that_cannot_be_are_refused(client: AsyncClient, admin, wrong):
    assert code_of(await client.post(INVITES, json=wrong, headers=admin.headers)) == (422, "VALIDATION_ERROR")


async def test_of_two_who_use_an_invite_at_once_one_gets_in(committed: Resources):
    application = create_app(resources=with_fresh_accounts(committed, registration="open"))
    async with AsyncClient(transport=ASGITransport(application), base_url="http://test") as client:
        maker = await make_user(client, "Inviter")
        before = await execute(committed, select(Account.role).where(Account.id == maker.id))
        await execute(committed, update(Account).where(Account.id == maker.id).values(role="admin"))
        tokens = await client.post("/api/v1/auth/login", data={"username": maker.email, "password": PASSWORD})
        headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
        for _ in range(3):
            made = (await client.post(INVITES, json={}, headers=headers)).json()
            answers = await asyncio.gather(*(register(client, invite=made["invite"]) for _ in range(4)))
            assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]
        await execute(committed, update(Account).where(Account.id == maker.id).values(role=before))
