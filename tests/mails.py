"""Mails that were sent during a test, and real SMTP servers to send them to."""

import asyncio
import email
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from sqlalchemy import select

from app.models import OutgoingMail
from app.resources import Resources
from app.settings import Settings
from tests.factories import execute

TOKEN = re.compile(r"#token=(hearth_mail_[A-Za-z0-9_-]+)")


def read_mails(settings: Settings, to: str) -> list[EmailMessage]:
    """What was written into the folder for an address, the oldest first."""
    written = (settings.data_dir / "mails").glob("*.eml")
    files = sorted(written, key=lambda path: path.name.split("-", 2)[2])  # by the id, so in the order of asking
    mails = [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]
    return [mail for mail in mails if mail["To"] == to]


async def mails_to(resources: Resources, to: str) -> list[EmailMessage]:
    """The same, after everything that waits was sent, by this process or by a worker beside it."""
    async with asyncio.timeout(10):
        await resources.services.mails.send_due()
        while await execute(resources, select(OutgoingMail.id).limit(1)) is not None:
            await asyncio.sleep(0.05)
    return read_mails(resources.settings, to)


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return body.get_content()


def html_of(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body is not None
    return body.get_content()


def token_in(mail: EmailMessage) -> str:
    [found] = set(TOKEN.findall(text_of(mail)))
    assert TOKEN.findall(html_of(mail)) == [found]
    return found


@dataclass
class MailServer:
    """Takes every mail, unless told otherwise."""

    host: str
    port: int = 0
    answer: str = "250 OK"
    """To RCPT."""
    is_hanging: bool = False
    received: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    passwords: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.is_hanging:
            await asyncio.sleep(60)
        if self.answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - the name that aiosmtpd calls
        self.recipients += envelope.rcpt_tos
        self.received.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def authenticate(self, server: SMTP, session: Any, envelope: Any, mechanism: str, login: object) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.passwords.append((login.login, login.password))
        is_right = login.password == b"p@ss word"
        return AuthResult(success=is_right, handled=is_right)


@asynccontextmanager
async def mail_server(
    *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[MailServer]:
    """An SMTP server on a real socket; `options` are those of `MailServer`."""
    server = MailServer(host, **options)

    def connect() -> SMTP:
        return SMTP(
            server,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=tls,
            auth_require_tls=False,
            authenticator=server.authenticate,
        )

    listening = await asyncio.get_running_loop().create_server(connect, host, port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
