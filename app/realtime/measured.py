"""Counts and traces what is asked of Redis: commands alone and pipelines, never keys or values."""

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis

from app.realtime.outages import REDIS_FAILURES
from app.telemetry.meters import REDIS_FAILURES as FAILED_CALLS
from app.telemetry.meters import REDIS_SECONDS
from app.telemetry.spans import Kind, begin

COMMAND: Final = REDIS_SECONDS.labels("command")
PIPELINE: Final = REDIS_SECONDS.labels("pipeline")

Call = Callable[..., Awaitable[Any]]


def measure(redis: Redis) -> Redis:
    """The same client, of which every round trip is counted, and is part of the trace that it belongs to."""
    open_pipeline = redis.pipeline

    @functools.wraps(open_pipeline)
    def open_measured(*arguments: Any, **options: Any) -> Any:
        pipeline: Any = open_pipeline(*arguments, **options)
        pipeline.execute = _measured(pipeline.execute, lambda _: "PIPELINE", PIPELINE)
        return pipeline

    client: Any = redis  # its methods are replaced, which no type allows
    client.execute_command = _measured(redis.execute_command, lambda arguments: str(arguments[0]).upper(), COMMAND)
    client.pipeline = open_measured
    return redis


def _measured(call: Call, name_of: Callable[[tuple[Any, ...]], str], seconds: Any) -> Call:
    @functools.wraps(call)
    async def measured(*arguments: Any, **options: Any) -> Any:
        name, started = name_of(arguments), time.perf_counter()
        span = begin(f"Redis {name}", Kind.CLIENT, {"db.system.name": "redis", "db.operation.name": name})
        error = ""
        try:
            return await call(*arguments, **options)
        except BaseException as failure:  # what is not waited for any more has an end, too
            error = type(failure).__name__
            if isinstance(failure, REDIS_FAILURES):
                FAILED_CALLS.inc()
            raise
        finally:
            span.end(error)
            seconds.observe(time.perf_counter() - started)

    return measured
