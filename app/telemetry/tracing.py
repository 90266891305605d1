"""Sends spans to a collector, in a thread of its own: nobody waits for that, and nobody is hurt when it is away."""

import asyncio
import contextlib
import importlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import httpx
import structlog

from app import __version__
from app.settings import Settings
from app.settings.operation import TracingSettings
from app.telemetry.meters import SPANS
from app.telemetry.spans import Span, Value, start_recording, stop_recording

log = structlog.get_logger(__name__)

PATH: Final = "/v1/traces"
BATCH: Final = 1_024  # spans in one request
INTERVAL: Final = 1.0  # seconds between two requests while there is little to send
PAUSE: Final = 5.0  # seconds without trying after a failure; what comes meanwhile waits, and then is dropped
STOP_PATIENCE: Final = 2.0  # seconds for what is left when the process ends

Encode = Callable[[Sequence[Span], Mapping[str, Value]], bytes]


class Recorder:
    """A bounded queue and the thread that empties it."""

    def __init__(self, settings: TracingSettings, service: str, environment: str, encode: Encode) -> None:
        self._url = _url(settings.endpoint)
        self._encode = encode
        self._resource: Mapping[str, Value] = {
            "service.name": service,
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            "deployment.environment.name": environment,
        }
        self._client = httpx.Client(
            headers={**_headers(settings.headers.get_secret_value()), "Content-Type": "application/x-protobuf"},
            timeout=settings.timeout.total_seconds(),
            trust_env=False,
        )
        self._most = settings.queue
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_away = False
        self._sent, self._dropped = SPANS.labels("sent"), SPANS.labels("dropped")
        self._thread = threading.Thread(target=self._send_forever, name="tracing", daemon=True)
        self._thread.start()

    def take(self, span: Span) -> None:
        """Never waits and never fails."""
        if len(self._waiting) >= self._most:
            self._dropped.inc()
            return
        self._waiting.append(span)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def close(self) -> None:
        """Send what is left, if that is quickly done."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(STOP_PATIENCE)
        self._client.close()

    def _send_forever(self) -> None:
        while not self._is_stopping:
            self._wake.wait(INTERVAL)
            self._wake.clear()
            is_sent = True
            while self._waiting and is_sent:
                is_sent = self._send()
            if not is_sent:
                self._pause()

    def _send(self) -> bool:
        """Whether the collector took some of what waits; what it did not take is dropped."""
        spans = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            self._client.post(self._url, content=self._encode(spans, self._resource)).raise_for_status()
        except Exception as error:
            self._dropped.inc(len(spans))
            if not self._is_away:
                log.warning("tracing.not_sent", error=repr(error))
            self._is_away = True
            return False
        if self._is_away:
            log.info("tracing.sent_again")
        self._is_away = False
        self._sent.inc(len(spans))
        return True

    def _pause(self) -> None:
        end = time.monotonic() + PAUSE
        while not self._is_stopping and (left := end - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()


@contextlib.asynccontextmanager
async def open_tracing(settings: Settings, service: str) -> AsyncIterator[None]:
    """Traces of this process, for the length of the block; `service` is what it is called in them."""
    if not settings.tracing.endpoint:
        yield
        return
    recorder = await asyncio.to_thread(_open, settings, service)
    start_recording(recorder.take, share=settings.tracing.share)
    try:
        yield
    finally:
        stop_recording()
        await asyncio.to_thread(recorder.close)


def _open(settings: Settings, service: str) -> Recorder:
    """Imports what nobody needs who does not trace."""
    encode: Encode = importlib.import_module("app.telemetry.encoding").encode
    return Recorder(settings.tracing, service, settings.environment, encode)


def _url(endpoint: str) -> str:
    return endpoint if endpoint.rstrip("/").endswith(PATH) else endpoint.rstrip("/") + PATH


def _headers(text: str) -> Mapping[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}
