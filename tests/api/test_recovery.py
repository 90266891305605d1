"""Passwords and addresses that change, by mail and signed in; what the answers do not tell."""

import asyncio
import base64
import hashlib
import re
import statistics
import time
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import func, select, update

from app.main import create_app
from app.models import AuditAction, AuditEntry, MailToken, User
from app.resources import Resources
from app.settings import PasswordSettings
from tests.factories import PASSWORD, execute, login, make_key, make_user, register, with_fresh_accounts
from tests.mails import html_of, mails_to, text_of, token_in

ME = "/api/v1/users/me"
AUTH = "/api/v1/auth"
NEW = "a lamp that nobody lit"
STRICT = PasswordSettings(memory_kib=64, time_cost=1)


def code_of(response: Response) -> str:
    return response.json()["error"]["code"]


def loc_of(response: Response) -> list[str]:
    [error] = response.json()["error"]["details"]["errors"]
    return error["loc"]


def address() -> str:
    return f"{uuid4().hex[:12]}@example.com"


async def forgot(client: AsyncClient, email: str) -> Response:
    return await client.post(f"{AUTH}/password/forgot", json={"email": email})


async def reset(client: AsyncClient, token: str, password: str = NEW) -> Response:
    return await client.post(f"{AUTH}/password/reset", json={"token": token, "password": password})


async def verify(client: AsyncClient, token: str) -> Response:
    return await client.post(f"{AUTH}/email/verify", json={"token": token})


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post(f"{AUTH}/refresh", json={"refresh_token": token})


async def change_password(client: AsyncClient, user, old: str, new: str) -> Response:
    body = {"current_password": old, "new_password": new}
    return await client.post(f"{ME}/password", json=body, headers=user.headers)


async def change_email(client: AsyncClient, user, email: str, password: str = PASSWORD) -> Response:
    body = {"email": email, "current_password": password}
    return await client.post(f"{ME}/email", json=body, headers=user.headers)


def serving(resources: Resources, **settings: object) -> AsyncClient:
    """The application with other settings."""
    app = create_app(resources=with_fresh_accounts(resources, **settings))
    return AsyncClient(transport=ASGITransport(app), base_url="http://test")


async def actions_of(resources: Resources, user) -> list[str]:
    async with resources.uow() as uow:
        rows = await uow._session.scalars(
            select(AuditEntry.action).where(AuditEntry.target_id == user.id).order_by(AuditEntry.id)
        )
        return list(rows)


async def test_a_new_account_is_asked_to_confirm_its_address(client: AsyncClient, resources: Resources):
    email = address()
    assert (await register(client, email, name="<b>Eve</b> http://evil.example")).status_code == 201
    [mail] = await mails_to(resources, email)
    assert "evil" not in text_of(mail) + html_of(mail)  # whoever chose the name may not be who reads this
    verified = select(User.email_verified_at).where(User.email == email)
    assert await execute(resources, verified) is None

    assert (await verify(client, token_in(mail))).status_code == 204
    assert await execute(resources, verified) is not None
    again = await verify(client, token_in(mail))
    assert (again.status_code, code_of(again)) == (401, "INVALID_CREDENTIALS")
    assert (await reset(client, token_in(mail))).status_code == 401  # for another purpose


async def test_a_forgotten_password_is_replaced_once_and_every_log_in_ends(
    client: AsyncClient, resources: Resources, owner
):
    assert (await verify(client, token_in((await mails_to(resources, owner.email))[0]))).status_code == 204
    key = await make_key(client, owner)
    assert (await forgot(client, owner.email.upper())).status_code == 202
    mail = (await mails_to(resources, owner.email))[-1]
    weak = await reset(client, token_in(mail), "short")
    assert (weak.status_code, loc_of(weak)) == (422, ["body", "password"])

    assert (await reset(client, token_in(mail))).status_code == 204
    assert code_of(await reset(client, token_in(mail), PASSWORD)) == "INVALID_CREDENTIALS"
    assert (await login(client, owner.email)).status_code == 401
    assert (await login(client, owner.email, NEW)).status_code == 200
    assert (await client.get(ME, headers=owner.headers)).status_code == 401
    assert (await refresh(client, owner.refresh_token)).status_code == 401
    assert (await client.get(ME, headers={"X-API-Key": key["key"]})).status_code == 200
    notice = (await mails_to(resources, owner.email))[-1]
    assert notice["Subject"] == "Your password was changed"
    assert "Hello Owner," in text_of(notice)  # the address is confirmed now
    assert AuditAction.PASSWORD_RESET in await actions_of(resources, owner)


