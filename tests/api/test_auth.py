"""Making an account, signing in and out, and what is refused."""

import asyncio
import base64
import json
import time
from datetime import timedelta

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import select, update

from app.main import create_app
from app.migrations import migrate
from app.models import RefreshToken, User
from app.resources import Resources, open_resources
from app.security import Claims, Passwords, Tokens, TokenType, make_tokens
from app.services.callers import Credentials
from app.settings import PasswordSettings, Settings
from tests.conftest import cloned_database
from tests.factories import PASSWORD, execute, login, make_key, make_user, register, with_fresh_accounts

ME = "/api/v1/users/me"


def code_of(response) -> str:
    return response.json()["error"]["code"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refresh(client: AsyncClient, token: str):
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def test_the_first_account_is_the_admin_and_the_next_is_not(client: AsyncClient):
    first = await register(client, "  Ada@Example.COM ", name=" Ada ")
    assert first.status_code == 201, first.text
    body = first.json()
    assert (body["email"], body["name"], body["role"], body["preferences"]) == ("ada@example.com", "Ada", "admin", {})
    assert "password" not in first.text

    second = await register(client, "grace@example.com", name="Grace 👩‍👩‍👧")
    assert (second.json()["role"], second.json()["name"]) == ("user", "Grace 👩‍👩‍👧")

    tokens = (await login(client, "ADA@example.com")).json()
    me = await client.get(first.headers["Location"], headers=bearer(tokens["access_token"]))
    assert me.json() == body


async def test_an_account_comes_with_a_default_project_of_its_own(client: AsyncClient, owner):
    items = (await client.get("/api/v1/projects", headers=owner.headers)).json()["items"]
    assert [(item["is_default"], item["role"], item["owner_id"]) for item in items] == [(True, "owner", owner.id)]


async def test_an_address_has_one_account(client: AsyncClient, owner):
    again = await register(client, owner.email.upper())
    assert (again.status_code, code_of(again)) == (409, "CONFLICT")
    assert (await login(client, owner.email)).status_code == 200


NOT_ACCEPTED = [
    ("email", "nobody"),
    ("email", "a@b"),
    ("email", "two words@example.com"),
    ("email", "a\u0000b@example.com"),
    ("email", "a\u200bb@example.com"),
    ("email", f"{'x' * 65}@example.com"),
    ("email", f"a@{'b' * 320}.com"),
    ("name", " "),
    ("name", "x" * 101),
    ("name", "a\nb"),
    ("name", "a\u0000b"),
    ("name", "\u200b"),
    ("name", "ada\u202egro.live"),
    ("password", "short"),
    ("password", "é" * 513),
    ("password", "\u0958" * 341),  # 1,023 bytes, and twice as many in the composed form that is hashed
]


async def test_an_account_needs_an_address_a_name_and_a_password(client: AsyncClient):
    good = {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"}
    for field, value in NOT_ACCEPTED:
        refused = await client.post("/api/v1/auth/register", json=good | {field: value})
        assert (refused.status_code, code_of(refused)) == (422, "VALIDATION_ERROR"), (field, value)
        assert [error["loc"] for error in refused.json()["error"]["details"]["errors"]] == [["body", field]]
    assert (await client.post("/api/v1/auth/register", json=good)).status_code == 201


async def test_where_registration_is_closed_only_the_first_account_is_made(resources: Resources):
    app = create_app(resources=with_fresh_accounts(resources, registration="invite"))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await register(client, "ada@example.com")).json()["role"] == "admin"
        refused = await register(client, "grace@example.com")
        assert (refused.status_code, code_of(refused)) == (403, "PERMISSION_DENIED")


async def register_six_at_once(settings: Settings) -> list[Response]:
    async with open_resources(settings) as resources:
        transport = ASGITransport(create_app(resources=resources))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(register(client, f"user{number}@example.com") for number in range(6)))


async def test_two_who_register_at_once_make_one_admin(settings: Settings):
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        made = await register_six_at_once(empty)
    assert [response.status_code for response in made] == [201] * 6
    assert sorted(response.json()["role"] for response in made) == ["admin"] + ["user"] * 5


