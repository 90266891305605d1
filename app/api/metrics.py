"""Prometheus metrics of this process, or of all server processes when `PROMETHEUS_MULTIPROC_DIR` is set."""

import asyncio
import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.realtime.hub import Hub

WATCH_INTERVAL = 2.0  # seconds
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry per application, so that two applications in one process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "operation", "status")
        self._requests = Counter("hearth_http_requests", "HTTP requests.", labels, registry=self.registry)
        self._latency = Histogram(
            "hearth_http_request_seconds",
            "Time to serve a request.",
            ("method", "operation"),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._connections = Gauge(
            "hearth_websocket_connections", "Open sockets.", registry=self.registry, multiprocess_mode="livesum"
        )
        self._channels = Gauge(
            "hearth_channels", "Rooms and projects with local sockets.", registry=self.registry, multiprocess_mode="max"
        )

    def observe_request(self, method: str, operation: str, status: int, seconds: float) -> None:
        self._requests.labels(method, operation, status).inc()
        self._latency.labels(method, operation).observe(seconds)

    async def watch(self, hub: Hub) -> None:
        """Follow the hub's numbers until cancelled."""
        while True:
            self._connections.set(hub.connections)
            self._channels.set(hub.rooms)
            await asyncio.sleep(WATCH_INTERVAL)

    def render(self) -> bytes:
        """The Prometheus text format; takes milliseconds, so it is called in a thread."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library has none
        return generate_latest(together)
