"""A block that is counted and traced at once."""

import contextlib
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from prometheus_client import Histogram

from app.telemetry.spans import Kind, begin

Result = TypeVar("Result")


@contextlib.contextmanager
def stage(seconds: Histogram, name: str, what: str) -> Iterator[None]:
    """`name` is the histogram's label, and `what` stands before it in the trace."""
    started = time.perf_counter()
    with begin(f"{what} {name}", Kind.INTERNAL, {}):
        try:
            yield
        finally:
            seconds.labels(name).observe(time.perf_counter() - started)


async def traced(name: str, work: Awaitable[Result]) -> Result:
    """For what goes on in a task of its own, and may outlive what began it."""
    with begin(name, Kind.INTERNAL, {}):
        return await work