async def test_a_log_in_gives_tokens_that_say_how_long_they_are_good(client: AsyncClient, owner):
    response = await login(client, owner.email)
    tokens = response.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
    assert response.headers["Cache-Control"] == "no-store"
    assert (await client.get(ME, headers=bearer(tokens["access_token"]))).json()["id"] == owner.id


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client: AsyncClient, owner):
    wrong = await login(client, owner.email, "not the password")
    for email in ("nobody@example.com", "not an address", "nul\0@example.com", "x" * 400):
        unknown = await login(client, email, "not the password")
        assert unknown.status_code == wrong.status_code == 401
        assert unknown.json()["error"] == wrong.json()["error"]
        assert unknown.headers["WWW-Authenticate"] == wrong.headers["WWW-Authenticate"] == "Bearer"
    assert code_of(wrong) == "INVALID_CREDENTIALS"
    assert (await login(client, owner.email, "x" * 5000)).status_code == 401
    assert (await login(client, owner.email)).status_code == 200


async def test_a_hash_made_with_other_parameters_is_replaced_at_the_next_log_in(
    client: AsyncClient, resources: Resources, owner
):
    mine = User.email == owner.email
    old = await Passwords(PasswordSettings(memory_kib=128, time_cost=1)).hash(PASSWORD)
    await execute(resources, update(User).where(mine).values(password_hash=old))
    assert (await login(client, owner.email, "wrong")).status_code == 401
    assert await execute(resources, select(User.password_hash).where(mine)) == old
    assert (await login(client, owner.email)).status_code == 200
    assert (await execute(resources, select(User.password_hash).where(mine))).startswith("$argon2id$v=19$m=64,t=1")
    assert (await login(client, owner.email)).status_code == 200


async def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_whole_family(client: AsyncClient, owner):
    other = (await login(client, owner.email)).json()
    first = await refresh(client, owner.refresh_token)
    assert first.status_code == 200
    assert (await client.get(ME, headers=bearer(first.json()["access_token"]))).status_code == 200

    again = await refresh(client, owner.refresh_token)
    assert (again.status_code, code_of(again)) == (401, "INVALID_CREDENTIALS")
    assert (await refresh(client, first.json()["refresh_token"])).status_code == 401
    assert (await refresh(client, other["refresh_token"])).status_code == 200  # another log-in, another family


