"""Around every request, as pure ASGI: request id, access log, metrics, security headers, the last catch of errors."""

import random
import re
import time
from functools import cache
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from app.api.draining import Drain
from app.api.errors import error_response, unexpected_error_response
from app.observability import Origin, origin, request_id
from app.settings.operation import LogSettings
from app.telemetry.meters import REQUEST_SECONDS, REQUESTS, REQUESTS_IN_PROGRESS
from app.telemetry.spans import NO_ROOT, Kind, Nothing, Root, Span, begin_root

log = structlog.get_logger("app.access")

WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
QUIET_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/api/v1/health", "/api/v1/metrics"})
"""Asked by machines, all the time: neither logged nor traced while they work."""
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CONTENT_SECURITY_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
JSON: Final = "application/json"
DEFAULT_HEADERS: Final = [
    (name.lower().encode(), value.encode())
    for name, value in {"Content-Security-Policy": CONTENT_SECURITY_POLICY, **SECURITY_HEADERS}.items()
]
HSTS: Final = "max-age=31536000; includeSubDomains"


class RequestMiddleware:
    """Outermost of ours: gives the request its id, logs, counts and traces it, and answers for what was not caught."""

    def __init__(self, app: ASGIApp, settings: LogSettings, drain: Drain) -> None:
        self._app = app
        self._drain = drain
        self._share = settings.access_share
        self._slow = settings.slow.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        token = request_id.set(given if WELL_FORMED_ID.fullmatch(given) else uuid7().hex)
        address = scope["client"][0] if scope.get("client") else ""
        came_from = origin.set(Origin(address, headers.get("user-agent", "")))
        try:
            with _root(scope, headers.get("traceparent", "")) as span:
                if scope["type"] == "websocket":
                    await self._follow(scope, receive, send, span)
                else:
                    await self._serve(scope, receive, send, span)
        finally:
            origin.reset(came_from)
            request_id.reset(token)

    async def _follow(self, scope: Scope, receive: Receive, send: Send, span: Span | Nothing) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            span.rename(f"WS {_route(scope)}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send, span: Span | Nothing) -> None:
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])  # the MCP SDK gives an HTTPStatus, which logs show as such
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id.get()
                if self._drain.is_on:
                    headers["Connection"] = "close"  # the next request finds another server
            await send(message)

        REQUESTS_IN_PROGRESS.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:  # in the middle of the body: there is nobody to answer to
            log.info("request.abandoned", method=scope["method"], path=scope["path"])
        except Exception as error:
            span.fail(type(error).__name__)
            if status:  # too late for an error response: the connection breaks, which is the truth
                log.exception("request.broken")
                raise
            await unexpected_error_response(error)(scope, receive, send_with_id)
        finally:
            REQUESTS_IN_PROGRESS.dec()
            self._record(scope, status, time.perf_counter() - started, span)

    def _record(self, scope: Scope, status: int, seconds: float, span: Span | Nothing) -> None:
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "OTHER"
        operation = str(getattr(scope.get("route"), "name", "unknown"))
        count, duration = _meters_of(method, operation, status)
        count.inc()
        duration.observe(seconds)
        if isinstance(span, Span):
            _tell(span, method, _route(scope), status)
        is_good = 0 < status < 400 and seconds < self._slow
        if (scope["path"] in QUIET_PATHS and status < 500) or (is_good and not self._is_chosen()):
            return
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            duration_ms=round(seconds * 1000, 1),
            client=scope["client"][0] if scope.get("client") else None,
        )

    def _is_chosen(self) -> bool:
        """Of the requests that went well, whether this one is logged."""
        return self._share >= 1 or random.random() < self._share  # noqa: S311 - guards nothing


@cache  # as many as there are labels, of which there are few
def _meters_of(method: str, operation: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, operation, status), REQUEST_SECONDS.labels(method, operation)


def _root(scope: Scope, traceparent: str) -> Root:
    if scope["path"] in QUIET_PATHS:
        return NO_ROOT
    attributes = {"url.scheme": scope["scheme"], "hearth.request_id": request_id.get()}
    return begin_root("request", Kind.SERVER, attributes, traceparent=traceparent)


def _tell(span: Span, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.set({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))


def _route(scope: Scope) -> str:
    """The path with the names of its parameters in their place; of what no route takes, nothing."""
    if "endpoint" not in scope:
        return ""
    template: str = scope["path"]
    for name, value in reversed(scope.get("path_params", {}).items()):
        before, found, after = template.rpartition(f"/{value}")
        template = f"{before}/{{{name}}}{after}" if found else template
    return template


class TooLargeMiddleware:
    """The framework refuses a body that is too large in plain text: this says it in the contract's form."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        is_replaced = False

        async def send_in_form(message: Message) -> None:
            nonlocal is_replaced
            is_start = message["type"] == "http.response.start"
            if is_start and message["status"] == 413 and MutableHeaders(scope=message)["Content-Type"] != JSON:
                is_replaced = True
                text = "The request body is too large."
                await error_response(413, "PAYLOAD_TOO_LARGE", text, {})(scope, receive, send)
            elif not is_replaced:
                await send(message)

        return await self._app(scope, receive, send_in_form)


class SecurityHeadersMiddleware:
    """Safe defaults on every response; a route that needs another policy has set its own header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                there = {name for name, _ in headers.raw}
                headers.raw.extend(default for default in DEFAULT_HEADERS if default[0] not in there)
                if 300 <= message["status"] < 400:
                    _forget_host(scope, headers)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        return await self._app(scope, receive, send_with_headers)


def _forget_host(scope: Scope, headers: MutableHeaders) -> None:
    """The framework redirects to the host that the request named, which may be anybody's: the path is enough."""
    here = f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}/"
    if headers.get("location", "").startswith(here):
        headers["Location"] = headers["Location"][len(here) - 1 :]
