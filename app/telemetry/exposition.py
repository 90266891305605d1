"""Shows the numbers: as Prometheus' text, and on a port of its own that answers also while the event loop does not."""

import contextlib
import hmac
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.settings.operation import MetricsSettings
from app.telemetry.meters import REGISTRY

log = structlog.get_logger(__name__)

SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where several processes of one server keep their numbers, so that each can show the sum."""
OF_A_PROCESS: Final = re.compile(r"gauge_live\w*_(\d+)\.db")
READ_TIMEOUT: Final = 5.0  # seconds for a request to come in

_of_process = CollectorRegistry()
ProcessCollector(registry=_of_process)
GCCollector(registry=_of_process)


def render() -> bytes:
    """The Prometheus text format; takes milliseconds, so it is called in a thread."""
    folder = os.environ.get(SHARED_FOLDER)
    if not folder:
        return generate_latest(REGISTRY) + generate_latest(_of_process)
    _forget_the_dead(Path(folder))
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library has none
    return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """What a killed process held is nobody's any more; what it counted stays."""
    for path in folder.glob("gauge_live*.db"):
        found = OF_A_PROCESS.fullmatch(path.name)
        if found and not Path(f"/proc/{found[1]}").exists() and Path("/proc/self").exists():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def shown(settings: MetricsSettings, port: int, is_alive: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """`GET /metrics` and `GET /health/live` on `port` for the length of the block; nothing where that is 0.

    A port that is taken costs the numbers, and not the service.
    """
    server = _listen(settings, port, is_alive) if port else None
    if server is None:
        yield
        return
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _listen(settings: MetricsSettings, port: int, is_alive: Callable[[], bool]) -> ThreadingHTTPServer | None:
    expected = settings.token.get_secret_value()

    class Answer(BaseHTTPRequestHandler):
        timeout = READ_TIMEOUT
        server_version, sys_version = "hearth", ""

        def do_GET(self) -> None:  # as http.server calls it
            given = self.headers.get("Authorization", "")
            if self.path == "/health/live":
                self._say(200 if is_alive() else 503, "text/plain", b"")
            elif self.path != "/metrics":
                self._say(404, "text/plain", b"")
            elif expected and not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
                self._say(401, "text/plain", b"")
            else:
                self._say(200, CONTENT_TYPE_LATEST, render())

        def _say(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Somebody asks every few seconds: that is no news."""

    try:
        return ThreadingHTTPServer((settings.host, port), Answer)
    except OSError as error:
        log.warning("metrics.not_shown", port=port, error=repr(error))
        return None
