"""`Idempotency-Key` on any POST: pure ASGI, because whole responses are replayed, whatever route made them."""

import hashlib
import re
from typing import Final
from uuid import UUID

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.callers import Caller
from app.api.errors import error_response
from app.rates import Budget
from app.realtime.limits import Allowance
from app.services import Services
from app.services.idempotency import FirstAnswer
from app.services.limits import caller_key

LONGEST_KEY: Final = 255
KEY_PATTERN: Final = "[!-~](?:[ -~]*[!-~])?"
LARGEST_ANSWER: Final = 1_048_576  # bytes; a larger one is not kept
NOT_KEPT: Final = frozenset({413, 429})  # the body of the first is not worth reading for its digest
CARRIED_HEADERS: Final = frozenset({"content-type", "location", "etag"})


class Fingerprint:
    """Digest of method, path and body; without a form's boundary, which clients draw anew for each attempt."""

    def __init__(self, scope: Scope) -> None:
        options = parse_options_header(Headers(scope=scope).get("content-type"))[1]
        self._boundary = options.get(b"boundary", b"")
        self._tail = b""  # may be the beginning of a boundary
        head = f"{scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')}\n"
        self._hash = hashlib.sha256(head.encode())

    def update(self, piece: bytes) -> None:
        if not self._boundary:
            self._hash.update(piece)
            return
        *parts, rest = (self._tail + piece).split(self._boundary)
        for part in parts:
            self._hash.update(part + b"boundary")
        settled = max(0, len(rest) - len(self._boundary) + 1)
        self._hash.update(rest[:settled])
        self._tail = rest[settled:]

    def digest(self) -> bytes:
        """Of a body that is whole."""
        self._hash.update(self._tail)
        self._tail = b""
        return self._hash.digest()


class Exchange:
    """Watches one request and its response go by; the end of the response waits for `finish`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._fingerprint = Fingerprint(scope)
        self._has_read_all = False
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._body = b""
        self._is_complete = False
        self._is_stream = False
        self._is_secret = False
        self._end: Message | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._fingerprint.update(message.get("body", b""))
        self._has_read_all = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def fingerprint(self) -> bytes:
        """Of the whole request; reads what the route has not read."""
        while not self._has_read_all:
            await self.receive()
        return self._fingerprint.digest()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            named = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"])
            headers = dict(named)
            self._headers = [(name, value) for name, value in headers.items() if name in CARRIED_HEADERS]
            self._is_stream = headers.get("content-type", "").startswith("text/event-stream")
            self._is_secret = "no-store" in headers.get("cache-control", "")
        elif message["type"] == "http.response.body":
            if not self._is_stream and len(self._body) <= LARGEST_ANSWER:
                self._body += message.get("body", b"")
            self._is_complete = not message.get("more_body", False)
        if self._is_complete and not self._is_stream:
            self._end = message
        else:
            await self._send(message)

    async def finish(self) -> None:
        """Send the end of the response. Whoever has it can rely on what is kept by now."""
        if self._end is not None:
            await self._send(self._end)

    async def answer(self) -> FirstAnswer | None:
        """What to keep; None for a stream, a broken response, or a failure on our side: that may be tried again."""
        is_whole = self._is_complete and not self._is_stream and len(self._body) <= LARGEST_ANSWER
        if not is_whole or self._status >= 500 or self._status in NOT_KEPT:
            return None
        body = None if self._is_secret else self._body
        return FirstAnswer(await self.fingerprint(), self._status, self._headers, body)


class IdempotencyMiddleware:
    """Stands inside the request middleware, so that replayed answers get their own request id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        key = headers.get("idempotency-key")
        if key is None:
            return await self._app(scope, receive, send)
        services: Services = scope["app"].state.resources.services
        principal = await Caller.of(HTTPConnection(scope)).principal_if_known()
        if principal is None:  # the route says what is wrong with the credentials, or needs none
            return await self._app(scope, receive, send)
        if len(key) > LONGEST_KEY or not re.fullmatch(KEY_PATTERN, key):
            message = f"Idempotency-Key has 1 to {LONGEST_KEY} printable characters of ASCII."
            return await error_response(400, "BAD_REQUEST", message, {})(scope, receive, send)
        user_id, exchange = principal.user_id, Exchange(scope, receive, send)
        if await services.idempotency.claim(user_id, key):
            return await self._carry_out(services, user_id, key, scope, exchange)
        allowance = await services.limits.take([(Budget.REQUESTS, caller_key(principal, ""))], principal)
        scope["state"]["allowance"] = allowance  # no route counts a repetition
        if allowance is not None and allowance.is_refused:
            return await _too_many(allowance)(scope, receive, send)
        return await (await _repeat(services, user_id, key, exchange))(scope, receive, send)

    async def _carry_out(self, services: Services, user_id: UUID, key: str, scope: Scope, exchange: Exchange) -> None:
        answer = None
        try:
            await self._app(scope, exchange.receive, exchange.send)
            answer = await exchange.answer()
        finally:
            try:
                await _remember(services, user_id, key, answer)
            finally:
                await exchange.finish()


async def _remember(services: Services, user_id: UUID, key: str, answer: FirstAnswer | None) -> None:
    if answer is None:
        await services.idempotency.release(user_id, key)
    else:
        await services.idempotency.keep(user_id, key, answer)


def _too_many(allowance: Allowance) -> Response:
    seconds = str(int(allowance.reset_after.total_seconds()))
    return error_response(429, "RATE_LIMITED", "Too many requests: please slow down.", {}, {"Retry-After": seconds})


async def _repeat(services: Services, user_id: UUID, key: str, exchange: Exchange) -> Response:
    first = await services.idempotency.first_answer(user_id, key)
    details = {"idempotency_key": key}
    if first is None:
        return error_response(409, "CONFLICT", "The first request with this key is still being worked on.", details)
    if first.fingerprint != await exchange.fingerprint():
        return error_response(409, "CONFLICT", "This key was used for another request.", details)
    if first.body is None:
        message = "This was carried out; its answer held a secret and is not kept."
        return error_response(409, "CONFLICT", message, details)
    return Response(first.body, first.status, {**dict(first.headers), "Idempotency-Replayed": "true"})