async def test_whoever_registered_with_anothers_address_keeps_no_way_in(
    client: AsyncClient, resources: Resources, owner
):
    """The address was never confirmed, so the key may be somebody else's than the one who reads the mail."""
    planted = await make_key(client, owner)
    await forgot(client, owner.email)
    assert (await reset(client, token_in((await mails_to(resources, owner.email))[-1]))).status_code == 204
    assert (await client.get(ME, headers={"X-API-Key": planted["key"]})).status_code == 401


async def test_a_link_is_good_for_its_time_its_account_and_its_address(
    client: AsyncClient, resources: Resources, owner
):
    async def link() -> str:
        await forgot(client, owner.email)
        return token_in((await mails_to(resources, owner.email))[-1])

    old = await link()
    await execute(resources, update(MailToken).values(expires_at=func.clock_timestamp() - timedelta(seconds=1)))
    assert code_of(await reset(client, old)) == "TOKEN_EXPIRED"
    disabled = await link()
    await execute(resources, update(User).where(User.email == owner.email).values(is_active=False))
    assert (await reset(client, disabled)).status_code == 401
    assert len(await mails_to(resources, owner.email)) == 3
    await forgot(client, owner.email)
    assert len(await mails_to(resources, owner.email)) == 3  # a disabled account gets none
    await execute(resources, update(User).where(User.email == owner.email).values(is_active=True))
    before = await link()
    assert (await change_password(client, owner, PASSWORD, NEW)).status_code == 204
    assert (await reset(client, before)).status_code == 401
    for garbage in ("", "hearth_mail_unknown", "hearth_mail_ü", owner.refresh_token):
        assert code_of(await reset(client, garbage)) == "INVALID_CREDENTIALS"


async def test_of_two_who_use_a_link_at_once_one_succeeds(committed: Resources):
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        user = await make_user(client)
        await forgot(client, user.email)
        token = token_in((await mails_to(committed, user.email))[-1])
        answers = await asyncio.gather(*(reset(client, token, f"{NEW} {number}") for number in range(4)))
        assert sorted(answer.status_code for answer in answers) == [204, 401, 401, 401]
        [chosen] = [number for number, answer in enumerate(answers) if answer.status_code == 204]
        assert (await login(client, user.email, f"{NEW} {chosen}")).status_code == 200


async def test_asking_does_not_tell_whether_an_address_is_known(client: AsyncClient, resources: Resources, owner):
    known, unknown = await forgot(client, owner.email), await forgot(client, address())
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert known.status_code == 202

    async def cost(email: str) -> float:
        began = time.perf_counter()
        await resources.services.recovery.forgot(email)
        return time.perf_counter() - began

    pairs = [(await cost(owner.email), await cost(address())) for _ in range(30)]
    ratio = statistics.median(known for known, _ in pairs) / statistics.median(unknown for _, unknown in pairs)
    assert 0.5 < ratio < 2


async def test_an_address_gets_few_mails_however_many_are_asked_for(client: AsyncClient, resources: Resources, owner):
    limits = resources.settings.rate_limit.model_copy(update={"mails": "3/hour", "login": "1000/minute"})
    async with serving(resources, rate_limit=limits) as client:
        answers = [await forgot(client, owner.email) for _ in range(6)]
    assert len({(answer.status_code, answer.text.split('"request_id"')[0]) for answer in answers}) == 1
    mails = await mails_to(resources, owner.email)
    assert len([mail for mail in mails if mail["Subject"] == "Choose a new password"]) <= 3


