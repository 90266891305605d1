"""Mails (EML): who, when, what about, what was written, and what hangs on it."""

import email
from collections.abc import Iterator
from datetime import datetime
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial

from app.adapters.parsers.documents import Composer, Extracted
from app.adapters.parsers.hypertext import read_html_text
from app.adapters.parsers.members import Members
from app.adapters.parsers.texts import decode, make_safe, tidy

SHOWN = ("Subject", "From", "To", "Cc", "Date")
MAX_HEADER = 10_000  # characters: long lists of receivers take the standard library quadratic time
MAX_PARTS = 1_000
MAX_DEPTH = 10  # of parts within parts


def read_mail(data: bytes) -> Extracted:
    """The subject is the heading; the body is its plain text, else its HTML; attachments are read one level deep.

    An attached mail is not opened, and neither is an archive: they are named.
    """
    message = email.message_from_bytes(data)  # bytes and all: the modern policy fails over broken headers
    composer = Composer()
    subject = _header(message, "Subject")
    if subject:
        composer.add_heading(1, subject)
    composer.add("\n".join(f"{name}: {value}" for name in SHOWN[1:] if (value := _header(message, name))))
    parts = list(_parts(message))[:MAX_PARTS]
    for part in _body(parts):
        found = _read_body(part)
        composer.include(found, below=int(bool(subject)))
    members = Members(composer)
    for number, part in enumerate(part for part in parts if _is_attachment(part)):
        name = tidy(_decoded(str(part.get_filename() or ""))) or f"attachment {number + 1}"
        members.add(name, partial(_payload, part))
    members.finish()
    return composer.finish(subject)


def _parts(message: Message) -> Iterator[Message]:
    """Those that hold something themselves, but not what is in an attached mail."""
    waiting = [(message, 0)]
    while waiting:
        part, depth = waiting.pop()
        children = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(children, list) and depth < MAX_DEPTH:
            waiting.extend((child, depth + 1) for child in reversed(children) if isinstance(child, Message))
        else:
            yield part


def _body(parts: list[Message]) -> list[Message]:
    texts = [part for part in parts if not _is_attachment(part)]
    plain = [part for part in texts if part.get_content_type() == "text/plain" and _payload(part).strip()]
    return plain or [part for part in texts if part.get_content_type() == "text/html"]


def _is_attachment(part: Message) -> bool:
    if part.get_content_maintype() == "image" and "Content-ID" in part:
        return False  # a picture in the HTML
    is_text = part.get_content_type() in ("text/plain", "text/html")
    return part.get_content_disposition() == "attachment" or not is_text or bool(part.get_filename())


def _read_body(part: Message) -> Extracted:
    text = decode(_payload(part), part.get_content_charset())
    if part.get_content_type() == "text/html":
        return read_html_text(text)
    composer = Composer()
    composer.add(make_safe(text).strip())
    return composer.finish()


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: Message, name: str) -> str:
    value = str(message.get(name, ""))[:MAX_HEADER]
    if name == "Date":
        return _date(value)
    return " ".join(tidy(_decoded(value)).split())


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, UnicodeError):  # an encoding that nobody knows, or that was not kept to
        return value


def _date(value: str) -> str:
    """As everybody can read it; as it was written where that is no date."""
    try:
        date: datetime = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return tidy(value)
    return date.isoformat(" ", "minutes")
