"""Signing in with an account of another provider, over real sockets: what works, and what must not."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from joserfc import jwt
from sqlalchemy import func, select, update
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from app.adapters.identity_provider import open_provider
from app.models import AuditEntry, Identity, User
from app.models.encrypted import IDENTITY_ACCESS_TOKEN, IDENTITY_REFRESH_TOKEN
from app.resources import Resources
from app.security import make_cipher
from app.services import build_identities
from app.settings import OIDCSettings
from tests.factories import execute, login, make_key, with_fresh_accounts
from tests.mails import mails_to, token_in
from tests.oidc_providers import (
    CLIENT_ID,
    CLIENT_SECRET,
    StandIn,
    make_signing_key,
    signed,
    start_conformant_provider,
    start_stand_in,
)

LOGIN = "/api/v1/auth/oidc/login"
CALLBACK = "/api/v1/auth/oidc/callback"
IDENTITIES = "/api/v1/users/me/identities"
ME = "/api/v1/users/me"
ADA = {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"}
UNVERIFIED = {"sub": "eve", "email": "eve@example.com", "email_verified": False}


def outcome(response: Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["error"]["code"] if response.is_error else None


@pytest.fixture(scope="session")
async def conformant() -> AsyncIterator[str]:
    async with start_conformant_provider([ADA, UNVERIFIED]) as issuer:
        yield issuer


@pytest.fixture(scope="session")
async def stand_in() -> AsyncIterator[StandIn]:
    async with start_stand_in() as started:
        yield started


@pytest.fixture
def provider(stand_in: StandIn) -> StandIn:
    """One that can be told to misbehave; Ada signs in there."""
    stand_in.begin_anew(**ADA)
    return stand_in


@asynccontextmanager
async def configured(
    application: FastAPI, resources: Resources, issuer: str, settings: dict[str, Any] | None = None, **oidc: Any
) -> AsyncIterator[Resources]:
    """The application with this provider; `oidc` and `settings` are changes of the settings."""
    given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "timeout": timedelta(seconds=2), **oidc}
    group = OIDCSettings(issuer=issuer, **given)
    changed = resources.settings.model_copy(update={"oidc": group, **(settings or {})})
    async with open_provider(group) as opened:
        foundation = replace(resources.foundation, settings=changed, provider=opened)
        fresh = with_fresh_accounts(replace(resources, foundation=foundation))
        identities = build_identities(foundation, resources.uow, fresh.services.accounts, fresh.services.logins)
        before = application.state.resources
        application.state.resources = replace(fresh, services=replace(fresh.services, identities=identities))
        yield application.state.resources
        application.state.resources = before


@pytest.fixture
async def set_up(
    application: FastAPI, resources: Resources, client: AsyncClient, admin, provider: StandIn
) -> AsyncIterator[Resources]:
    """The stand-in is the provider; there is an admin already."""
    async with configured(application, resources, provider.issuer) as ready:
        yield ready


@asynccontextmanager
async def another_browser(client: AsyncClient) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=client._transport, base_url="http://test") as browser:
        yield browser


async def leave(browser: AsyncClient, **params: str) -> str:
    """Where the provider is."""
    response = await browser.get(LOGIN, params=params)
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def at_the_provider(url: str, sub: str | None = None, **form: str) -> str:
    """Sign in there; the address that the provider sends the browser back to. The conformant one wants to know who."""
    async with AsyncClient() as browser:
        response = await (browser.post(url, data={"sub": sub, **form}) if sub else browser.get(url))
    assert response.status_code == 302, response.text
    return response.headers["location"]


async def sign_in(browser: AsyncClient, sub: str | None = None, **params: str) -> Response:
    """The whole way, until we have answered the browser that came back."""
    return await browser.get(await at_the_provider(await leave(browser, **params), sub))


# --- with a conformant provider -------------------------------------------------------------------------------------


async def test_a_new_person_signs_in_and_is_the_same_the_next_time(
    application: FastAPI, resources: Resources, client: AsyncClient, admin, conformant: str
):
    async with configured(application, resources, conformant):
        assert (await client.get("/api/v1/info")).json()["sign_in_with"] == "OpenID Connect"
        departure = await client.get(LOGIN, params={"redirect_to": "/welcome?from=there"})
        assert departure.headers["Cache-Control"] == "no-store"
        for attribute in ("httponly", "samesite=lax", f"path={CALLBACK}", "max-age=600"):
            assert attribute in departure.headers["set-cookie"].lower()
        asked = parse_qs(urlsplit(departure.headers["location"]).query)
        assert asked["redirect_uri"] == [f"http://test{CALLBACK}"]
        assert asked["scope"] == ["openid email profile"]

        back = await at_the_provider(departure.headers["location"], "ada")
        arrival = await client.get(back)
        assert (arrival.status_code, arrival.headers["location"]) == (303, "/welcome?from=there")
        assert arrival.headers["Cache-Control"] == "no-store"
        me = (await client.get(ME)).json()
        assert (me["email"], me["name"], me["role"]) == ("ada@example.com", "Ada Lovelace", "user")
        assert len((await client.get("/api/v1/projects")).json()["items"]) == 1

        async with another_browser(client) as browser:
            assert (await sign_in(browser, "ada")).headers["location"] == "/"
            assert (await browser.get(ME)).json()["id"] == me["id"]
        assert outcome(await client.get(back)) == (401, "INVALID_CREDENTIALS")  # each return is good once


async def test_whoever_refuses_at_the_provider_is_not_signed_in(
    application: FastAPI, resources: Resources, client: AsyncClient, admin, conformant: str
):
    async with configured(application, resources, conformant):
        back = await at_the_provider(await leave(client), "ada", action="deny")
        state = parse_qs(urlsplit(await leave(client)).query)["state"][0]
        assert "error=access_denied" in back
        refused = await client.get(CALLBACK, params={"error": "access_denied", "state": state})
        assert outcome(refused) == (403, "PERMISSION_DENIED")
        assert "hearth_session" not in client.cookies


async def test_where_registration_is_not_open_only_known_people_come_in(
    application: FastAPI, resources: Resources, client: AsyncClient, admin, conformant: str
):
    for registration in ("invite", "closed"):
        async with configured(application, resources, conformant, {"registration": registration}):
            assert outcome(await sign_in(client, "ada")) == (403, "PERMISSION_DENIED")
    async with configured(application, resources, conformant):
        assert (await sign_in(client, "ada")).status_code == 303
    async with (
        configured(application, resources, conformant, {"registration": "closed"}),
        another_browser(client) as browser,
    ):
        assert (await sign_in(browser, "ada")).status_code == 303


async def test_an_address_that_the_provider_has_not_verified_makes_no_account(
    application: FastAPI, resources: Resources, client: AsyncClient, admin, conformant: str
):
    async with configured(application, resources, conformant):
        unknown = await sign_in(client, "eve")
        assert outcome(unknown) == (403, "PERMISSION_DENIED")
    changed = update(User).where(User.id == admin.id).values(email="eve@example.com", email_verified_at=func.now())
    await execute(resources, changed)
    async with configured(application, resources, conformant):
        known = await sign_in(client, "eve")
        assert outcome(known) == (403, "PERMISSION_DENIED")
    assert known.json()["error"] == unknown.json()["error"]  # nor does it tell whether somebody has the address


async def test_without_a_provider_there_is_nothing_to_sign_in_with(client: AsyncClient, owner):
    assert (await client.get("/api/v1/info")).json()["sign_in_with"] is None
    assert outcome(await client.get(LOGIN)) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.get(CALLBACK, params={"state": "x", "code": "x"})) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.post(IDENTITIES, json={}, headers=owner.headers)) == (404, "RESOURCE_NOT_FOUND")


# --- who is who -----------------------------------------------------------------------------------------------------


async def test_an_account_is_linked_by_its_address_only_when_both_sides_verified_it(
    set_up: Resources, client: AsyncClient, owner, provider: StandIn
):
    provider.person = ADA | {"email": owner.email.upper()}
    assert outcome(await sign_in(client)) == (409, "CONFLICT")
    await execute(set_up, update(User).where(User.id == owner.id).values(email_verified_at=func.now()))
    for claim in (False, None, "false", 1.5, [True]):
        provider.person["email_verified"] = claim
        assert outcome(await sign_in(client)) == (403, "PERMISSION_DENIED"), claim
    assert "hearth_session" not in client.cookies
    provider.person["email_verified"] = True
    assert (await sign_in(client)).status_code == 303
    assert (await client.get(ME)).json()["id"] == owner.id

    provider.person |= {"email": "moved@example.com", "email_verified": False}
    assert (await sign_in(client)).status_code == 303  # the subject counts, whatever the address is later
    assert (await client.get(ME)).json()["id"] == owner.id


async def test_the_same_subject_of_another_issuer_is_somebody_else(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, provider: StandIn
):
    assert (await sign_in(client)).status_code == 303
    first = (await client.get(ME)).json()["id"]
    async with (
        start_stand_in(**ADA | {"email": "other@example.com"}) as other,
        configured(application, resources, other.issuer),
    ):
        assert (await sign_in(client)).status_code == 303
    assert (await client.get(ME)).json()["id"] != first


async def test_a_disabled_account_stays_shut(set_up: Resources, client: AsyncClient, provider: StandIn):
    assert (await sign_in(client)).status_code == 303
    await execute(set_up, update(User).where(User.email == ADA["email"]).values(is_active=False))
    async with another_browser(client) as browser:
        assert outcome(await sign_in(browser)) == (401, "INVALID_CREDENTIALS")
        assert not [name for name in browser.cookies if name == "hearth_session"]


async def test_where_addresses_must_be_confirmed_an_identity_is_no_way_around(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, owner, provider: StandIn
):
    assert (await link(client, owner.headers)).status_code == 303
    async with configured(application, resources, provider.issuer, {"require_verified_email": True}):
        assert outcome(await sign_in(client)) == (403, "PERMISSION_DENIED")
        await execute(set_up, update(User).where(User.id == owner.id).values(email_verified_at=func.now()))
        assert (await sign_in(client)).status_code == 303


async def test_new_accounts_are_for_the_domains_that_are_named(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, provider: StandIn
):
    async with configured(application, resources, provider.issuer, email_domains=("Example.org",)):
        for email in ("ada@example.com", "ada@evil-example.org", "ada@example.org.evil.com", "a@b@example.org"):
            provider.person["email"] = email
            assert outcome(await sign_in(client)) == (403, "PERMISSION_DENIED"), email
        provider.person["email"] = "ada@example.org"
        assert (await sign_in(client)).status_code == 303


async def test_what_the_id_token_leaves_out_is_asked_for(set_up: Resources, client: AsyncClient, provider: StandIn):
    provider.person = {"sub": "ada"}
    provider.told_by_userinfo = ADA | {"sub": "somebody else"}
    assert outcome(await sign_in(client)) == (403, "PERMISSION_DENIED")
    provider.told_by_userinfo = ADA
    assert (await sign_in(client)).status_code == 303
    assert (await client.get(ME)).json()["email"] == ADA["email"]


async def test_the_operator_may_trust_a_provider_that_does_not_say_what_is_verified(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, provider: StandIn
):
    async with configured(application, resources, provider.issuer, trust_emails=True):
        provider.person = ADA | {"email_verified": False}
        assert outcome(await sign_in(client)) == (403, "PERMISSION_DENIED")
        provider.person["email_verified"] = None
        assert (await sign_in(client)).status_code == 303


async def test_a_name_that_cannot_be_shown_is_replaced(set_up: Resources, client: AsyncClient, provider: StandIn):
    provider.person = ADA | {"name": "\u202eevil\nname"}
    assert (await sign_in(client)).status_code == 303
    assert (await client.get(ME)).json()["name"] == "ada"


async def test_the_providers_tokens_are_kept_only_when_wanted_and_then_encrypted(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, provider: StandIn
):
    tokens = select(func.coalesce(Identity.access_token, Identity.refresh_token))
    assert (await sign_in(client)).status_code == 303
    assert await execute(set_up, tokens) is None
    async with configured(application, resources, provider.issuer, scopes="openid email offline_access") as ready:
        assert (await sign_in(client)).status_code == 303
        cipher, identity_id = make_cipher(ready.settings), await execute(ready, select(Identity.id))
        access_token = await execute(ready, select(Identity.access_token))
        refresh_token = await execute(ready, select(Identity.refresh_token))
    plain = cipher.decrypt(access_token, place=IDENTITY_ACCESS_TOKEN.place(identity_id))
    assert plain not in access_token
    assert cipher.decrypt(refresh_token, place=IDENTITY_REFRESH_TOKEN.place(identity_id)) == b"refresh-" + plain
    assert (await sign_in(client)).status_code == 303  # with the provider that wants none
    assert await execute(set_up, tokens) is None


# --- linking --------------------------------------------------------------------------------------------------------


async def link(browser: AsyncClient, headers: dict[str, str]) -> Response:
    begun = await browser.post(IDENTITIES, json={"redirect_to": "/settings"}, headers=headers)
    assert begun.status_code == 200, begun.text
    return await browser.get(await at_the_provider(begun.json()["url"]))


async def test_whoever_is_signed_in_links_an_account_and_takes_it_away_again(
    set_up: Resources, client: AsyncClient, owner, provider: StandIn
):
    linked = await link(client, owner.headers)
    assert (linked.status_code, linked.headers["location"]) == (303, "/settings")
    assert "hearth_session" not in client.cookies  # linking signs nobody in
    [identity] = (await client.get(IDENTITIES, headers=owner.headers)).json()["items"]
    assert (identity["issuer"], identity["subject"], identity["email"]) == (provider.issuer, "ada", ADA["email"])

    async with another_browser(client) as browser:
        assert (await sign_in(browser)).status_code == 303
        assert (await browser.get(ME)).json()["id"] == owner.id

    gone = await client.delete(f"{IDENTITIES}/{identity['id']}", headers=owner.headers)
    assert gone.status_code == 204
    noted = select(func.count()).where(AuditEntry.target_id == identity["id"])
    assert await execute(set_up, noted) == 2
    async with another_browser(client) as browser:
        assert (await sign_in(browser)).status_code == 303
        assert (await browser.get(ME)).json()["id"] != owner.id


async def test_who_made_an_account_with_anothers_address_keeps_no_way_into_it(
    set_up: Resources, client: AsyncClient, owner, provider: StandIn
):
    async def prove_to_read_the_mail(password: str) -> None:
        await client.post("/api/v1/auth/password/forgot", json={"email": owner.email})
        token = token_in((await mails_to(set_up, owner.email))[-1])
        reset = await client.post("/api/v1/auth/password/reset", json={"token": token, "password": password})
        assert reset.status_code == 204, reset.text

    identities = select(func.count()).select_from(Identity)
    await link(client, owner.headers)  # nobody has verified the address
    await prove_to_read_the_mail("a lamp that nobody lit")
    assert await execute(set_up, identities) == 0

    tokens = (await login(client, owner.email, "a lamp that nobody lit")).json()
    await link(client, {"Authorization": f"Bearer {tokens['access_token']}"})
    await prove_to_read_the_mail("a lamp that somebody lit")
    assert await execute(set_up, identities) == 1  # it was the owner's own


async def test_an_account_of_the_provider_opens_one_account_here(
    set_up: Resources, client: AsyncClient, owner, admin, provider: StandIn
):
    assert (await link(client, owner.headers)).status_code == 303
    assert (await link(client, owner.headers)).status_code == 303  # again changes nothing
    assert outcome(await link(client, admin.headers)) == (409, "CONFLICT")
    assert (await client.get(IDENTITIES, headers=admin.headers)).json()["items"] == []


async def test_nobody_is_linked_by_another_sites_page_or_a_key_or_after_signing_out(
    set_up: Resources, client: AsyncClient, owner, provider: StandIn
):
    form = {"username": owner.email, "password": owner.password}
    token = (await client.post("/api/v1/auth/session", data=form)).json()["csrf_token"]
    assert outcome(await client.post(IDENTITIES, json={})) == (403, "CSRF_FAILED")
    key = await make_key(client, owner, scopes=["read", "write"])
    async with another_browser(client) as script:
        by_key = await script.post(IDENTITIES, json={}, headers={"X-API-Key": key["key"]})
        assert outcome(by_key) == (403, "PERMISSION_DENIED")

    begun = await client.post(IDENTITIES, json={}, headers={"X-CSRF-Token": token})
    back = await at_the_provider(begun.json()["url"])
    await client.post("/api/v1/auth/logout", headers={"X-CSRF-Token": token})
    assert outcome(await client.get(back)) == (401, "NOT_AUTHENTICATED")
    assert await execute(set_up, select(func.count()).select_from(Identity)) == 0


async def test_the_last_way_in_stays_and_somebody_elses_is_not_there(
    set_up: Resources, client: AsyncClient, owner, provider: StandIn
):
    await sign_in(client)
    token = (await client.get("/api/v1/auth/session")).json()["csrf_token"]
    [identity] = (await client.get(IDENTITIES)).json()["items"]
    path, own = f"{IDENTITIES}/{identity['id']}", {"X-CSRF-Token": token}
    assert outcome(await client.delete(path, headers=owner.headers)) == (404, "RESOURCE_NOT_FOUND")
    assert outcome(await client.delete(path, headers=own)) == (409, "CONFLICT")
    provider.person = ADA | {"sub": "ada's other account"}
    assert (await link(client, own)).status_code == 303
    assert (await client.delete(path, headers=own)).status_code == 204


# --- attacks on the way there and back ------------------------------------------------------------------------------


async def test_a_return_counts_only_with_its_state_once_and_in_the_browser_that_left(
    set_up: Resources, client: AsyncClient, provider: StandIn
):
    back = await at_the_provider(await leave(client))
    state = parse_qs(urlsplit(back).query)["state"][0]
    wrong = await client.get(back.replace(state, "x" * len(state)))
    assert outcome(wrong) == (401, "INVALID_CREDENTIALS")
    async with another_browser(client) as victim:
        assert outcome(await victim.get(back)) == (403, "CSRF_FAILED")
        back = await at_the_provider(await leave(client))
        await leave(victim)  # has a cookie, but that of a sign-in of its own
        assert outcome(await victim.get(back)) == (403, "CSRF_FAILED")
        assert "hearth_session" not in victim.cookies
    assert outcome(await client.get(back)) == (401, "INVALID_CREDENTIALS")  # used up by the attempt
    assert provider.count("/token") == 0

    back = await at_the_provider(await leave(client))
    assert (await client.get(back)).status_code == 303
    assert outcome(await client.get(back)) == (401, "INVALID_CREDENTIALS")
    assert provider.count("/token") == 1


async def test_a_code_of_another_sign_in_is_refused(set_up: Resources, client: AsyncClient, provider: StandIn):
    stolen = parse_qs(urlsplit(await at_the_provider(await leave(client))).query)["code"][0]
    url = await leave(client)
    own = parse_qs(urlsplit(await at_the_provider(url)).query)
    injected = {"code": stolen, "state": own["state"][0]}
    assert outcome(await client.get(CALLBACK, params=injected)) == (401, "INVALID_CREDENTIALS")  # PKCE

    back = await at_the_provider(await leave(client))
    assert (await client.get(back)).status_code == 303
    used = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(await leave(client)).query)["state"][0]
    assert outcome(await client.get(CALLBACK, params={"code": used, "state": state})) == (401, "INVALID_CREDENTIALS")


async def test_an_answer_of_another_provider_is_refused(set_up: Resources, client: AsyncClient, provider: StandIn):
    back = await at_the_provider(await leave(client))
    mixed_up = back.replace(f"iss={provider.issuer.split(':')[0]}", "iss=https")
    assert mixed_up != back
    assert outcome(await client.get(mixed_up)) == (401, "INVALID_CREDENTIALS")
    assert provider.count("/token") == 0


async def test_a_provider_that_always_names_itself_has_to(set_up: Resources, client: AsyncClient, provider: StandIn):
    provider.discovery = {"authorization_response_iss_parameter_supported": True}
    back = await at_the_provider(await leave(client))
    assert outcome(await client.get(back.partition("&iss=")[0])) == (401, "INVALID_CREDENTIALS")
    assert (await sign_in(client)).status_code == 303


OPEN_REDIRECTS = [
    *("//evil.example", r"\\evil.example", r"/\evil.example", r"\/evil.example", "https:evil.example", "https:/evil"),
    *("https://evil.example", "http://localhost:3000@evil.example", "http://localhost:3000.evil.example", "///evil"),
    *(
        "http://localhost:3000\\@evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
        "evil.example",
    ),
    *("http://evil.example#http://localhost:3000", "javascript:alert(1)", "data:text/html,x", "http://[", "", "*"),
    *("http://localhost:30001", "HTTP://localhost:3000x", "/x\r\nSet-Cookie: a=b", "/\u2215evil", "//localhost:3000/"),
]


async def test_nobody_is_sent_to_foreign_pages(set_up: Resources, client: AsyncClient, owner):
    for address in OPEN_REDIRECTS:
        response = await client.get(LOGIN, params={"redirect_to": address})
        assert outcome(response) == (422, "VALIDATION_ERROR"), address
        linking = await client.post(IDENTITIES, json={"redirect_to": address}, headers=owner.headers)
        assert outcome(linking) == (422, "VALIDATION_ERROR"), address


async def test_people_are_sent_to_our_pages(set_up: Resources, client: AsyncClient, provider: StandIn):
    for address in ("/", "/app?next=//x", "/%5cevil.example", "http://localhost:3000", "http://localhost:3000/a?b#c"):
        assert (await sign_in(client, redirect_to=address)).headers["location"] == address


# --- forged ID tokens -----------------------------------------------------------------------------------------------


def encoded(content: bytes | dict[str, Any]) -> str:
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(plain).rstrip(b"=").decode()


def unsigned(_: StandIn, claims: dict[str, Any]) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}."


def signed_with_the_client_secret(provider: StandIn, claims: dict[str, Any]) -> str:
    return by_hmac(CLIENT_SECRET.encode(), provider, claims)


def signed_with_the_public_key_as_a_secret(provider: StandIn, claims: dict[str, Any]) -> str:
    return by_hmac(provider.key.as_pem(private=False), provider, claims)


def by_hmac(secret: bytes, provider: StandIn, claims: dict[str, Any]) -> str:
    content = f"{encoded({'alg': 'HS256', 'kid': provider.key.kid})}.{encoded(claims)}"
    return f"{content}.{encoded(hmac.digest(secret, content.encode(), 'sha256'))}"


def signed_with_a_key_of_its_own(provider: StandIn, claims: dict[str, Any]) -> str:
    forged = make_signing_key()
    return signed(forged, claims, kid=provider.key.kid, jwk=forged.as_dict(private=False))


def with_another_algorithm(provider: StandIn, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS512", "kid": provider.key.kid}, claims, provider.key, algorithms=["RS512"])


def changed_after_signing(provider: StandIn, claims: dict[str, Any]) -> str:
    head, _, signature = signed(provider.key, claims).split(".")
    content = encoded(claims | {"sub": "admin"})
    return f"{head}.{content}.{signature}"


FORGERIES: list[Callable[[StandIn, dict[str, Any]], str]] = [
    unsigned,
    signed_with_the_client_secret,
    signed_with_the_public_key_as_a_secret,
    signed_with_a_key_of_its_own,
    with_another_algorithm,
    changed_after_signing,
    lambda *_: "x.y.z",
    lambda *_: "",
    lambda *_: "é" * 10,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_a_forged_id_token_opens_nothing(set_up: Resources, client: AsyncClient, provider: StandIn, forge):
    provider.sign = forge
    assert outcome(await sign_in(client)) == (401, "INVALID_CREDENTIALS")
    provider.sign = None
    assert (await sign_in(client)).status_code == 303


async def test_every_claim_has_to_be_right(set_up: Resources, client: AsyncClient, provider: StandIn):
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        *({"nonce": nonce} for nonce in ("another", None, "", ["x"])),
        *({"aud": audience} for audience in ("another", ["another"], None, [], {CLIENT_ID: 1})),
        *({"iss": issuer} for issuer in ("https://evil.example", provider.issuer + "/", None, [provider.issuer])),
        *({"exp": moment} for moment in (now - 61, 0, None, "2999-01-01", "9" * 20, -1)),
        *({"iat": moment} for moment in (now + 120, None, "now")),
        {"nbf": now + 120},
        {"at_hash": "x" * 22},
        {"at_hash": 5},
        *({"sub": subject} for subject in (None, "", "x" * 256, 5, "a\0b")),
        {"azp": "another"},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"aud": [CLIENT_ID, "another"]},  # which of them is it for?
    ]
    for changes in wrong:
        provider.changes = changes
        assert outcome(await sign_in(client)) == (401, "INVALID_CREDENTIALS"), changes
    for changes in ({"exp": now - 30}, {"aud": [CLIENT_ID]}, {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}):
        provider.changes = changes
        assert (await sign_in(client)).status_code == 303, changes


async def test_a_provider_that_announces_only_secret_algorithms_is_not_used(
    set_up: Resources, client: AsyncClient, provider: StandIn
):
    provider.discovery = {"id_token_signing_alg_values_supported": ["HS256", "none"]}
    provider.sign = signed_with_the_client_secret
    assert outcome(await sign_in(client)) == (401, "INVALID_CREDENTIALS")


async def test_new_keys_of_the_provider_are_fetched_once(set_up: Resources, client: AsyncClient, provider: StandIn):
    await sign_in(client)
    await sign_in(client)
    assert (provider.count("/jwks"), provider.count("/.well-known/openid-configuration")) == (1, 1)
    provider.key = make_signing_key()
    assert outcome(await sign_in(client)) == (401, "INVALID_CREDENTIALS")  # a key that it does not publish
    assert provider.count("/jwks") == 2
    provider.published.append(provider.key)
    assert (await sign_in(client)).status_code == 303
    assert (await sign_in(client)).status_code == 303
    assert provider.count("/jwks") == 3


# --- a provider that is ill -----------------------------------------------------------------------------------------

ILL: dict[str, Callable[[Request], Any]] = {
    "an error": lambda _: JSONResponse({}, 500),
    "no JSON": lambda _: PlainTextResponse("<html>"),
    "no object": lambda _: JSONResponse([1]),
    "deep": lambda _: PlainTextResponse("[" * 100_000),
    "large": lambda _: PlainTextResponse('{"a":"' + "x" * 300_000 + '"}'),
    "a redirect": lambda request: RedirectResponse(f"{request.url}?again", 307),
    "empty": lambda _: JSONResponse({}),
    "not found": lambda _: JSONResponse({}, 404),
}


@pytest.mark.parametrize("illness", ILL)
async def test_what_an_ill_provider_says_is_a_503(
    set_up: Resources, client: AsyncClient, provider: StandIn, illness: str
):
    provider.answer = ILL[illness]
    response = await client.get(LOGIN)
    assert outcome(response) == (503, "SERVICE_UNAVAILABLE")
    assert response.headers["Retry-After"]
    assert len(provider.asked) == 1  # no redirect is followed

    provider.answer = None
    back = await at_the_provider(await leave(client))
    provider.answer = ILL[illness]
    assert outcome(await client.get(back)) == (503, "SERVICE_UNAVAILABLE")
    provider.answer = None
    assert (await sign_in(client)).status_code == 303


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": 5},
    ],
    ids=str,
)
async def test_a_discovery_document_has_to_be_of_the_provider_that_is_meant(
    set_up: Resources, client: AsyncClient, provider: StandIn, wrong: dict[str, Any]
):
    provider.discovery = wrong
    assert outcome(await client.get(LOGIN)) == (503, "SERVICE_UNAVAILABLE")
    provider.discovery = {}
    assert (await client.get(LOGIN)).status_code == 303


async def test_a_provider_that_is_down_or_silent_is_a_503(
    application: FastAPI, resources: Resources, client: AsyncClient, admin
):
    async with configured(application, resources, "http://127.0.0.1:9", timeout=timedelta(seconds=1)):
        assert outcome(await client.get(LOGIN)) == (503, "SERVICE_UNAVAILABLE")


async def test_a_wrong_client_secret_is_for_the_operator(
    application: FastAPI, set_up: Resources, resources: Resources, client: AsyncClient, provider: StandIn
):
    async with configured(application, resources, provider.issuer, client_secret="wrong"):
        assert outcome(await sign_in(client)) == (503, "SERVICE_UNAVAILABLE")


async def test_errors_of_the_provider_keep_the_form_of_errors(set_up: Resources, client: AsyncClient):
    for error, expected in {
        "temporarily_unavailable": (503, "SERVICE_UNAVAILABLE"),
        "login_required": (400, "BAD_REQUEST"),
        "access_denied": (403, "PERMISSION_DENIED"),
        "<script>": (400, "BAD_REQUEST"),
    }.items():
        state = parse_qs(urlsplit(await leave(client)).query)["state"][0]
        assert outcome(await client.get(CALLBACK, params={"state": state, "error": error})) == expected
    state = parse_qs(urlsplit(await leave(client)).query)["state"][0]
    assert outcome(await client.get(CALLBACK, params={"state": state})) == (400, "BAD_REQUEST")
    assert outcome(await client.get(CALLBACK)) == (422, "VALIDATION_ERROR")