async def test_where_addresses_must_be_confirmed_nobody_learns_who_has_an_account(
    resources: Resources, client: AsyncClient, owner
):
    taken, free = owner.email, address()
    async with serving(resources, require_verified_email=True) as strict:
        times, bodies = [], []
        for email in (taken, free):
            began = time.monotonic()
            answer = await register(strict, email, password=NEW)
            times.append(time.monotonic() - began)
            assert answer.status_code == 201
            bodies.append(answer.json())
        assert bodies[0].keys() == bodies[1].keys()
        assert bodies[0]["id"] != owner.id
        differing = {name for name in bodies[0] if bodies[0][name] != bodies[1][name]}
        assert differing <= {"id", "email", "created_at", "updated_at"}
        assert min(times) > 0.5  # both wait for the same moment
        refused = [await login(strict, email, NEW) for email in (taken, free)]
        assert [answer.status_code for answer in refused] == [401, 401]
        assert refused[0].json()["error"] == refused[1].json()["error"]

        assert (await verify(strict, token_in((await mails_to(resources, free))[-1]))).status_code == 204
        assert (await login(strict, free, NEW)).status_code == 200
        notice = (await mails_to(resources, taken))[-1]
        assert notice["Subject"] == "You have an account already"
        assert (await reset(strict, token_in(notice), "another good password")).status_code == 204
        assert (await login(strict, taken, "another good password")).status_code == 200


async def test_a_changed_password_ends_all_other_log_ins(client: AsyncClient, resources: Resources, owner):
    elsewhere = (await login(client, owner.email)).json()
    wrong = await change_password(client, owner, "not mine", NEW)
    assert (wrong.status_code, loc_of(wrong)) == (422, ["body", "current_password"])
    weak = await change_password(client, owner, PASSWORD, owner.email)
    assert (weak.status_code, loc_of(weak)) == (422, ["body", "new_password"])
    assert (await change_password(client, owner, PASSWORD, NEW)).status_code == 204
    assert (await client.get(ME, headers=owner.headers)).status_code == 200
    assert (await refresh(client, owner.refresh_token)).status_code == 200
    assert (await refresh(client, elsewhere["refresh_token"])).status_code == 401
    assert (await login(client, owner.email)).status_code == 401
    assert (await login(client, owner.email, NEW)).status_code == 200
    assert (await mails_to(resources, owner.email))[-1]["Subject"] == "Your password was changed"
    key = await make_key(client, owner, scopes=["read", "write"])
    body = {"current_password": NEW, "new_password": PASSWORD}
    by_key = await client.post(f"{ME}/password", json=body, headers={"X-API-Key": key["key"]})
    assert (by_key.status_code, code_of(by_key)) == (403, "PERMISSION_DENIED")


async def test_who_found_an_open_browser_cannot_guess_the_password(client: AsyncClient, owner):
    answers = [(await change_password(client, owner, f"guess {number}", NEW)).status_code for number in range(7)]
    assert answers == [422] * 5 + [429] * 2
    assert (await login(client, owner.email)).status_code == 200  # that does not lock the owner out


async def test_an_address_changes_when_the_new_one_is_confirmed(client: AsyncClient, resources: Resources, owner):
    new = address()
    await forgot(client, owner.email)
    stale = token_in((await mails_to(resources, owner.email))[-1])
    wrong = await change_email(client, owner, new, "not mine")
    assert (wrong.status_code, loc_of(wrong)) == (422, ["body", "current_password"])
    assert (await change_email(client, owner, new)).status_code == 202
    assert (await client.get(ME, headers=owner.headers)).json()["email"] == owner.email
    [mail] = await mails_to(resources, new)
    notice = (await mails_to(resources, owner.email))[-1]
    assert new in text_of(notice)
    assert (await verify(client, token_in(mail))).status_code == 204
    assert (await client.get(ME, headers=owner.headers)).json()["email"] == new
    assert (await login(client, owner.email)).status_code == 401
    assert (await login(client, new)).status_code == 200
    assert (await reset(client, stale)).status_code == 401
    assert AuditAction.EMAIL_VERIFIED in await actions_of(resources, owner)


