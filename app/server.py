"""How uvicorn runs the application: its options, and the limits that a connection has to keep."""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from uuid_utils.compat import uuid7
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.errors import error_response
from app.api.followers import WIRE
from app.api.middleware import CONTENT_SECURITY_POLICY, HSTS, SECURITY_HEADERS
from app.observability import request_id
from app.settings import HTTPSettings, Settings
from app.socket_protocol import SocketProtocol

KEEP_ALIVE: Final = 75  # seconds; longer than proxies and clients keep a connection that they may still use
GRACE: Final = 10  # seconds for open requests when the server is asked to stop
LEAST_BODY_BYTES: Final = 16_384  # that come in within `HTTP_BODY_TIMEOUT`, or the end of the body does

HOST = re.compile(rb"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)
MALFORMED: Final = (400, "The request is not proper HTTP.")


def server_options(settings: Settings) -> dict[str, Any]:
    """The arguments of `uvicorn.run`, the number of processes apart."""
    heartbeat = settings.realtime.heartbeat.total_seconds()
    return {
        "app": "app.main:create_app",
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "http": partial(LimitedProtocol, limits=settings.http),
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # app/api/proxies.py knows better whom to believe
        "ws": SocketProtocol,
        "ws_max_size": settings.realtime.max_frame_bytes,
        "ws_ping_interval": heartbeat,
        "ws_ping_timeout": heartbeat,
        "ws_per_message_deflate": False,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": GRACE,
    }


class NotAcceptable(Exception):
    """Ends the reading of a request whose head breaks a limit."""


class Wire:
    """The connection below a stream that goes on for hours; `app/api/followers.py` finds it in its scope."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.on_stop: Callable[[], None] | None = None

    def watch(self, patience: timedelta) -> None:
        """End the connection when what was sent stays unread, or untaken by a peer that is gone, for so long.

        None of it ends a stream that only waits. Linux alone can do this; elsewhere it takes TCP some minutes.
        """
        opened = None if self._transport.is_closing() else self._transport.get_extra_info("socket")
        if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6) and USER_TIMEOUT is not None:
            opened.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, int(patience.total_seconds() * 1000))

    def abort(self) -> None:
        """End the connection now, whatever was not written yet."""
        self._transport.abort()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with an end to waiting and to collecting; it refuses in the form of every error.

    A request whose head or whole body comes in one piece, as nearly all do, never starts a timer.
    """

    def __init__(self, *arguments: Any, limits: HTTPSettings, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = False
        self._head_bytes = self._first_bytes = self._piece_bytes = self._body_bytes = 0
        self._was_paused = False
        self._refusal = MALFORMED
        self._wire: Wire | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        if self._wire is not None and self._wire.on_stop is not None:
            self._wire.on_stop()

    def data_received(self, data: bytes) -> None:
        was_in_head = self._is_in_head
        self._piece_bytes = len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._stop_timer()  # it was refused, or is a WebSocket now, which has limits of its own
        elif self._is_waiting_for_head():
            self._head_bytes += len(data) if was_in_head else 0
            if self._is_in_head and self._head_bytes > self._limits.max_header_bytes:
                self._refuse(431, "The head of the request is too large.")
            elif self._timer is None:
                self._wait_for_head()
        elif self.cycle.more_body:
            if self._timer is None:
                self._wait_for_body()
        else:
            self._stop_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._first_bytes = True, self._piece_bytes
        self._wire = Wire(self.transport)
        self.scope["extensions"] = {WIRE: self._wire}  # type: ignore[dict-item]  # of our own

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_timer()
        self._check_head()
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._body_bytes += len(body)
        self._was_paused = self._was_paused or self.flow.read_paused

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words, which are plain text
        self._refuse(*self._refusal)

    def _check_head(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(self.url) > self._limits.max_url_bytes:
            self._refusal = 414, "The URL is too long."
        elif len(self.headers) > self._limits.max_headers or self._is_head_too_large():
            self._refusal = 431, "The head of the request is too large."
        elif len(hosts) != 1 if hosts else self.parser.get_http_version() == "1.1":
            self._refusal = 400, "The request needs one Host."
        elif hosts and HOST.fullmatch(hosts[0]) is None:
            self._refusal = 400, "The Host of the request is none."
        else:
            return
        raise NotAcceptable

    def _is_head_too_large(self) -> bool:
        """Counted only where it can be: what came in may hold several requests, or bodies."""
        most = self._limits.max_header_bytes
        received = self._first_bytes + self._head_bytes + self._piece_bytes
        return received > most and sum(len(name) + len(value) for name, value in self.headers) > most

    def _is_waiting_for_head(self) -> bool:
        """Also while the rest of a body comes in whose request was answered already."""
        return self._is_in_head or self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(self._limits.header_timeout.total_seconds(), self._head_is_late)

    def _wait_for_body(self) -> None:
        self._body_bytes, self._was_paused = 0, self.flow.read_paused
        self._timer = self.loop.call_later(self._limits.body_timeout.total_seconds(), self._judge_body)

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_in_head:
            self._refuse(408, "The head of the request took too long.")
        else:
            self.transport.close()

    def _judge_body(self) -> None:
        """A client is late when we were waiting for it all the time, and it sent next to nothing."""
        self._timer = None
        if self._is_waiting_for_head():
            if self.timeout_keep_alive_task is None:
                self._wait_for_head()
            return
        was_our_turn = self._was_paused or self.flow.read_paused or self.cycle.waiting_for_100_continue
        if was_our_turn or self._body_bytes >= LEAST_BODY_BYTES:
            self._wait_for_body()
        else:
            self._refuse(408, "The body of the request took too long.")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, message: str) -> None:
        """Answer and close, or close alone where an answer has begun; the application hears that the client left."""
        self._stop_timer()
        has_begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not has_begun and not self.pipeline:
            self.transport.write(_refusal(status, message, self.scheme))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _refusal(status: int, message: str, scheme: str | None) -> bytes:
    token = request_id.set(uuid7().hex)
    try:
        response = error_response(status, "BAD_REQUEST", message, {})
        headers: Mapping[str, str] = {
            **response.headers,
            **SECURITY_HEADERS,
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            **({"Strict-Transport-Security": HSTS} if scheme == "https" else {}),
            "X-Request-ID": request_id.get(),
            "Connection": "close",
        }
    finally:
        request_id.reset(token)
    lines = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items())
    return STATUS_LINE[status] + lines + b"\r\n" + bytes(response.body)
