"""Counts and traces what is asked of PostgreSQL. No parameter is told: those are what people wrote."""

import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from app.telemetry.meters import STATEMENT_FAILURES, STATEMENT_SECONDS
from app.telemetry.spans import Kind, Nothing, Span, Value, begin

OPERATIONS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
OTHER: Final = STATEMENT_SECONDS.labels("OTHER")
SECONDS: Final = {name: STATEMENT_SECONDS.labels(name) for name in OPERATIONS}
LONGEST: Final = 2_000  # characters of a statement that are told
BEGUN: Final = "hearth_begun"


def measure(engine: AsyncEngine) -> None:
    """From now on every statement of `engine` is counted, and is part of the trace that it belongs to."""
    event.listen(engine.sync_engine, "before_cursor_execute", _begin)
    event.listen(engine.sync_engine, "after_cursor_execute", _end)
    event.listen(engine.sync_engine, "handle_error", _fail)


def pool_use(engine: AsyncEngine) -> tuple[int, int]:
    """Connections in use, and idle ones."""
    pool = engine.pool
    return (pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else (0, 0)


def _begin(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:
    first = statement.lstrip()[:6].upper().split(None, 1)
    operation = first[0] if first and first[0] in SECONDS else "OTHER"
    attributes: dict[str, Value] = {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.query.text": statement[:LONGEST],
    }
    context.hearth_begun = operation, begin(f"SQL {operation}", Kind.CLIENT, attributes), time.perf_counter()


def _end(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:
    _finish(context, "")


def _fail(failure: ExceptionContext) -> None:
    error = failure.original_exception
    STATEMENT_FAILURES.labels("connection" if failure.is_disconnect else "statement").inc()
    if failure.execution_context is not None:
        _finish(failure.execution_context, type(error).__name__)


def _finish(context: Any, error: str) -> None:
    begun: tuple[str, Span | Nothing, float] | None = getattr(context, BEGUN, None)
    if begun is not None:
        operation, span, started = begun
        SECONDS.get(operation, OTHER).observe(time.perf_counter() - started)
        span.end(error)
