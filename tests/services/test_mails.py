"""Mails that wait until somebody takes them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from httpx import AsyncClient
from pydantic import SecretStr
from sqlalchemy import func, select, update

from app.adapters.letters import Letter
from app.adapters.mail import open_mail_sender
from app.models import MailToken, OutgoingMail
from app.resources import Resources
from app.services.mails import MailService, Order
from app.settings import SMTPSettings
from tests.factories import execute, register, with_fresh_accounts
from tests.mails import mail_server, read_mails
from tests.processes import LiveServer, free_port

TO = "ada@example.com"
ORDER = Order(letter=Letter.PASSWORD_CHANGED, email=TO)
FAR = timedelta(minutes=5)


def mailing(resources: Resources, port: int) -> MailService:
    smtp = SMTPSettings(url=SecretStr(f"smtp://127.0.0.1:{port}"), timeout=timedelta(seconds=2), retry_delay=FAR)
    settings = resources.settings.model_copy(update={"smtp": smtp})
    foundation = replace(resources.foundation, settings=settings, mail_sender=open_mail_sender(settings))
    return with_fresh_accounts(replace(resources, foundation=foundation), smtp=smtp).services.mails


async def queue(resources: Resources, mails: MailService, order: Order = ORDER) -> None:
    async with resources.uow() as uow:
        mails.queue(uow, order)


async def waiting(resources: Resources) -> OutgoingMail | None:
    async with resources.uow() as uow:
        return await uow._session.scalar(select(OutgoingMail))


async def make_due(resources: Resources) -> None:
    await execute(resources, update(OutgoingMail).values(run_after=func.clock_timestamp()))


async def delays_of(resources: Resources, mails: MailService) -> list[timedelta]:
    """How long a mail waits after each of three tries in vain."""
    delays = []
    for _ in range(3):
        await make_due(resources)
        await mails.send_due()
        row = await waiting(resources)
        assert row is not None
        assert TO.encode() not in row.content
        now = await execute(resources, select(func.clock_timestamp()))
        delays.append(row.run_after - now)
    return delays


async def test_a_mail_that_is_put_off_waits_longer_each_time(resources: Resources):
    async with mail_server(answer="451 Not now") as server:
        mails = mailing(resources, server.port)
        await queue(resources, mails)
        assert [round(delay / FAR, 1) for delay in await delays_of(resources, mails)] == [1, 2, 4]


async def test_a_mail_waits_for_a_server_that_comes_back(resources: Resources):
    port = free_port()
    mails = mailing(resources, port)
    await queue(resources, mails)
    assert all(delay < timedelta(seconds=4) for delay in await delays_of(resources, mails)), (
        "it is not the mail's fault"
    )

    async with mail_server(port=port) as server:
        await mails.send_due()
        assert server.received == []  # not yet
        await make_due(resources)
        await mails.send_due()
    assert [mail["To"] for mail in server.received] == [TO]
    assert await waiting(resources) is None


async def test_a_mail_that_is_refused_for_good_is_not_tried_again(resources: Resources):
    async with mail_server(answer="550 No such person") as server:
        mails = mailing(resources, server.port)
        await queue(resources, mails)
        await mails.send_due()
    assert await waiting(resources) is None


async def test_a_mail_is_given_up_after_a_day(resources: Resources):
    mails = mailing(resources, free_port())
    await queue(resources, mails)
    await execute(resources, update(OutgoingMail).values(created_at=func.clock_timestamp() - timedelta(days=1)))
    await mails.send_due()
    assert await waiting(resources) is None


async def test_a_slow_recipient_does_not_hold_up_the_others(resources: Resources):
    """Also, what was taken is not taken again while it is being sent."""
    async with mail_server(is_hanging=True) as slow:
        mails = mailing(resources, slow.port)
        await queue(resources, mails)
        held = asyncio.create_task(mails.send_due())
        await asyncio.sleep(0.5)
        async with mail_server() as server:
            others = mailing(resources, server.port)
            await queue(resources, others, ORDER.model_copy(update={"email": "grace@example.com"}))
            await others.send_due()
        assert [mail["To"] for mail in server.received] == ["grace@example.com"]
        await held


async def test_a_mail_that_cannot_be_read_waits_for_its_key(resources: Resources):
    async with mail_server() as server:
        mails = mailing(resources, server.port)
        await queue(resources, mails)
        row = await waiting(resources)
        assert row is not None
        await execute(resources, update(OutgoingMail).values(content=row.content[:-1] + b"x"))
        await mails.send_due()
    assert server.received == []
    assert await waiting(resources) is not None


async def test_secrets_whose_time_is_over_are_removed(resources: Resources, client: AsyncClient):
    count = select(func.count()).select_from(MailToken)
    await register(client, f"{uuid4().hex}@example.com")
    await resources.services.mails.sweep()
    assert await execute(resources, count) == 1
    await execute(resources, update(MailToken).values(expires_at=func.clock_timestamp()))
    await resources.services.mails.sweep()
    assert await execute(resources, count) == 0


async def test_a_worker_sends_what_is_queued(live: LiveServer, committed: Resources):
    email = f"{uuid4().hex}@example.com"
    async with live.client() as client:
        assert (await register(client, email)).status_code == 201
    async with asyncio.timeout(20):
        while not read_mails(committed.settings, email):
            await asyncio.sleep(0.05)
    assert len(read_mails(committed.settings, email)) == 1
