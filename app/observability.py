"""Structured logs: JSON in production, readable in development; all lines of a request have its id, and its trace's."""

import logging
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from app.settings import Settings

request_id: ContextVar[str] = ContextVar("request_id", default="-")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from; both are empty for work that nobody asked for from outside."""

    address: str = ""
    user_agent: str = ""


origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen

MASK = "***"
SECRET_KEY = re.compile(
    r"pass(word|wd)|secret|token|authorization|api_?key|cookie|credential|digest|ticket", re.IGNORECASE
)
SECRET_VALUE = re.compile(r"(?i)(bearer\s+)[^\s\"']+|(hearth_[a-z]{2,6}_)[A-Za-z0-9_-]{8,}|(://[^:/@\s]*:)[^@\s]+(?=@)")


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.setdefault("request_id", request_id.get())
    if trace := trace_id.get():
        event.setdefault("trace_id", trace)
    return event


def _mask(value: Any, key: str = "") -> Any:
    if SECRET_KEY.search(key) and isinstance(value, str | bytes):
        return MASK
    if isinstance(value, str):
        return SECRET_VALUE.sub(lambda found: "".join(part or "" for part in found.groups()) + MASK, value)
    if isinstance(value, dict):
        return {name: _mask(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(inner) for inner in value]
    return value


def mask_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Passwords, tokens and keys never reach a log, whether named so or standing inside a text."""
    return {name: _mask(value, name) for name, value in event.items()}


def _to_json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure_logging(settings: Settings) -> None:
    """Send structlog and the standard library's loggers through the same processors, to standard error."""
    as_json = settings.log.format == "json" or (settings.log.format == "auto" and settings.is_production)
    renderer: Callable[..., Any] = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=28,
        )
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log.level.upper()]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # before the mask, since errors quote what they were given
                mask_secrets,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log.level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"  # we write our own access lines
    for name in ("httpx", "httpx2", "httpcore", "openai", "alembic", "mcp"):
        logging.getLogger(name).setLevel(logging.WARNING)