async def test_a_new_password_stops_a_change_of_address(client: AsyncClient, resources: Resources, owner):
    thiefs = address()
    await change_email(client, owner, thiefs)
    [mail] = await mails_to(resources, thiefs)
    assert (await change_password(client, owner, PASSWORD, NEW)).status_code == 204
    assert (await verify(client, token_in(mail))).status_code == 401


async def test_only_its_owner_learns_that_an_address_is_taken(client: AsyncClient, resources: Resources, owner, admin):
    taken, free = await change_email(client, owner, admin.email), await change_email(client, owner, address())
    assert (taken.status_code, taken.json()) == (free.status_code, free.json()) == (202, free.json())
    mail = (await mails_to(resources, admin.email))[-1]
    assert mail["Subject"] == "Your address was asked for"
    assert "token" not in text_of(mail)


async def test_an_address_that_was_taken_meanwhile_stays_with_its_account(committed: Resources):
    transport = ASGITransport(create_app(resources=committed))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        user, email = await make_user(client), address()
        await change_email(client, user, email)
        [mail] = await mails_to(committed, email)
        assert (await register(client, email)).status_code == 201
        refused = await verify(client, token_in(mail))
        assert (refused.status_code, code_of(refused)) == (409, "CONFLICT")
        assert (await client.get(ME, headers=user.headers)).json()["email"] == user.email


async def test_the_confirmation_can_be_asked_for_again(client: AsyncClient, resources: Resources, owner):
    again = f"{ME}/email/verification"
    before = len(await mails_to(resources, owner.email))
    assert (await client.post(again, headers=owner.headers)).status_code == 202
    mails = await mails_to(resources, owner.email)
    assert len(mails) == before + 1
    assert (await verify(client, token_in(mails[-1]))).status_code == 204
    assert (await client.post(again, headers=owner.headers)).status_code == 202
    assert len(await mails_to(resources, owner.email)) == before + 1  # none is needed


async def test_where_no_mail_is_sent_that_is_said(resources: Resources, client: AsyncClient, owner):
    before = len(await mails_to(resources, owner.email))
    async with serving(replace(resources, foundation=replace(resources.foundation, mail_sender=None))) as client:
        asked = [await forgot(client, owner.email), await change_email(client, owner, address())]
        assert [(answer.status_code, code_of(answer)) for answer in asked] == [(403, "PERMISSION_DENIED")] * 2
        assert "sends no mail" in asked[0].text
        assert (await register(client, address())).status_code == 201
        assert (await change_password(client, owner, PASSWORD, NEW)).status_code == 204
    assert len(await mails_to(resources, owner.email)) == before


BAD_PASSWORDS = ["password1", "qwertyuiop", "short", "aaaaaaaaaaaa", "iloveyou", "hearth2024"]


async def test_easy_passwords_are_refused_with_advice(resources: Resources):
    email = address()
    client = serving(resources, password=STRICT)
    for password in [*BAD_PASSWORDS, email, email.upper(), "Countess Lovelace"]:
        refused = await register(client, email, name="Countess Lovelace", password=password)
        assert (refused.status_code, loc_of(refused)) == (422, ["body", "password"]), password
    advice = (await register(client, email, password="password1")).json()["error"]["details"]["errors"][0]["msg"]
    assert "common password" in advice
    for good in ("correct horse battery staple", "a good password", "x" * 4 + "Zk3 éa猫-" * 50):
        assert (await register(client, address(), password=good)).status_code == 201


async def test_links_lead_to_pages_whose_script_may_run(client: AsyncClient):
    for path, route in (("/reset-password", "auth/password/reset"), ("/verify-email", "auth/email/verify")):
        page = await client.get(path)
        [script] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["Content-Security-Policy"]
        assert f'fetch("api/v1/{route}"' in script
        assert (await client.post(f"/api/v1/{route}", json={"token": "x", "password": NEW})).status_code == 401
