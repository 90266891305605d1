"""A receiver of webhooks on loopback, and what it does to believe what comes: by the standard, not by our code."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from app.adapters.webhook_sender import WebhookSender
from app.resources import Resources
from app.security import make_cipher
from app.services.deliveries import DeliveryService
from app.services.webhooks import WebhookService
from app.settings.workspace import WebhookSettings

TOLERANCE = 300  # seconds


@dataclass
class Message:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`statuses` are said one after the other, the last one for ever; `waits` before each answer."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    waits: float = 0.0
    location: str = ""
    answer: bytes = b""
    received: list[Message] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def wait_for(self, count: int, *, seconds: float = 10) -> list[Message]:
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                self._news.clear()
                await self._news.wait()
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        assert request == "POST /hooks HTTP/1.1"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.received.append(Message(headers, body))
        self._news.set()
        await asyncio.sleep(self.waits)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        location = f"Location: {self.location}\r\n" if self.location else ""
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(self.answer)}\r\n{location}\r\n"
        writer.write(head.encode() + self.answer)
        await writer.drain()


@asynccontextmanager
async def receiver(**options: Any) -> AsyncIterator[Receiver]:
    opened = Receiver(**options)
    server = await asyncio.start_server(opened.serve, "127.0.0.1", 0)
    opened.port = server.sockets[0].getsockname()[1]
    try:
        yield opened
    finally:
        server.close()


def verify(secret: str, message: Message) -> dict[str, Any]:
    """As standard-webhooks/spec/standard-webhooks.md says. Raises AssertionError: it is not to be believed."""
    assert secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert 24 <= len(key) <= 64
    timestamp = message.headers["webhook-timestamp"]
    assert abs(time.time() - int(timestamp)) < TOLERANCE
    signed = b".".join([message.id.encode(), timestamp.encode(), message.body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [signature.split(",", 1) for signature in message.headers["webhook-signature"].split(" ")]
    assert ["v1", expected] in given, "signed with another secret, or not what was signed"
    return message.json


def with_webhooks(resources: Resources, *receivers: Receiver, **settings: Any) -> Resources:
    """The same resources, to which loopback is the internet."""
    ports = tuple(opened.port for opened in receivers)
    given = WebhookSettings(**{"allowed_networks": ("127.0.0.0/8",), "ports": (80, 443, *ports), **settings})
    sender, cipher = WebhookSender(given), make_cipher(resources.settings)
    services = resources.services
    workspace = replace(
        services.workspace,
        webhooks=WebhookService(resources.uow, given, sender=sender, cipher=cipher),
        deliveries=DeliveryService(resources.uow, given, sender=sender, cipher=cipher, mails=services.mails),
    )
    return replace(resources, services=replace(services, workspace=workspace))


async def deliver(resources: Resources) -> None:
    """Send what is due, and wait for what becomes of it."""
    deliveries = resources.services.workspace.deliveries
    await deliveries.send_due()
    while deliveries._under_way:
        await asyncio.wait(deliveries._under_way)
        await deliveries.send_due()
