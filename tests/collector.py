"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, and decodes it with the protocol's own classes."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 10.0  # seconds


class Collector:
    """`status` is what it answers; `spans` are those that it took."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self.resources: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.headers.append(headers)
            if self.status == 200:
                for of_resource in request.resource_spans:
                    self.resources.append(attributes_of(of_resource.resource))
                    for of_scope in of_resource.scope_spans:
                        self.spans += of_scope.spans
            self._changed.notify_all()
        return self.status

    def wait_for(self, name: str, trace_id: str = "") -> Span:
        """The span that is called so, as soon as it is here; call it in a thread."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for span in self.spans:
                    if span.name == name and trace_id in ("", span.trace_id.hex()):
                        return span
                left = end - time.monotonic()
                assert left > 0, f"no span {name} among {sorted({span.name for span in self.spans})}"
                self._changed.wait(left)

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]


def attributes_of(whole: Any) -> dict[str, Any]:
    """Of a span or a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in whole.attributes}


@contextlib.contextmanager
def serve_collector() -> Iterator[Collector]:
    collector = Collector()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            self.send_response(collector.take(body, dict(self.headers)) if good else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
