"""Sends mails: by SMTP, or into a folder where there is no server for it."""

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import structlog
from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPNotSupported, SMTPRecipientsRefused

from app.events import utc_now
from app.settings import Settings

log = structlog.get_logger(__name__)

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PORTS: Final = {"smtp": 587, "smtps": 465}


class MailNotSent(Exception):
    """It may work later; the message says what happened, without what the mail says."""


class MailServerAway(MailNotSent):
    """It is not this mail's fault: the server cannot be reached, or does not answer."""


class MailRefused(Exception):
    """The server will not take this mail, now or later."""


@dataclass(frozen=True, slots=True)
class Mail:
    """`id` is the same each time that it is tried, so that a mail that came twice is recognised."""

    id: str
    to: str
    subject: str
    text: str
    html: str


class MailSender(Protocol):
    async def send(self, mail: Mail) -> None:
        """Returns when somebody else is responsible for the mail.

        Raises:
            MailRefused: never try it again.
            MailNotSent: try it later.
            MailServerAway: try it, and all others, as soon as the server is back.
        """


class MailServer:
    """SMTP. Encryption is used where it is offered, and insisted upon where a password is sent to another machine."""

    def __init__(self, url: str, sender: Address, timeout: timedelta) -> None:
        self._url = urlsplit(url)
        self._sender = sender
        self._timeout = timeout.total_seconds()

    async def send(self, mail: Mail) -> None:
        message, is_connected = write_message(mail, self._sender), False
        try:
            async with asyncio.timeout(self._timeout), self._connection() as connection:
                is_connected = True
                await connection.send_message(message, sender=self._sender.addr_spec, recipients=[in_ascii(mail.to)])
        except SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            raise _judged(codes, f"the recipient was refused: {codes}") from error
        except SMTPDataError as error:
            raise _judged([error.code], f"the mail was refused: {error.code} {error.message}") from error
        except SMTPNotSupported as error:
            raise MailRefused(f"the server cannot take this address: {error}") from error
        except OSError as error:  # time-outs, too: of one who takes all other mails, they are the mail's own
            is_away = not is_connected or isinstance(error, ConnectionError)
            failure = MailServerAway if is_away and not isinstance(error, ssl.SSLError) else MailNotSent
            raise failure(f"{type(error).__name__}: {error}") from error
        except SMTPException as error:
            raise MailNotSent(f"{type(error).__name__}: {error}") from error

    def _connection(self) -> SMTP:
        url = self._url
        needs_encryption = url.scheme == "smtp" and url.username is not None and url.hostname not in LOOPBACK
        return SMTP(
            hostname=url.hostname,
            port=url.port or PORTS[url.scheme],
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            start_tls=True if needs_encryption else None if url.scheme == "smtp" else False,
            timeout=self._timeout,
            local_hostname=self._sender.domain,
        )


class MailFolder:
    """For development: each mail is a file that a mail program can open."""

    def __init__(self, folder: Path, sender: Address) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        content = write_message(mail, self._sender).as_bytes()
        path = self._folder / f"{utc_now():%Y%m%d-%H%M%S}-{mail.id}.eml"
        try:
            await asyncio.to_thread(_write, path, content)
        except OSError as error:
            raise MailNotSent(f"{path}: {error}") from error
        log.info("mail.written", subject=mail.subject, path=str(path))


def open_mail_sender(settings: Settings) -> MailSender | None:
    """None where this server sends no mail."""
    if not settings.sends_mail:
        return None
    url, sender = settings.smtp.url.get_secret_value(), sender_of(settings)
    if not url or url.startswith("file:"):
        return MailFolder(settings.data_dir / "mails", sender)
    return MailServer(url, sender, settings.smtp.timeout)


def sender_of(settings: Settings) -> Address:
    name, address = parseaddr(settings.smtp.from_address)
    host = urlsplit(settings.links_to).hostname or ""
    domain = in_ascii_domain(host) if re.search("[a-z]", host) and ":" not in host else "localhost"  # no IP address
    return Address(name or "Hearth", addr_spec=in_ascii(address) if address else f"no-reply@{domain}")


def write_message(mail: Mail, sender: Address) -> EmailMessage:
    """RFC 5322, in text and HTML. What would break out of a header raises ValueError."""
    message = EmailMessage(SMTP_POLICY)
    message["From"] = sender
    message["To"] = in_ascii(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = f"<{mail.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers by machines, please
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def in_ascii(address: str) -> str:
    """The address with its domain as the domain name system knows it; the part before the @ stays as it is."""
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}@{in_ascii_domain(domain)}"


def in_ascii_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


def _judged(codes: Sequence[int], reason: str) -> MailRefused | MailNotSent:
    is_final = all(code >= 500 for code in codes)
    return MailRefused(reason) if is_final else MailNotSent(reason)


def _write(path: Path, content: bytes) -> None:
    """The whole file at once, for its owner only: there are secrets in mails."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.rename(path)