async def test_of_two_refreshes_at_once_one_succeeds(committed: Resources):
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        user = await make_user(client)
        answers = await asyncio.gather(*(refresh(client, user.refresh_token) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
        [new] = [answer.json() for answer in answers if answer.status_code == 200]
        assert (await refresh(client, new["refresh_token"])).status_code == 401  # it was used twice, after all


async def test_an_expired_refresh_token_says_so(client: AsyncClient, resources: Resources, owner):
    await execute(resources, update(RefreshToken).values(expires_at=RefreshToken.created_at - timedelta(days=1)))
    assert code_of(await refresh(client, owner.refresh_token)) == "TOKEN_EXPIRED"
    for garbage in ("", "hearth_rt_", "hearth_rt_unknown", "hearth_rt_ü", owner.access_token[:100]):
        assert code_of(await refresh(client, garbage)) == "INVALID_CREDENTIALS"


async def test_logging_out_ends_the_own_log_in_at_once_and_nobody_elses(client: AsyncClient, owner, admin):
    logout = "/api/v1/auth/logout"
    elsewhere = (await login(client, owner.email)).json()
    assert (await client.post(logout, json={"refresh_token": owner.refresh_token})).status_code == 401
    foreign = await client.post(logout, headers=owner.headers, json={"refresh_token": admin.refresh_token})
    assert foreign.status_code == 204
    assert (await client.get(ME, headers=owner.headers)).status_code == 401  # its access token, too
    assert (await refresh(client, owner.refresh_token)).status_code == 401
    assert (await client.get(ME, headers=admin.headers)).status_code == 200
    assert (await refresh(client, admin.refresh_token)).status_code == 200

    other = (await login(client, owner.email)).json()
    body = {"refresh_token": elsewhere["refresh_token"]}
    assert (await client.post(logout, headers=bearer(other["access_token"]), json=body)).status_code == 204
    assert (await refresh(client, elsewhere["refresh_token"])).status_code == 401
    assert (await refresh(client, other["refresh_token"])).status_code == 401


async def test_a_disabled_account_gets_in_nowhere(client: AsyncClient, resources: Resources, owner):
    key = await make_key(client, owner)
    ticket = await resources.services.callers.issue_ticket(
        await resources.services.callers.identify(Credentials(bearer=owner.access_token))
    )
    await execute(resources, update(User).where(User.email == owner.email).values(is_active=False))
    fresh = with_fresh_accounts(resources)
    app = create_app(resources=fresh)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        answers = [
            await login(client, owner.email),
            await refresh(client, owner.refresh_token),
            await client.get(ME, headers=owner.headers),
            await client.get(ME, headers={"X-API-Key": key["key"]}),
        ]
    assert [(answer.status_code, code_of(answer)) for answer in answers] == [(401, "INVALID_CREDENTIALS")] * 4
    with pytest.raises(Exception, match="has ended"):
        await fresh.services.callers.identify(Credentials(ticket=ticket.ticket))


async def test_requests_do_not_wait_for_more_of_them_as_sockets_do(committed: Resources):
    async with AsyncClient(transport=ASGITransport(create_app(resources=committed)), base_url="http://test") as client:
        user = await make_user(client)
    callers = with_fresh_accounts(committed).services.callers
    credentials = Credentials(bearer=user.access_token)
    began = time.monotonic()
    first = [asyncio.create_task(callers.identify(credentials)) for _ in range(24)]
    for _ in range(3):
        await asyncio.sleep(0)  # until they are being looked up
    second = [asyncio.create_task(callers.identify(credentials)) for _ in range(24)]
    assert {str(caller.user_id) for caller in await asyncio.gather(*first, *second)} == {user.id}
    assert time.monotonic() - began < 1  # who comes in at the door would wait 1.2 s


async def test_whoever_only_reads_can_change_nothing(committed: Resources):
    with pytest.raises(AssertionError, match="while reading"):
        async with committed.uow(is_reading=True) as uow:
            uow.users.add(User(name="Nobody"))
    async with committed.uow(is_reading=True) as uow:
        await uow.ping()


def signed(resources: Resources, user, **changes: timedelta) -> str:
    tokens = make_tokens(resources.settings)
    return tokens.issue(tokens.read(user.access_token), changes.get("lifetime", timedelta(minutes=1)))


async def test_what_is_wrong_with_credentials_is_said(client: AsyncClient, resources: Resources, owner):
    async def ask(**headers: str):
        response = await client.get(ME, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return response.status_code, response.json().get("error", {}).get("code")

    def unsigned() -> str:
        parts = ({"alg": "none", "typ": "JWT"}, {"sub": owner.id})
        encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        return ".".join(encoded) + "."

    assert await ask() == (401, "NOT_AUTHENTICATED")
    assert await ask(Authorization="Basic YTpi") == (401, "NOT_AUTHENTICATED")
    assert await ask(Authorization="Bearer ") == (401, "NOT_AUTHENTICATED")
    for garbage in ("x", "a.b.c", unsigned(), "hearth_key_unknown", owner.refresh_token, "x" * 5000):
        assert await ask(Authorization=f"Bearer {garbage}") == (401, "INVALID_CREDENTIALS"), garbage
        assert await ask(X_API_Key=garbage) == (401, "INVALID_CREDENTIALS"), garbage
    foreign = Tokens("f" * 32).issue(Claims(TokenType.ACCESS, owner.id, login_id=owner.id), timedelta(minutes=1))
    assert await ask(Authorization=f"Bearer {foreign}") == (401, "INVALID_CREDENTIALS")
    assert await ask(X_API_Key=owner.access_token) == (401, "INVALID_CREDENTIALS")

    old = signed(resources, owner, lifetime=-timedelta(minutes=1))
    assert await ask(Authorization=f"Bearer {old}") == (401, "TOKEN_EXPIRED")
    assert await ask(Authorization=f"bearer {signed(resources, owner)}") == (200, None)


async def test_a_guests_token_opens_nothing_but_its_room(client: AsyncClient, resources: Resources, owner):
    callers = resources.services.callers
    room_id = (await callers.identify(Credentials(bearer=owner.access_token))).user_id  # any id
    token, expires_in = callers.guest_token(room_id, "Grace", room_id)
    guest = await callers.identify(Credentials(bearer=token))
    assert (guest.name, guest.room_id, guest.is_guest) == ("Grace", room_id, True)
    assert expires_in == 12 * 3600
    refused = await client.get(ME, headers=bearer(token))
    assert (refused.status_code, code_of(refused)) == (403, "PERMISSION_DENIED")


async def test_a_ticket_stands_for_its_owner_once(client: AsyncClient, resources: Resources, owner):
    response = await client.post("/api/v1/ws-tickets", headers=owner.headers)
    assert (response.status_code, response.json()["expires_in"]) == (201, 30)
    ticket = response.json()["ticket"]
    callers = resources.services.callers
    assert await callers.identify(Credentials(ticket=ticket)) == await callers.identify(
        Credentials(bearer=owner.access_token)
    )
    for used_or_wrong in (ticket, "x", "x" * 1000):
        with pytest.raises(Exception, match="ticket is not valid"):
            await callers.identify(Credentials(ticket=used_or_wrong))
    assert (await client.post("/api/v1/ws-tickets")).status_code == 401
