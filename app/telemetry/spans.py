"""Traces: what a request, a command or a task did, and how long each part of it took.

A span is recorded only below a *root*, and a root only while `start_recording` holds; else nearly nothing is done. A
span takes a tenth of the time of one of OpenTelemetry's SDK, which is why there is our own: what goes over the wire is
the same. Names and attributes hold nothing that people wrote.
"""

import contextlib
import re
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from enum import IntEnum
from random import getrandbits, random
from time import time_ns
from types import TracebackType
from typing import Final, Self

from app.observability import trace_id as trace_of_log_lines

Value = str | int | float | bool

TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
SAMPLED: Final = 1


class Kind(IntEnum):
    """Numbered as OTLP has them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Span:
    """Used as a context manager, it is the parent of what begins inside; else `end` it."""

    __slots__ = (
        "_token",
        "attributes",
        "ended",
        "error",
        "kind",
        "links",
        "name",
        "parent_id",
        "span_id",
        "started",
        "trace_id",
    )

    def __init__(self, name: str, kind: Kind, trace_id: str, parent_id: int, attributes: dict[str, Value]) -> None:
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.span_id = getrandbits(64) or 1
        self.attributes = attributes
        self.links: Sequence[Span] = ()
        self.error = ""
        self.ended = 0
        self.started = time_ns()

    @property
    def traceparent(self) -> str:
        """For the next service."""
        return f"00-{self.trace_id}-{self.span_id:016x}-01"

    def set(self, attributes: Mapping[str, Value]) -> None:
        self.attributes.update(attributes)

    def rename(self, name: str) -> None:
        self.name = name

    def fail(self, error: str) -> None:
        """`error`: what kind of failure it was."""
        self.error = error

    def end(self, error: str = "") -> None:
        if not self.ended:
            self.ended = time_ns()
            self.error = self.error or error
            if _state.take is not None:
                _state.take(self)

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        self.end(_name_of(exc_type))


class Nothing:
    """Stands for a span that is not recorded."""

    __slots__ = ()
    traceparent = ""

    def set(self, attributes: Mapping[str, Value]) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, error: str) -> None: ...

    def end(self, error: str = "") -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Root:
    """Begins a trace for the length of the block, or goes on with one from elsewhere; `span` may be `Nothing`."""

    __slots__ = ("_log_token", "_token", "span", "trace_id")

    def __init__(self, span: Span | Nothing, trace_id: str) -> None:
        self.span = span
        self.trace_id = trace_id
        self._token: Token[Span | None] | None = None
        self._log_token: Token[str] | None = None

    def __enter__(self) -> Span | Nothing:
        if self.trace_id:
            self._token = _current.set(self.span if isinstance(self.span, Span) else None)
            self._log_token = trace_of_log_lines.set(self.trace_id)
        return self.span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None and self._log_token is not None:
            _current.reset(self._token)
            trace_of_log_lines.reset(self._log_token)
        self.span.end(_name_of(exc_type))


class _State:
    """Of this process."""

    take: Callable[[Span], None] | None = None
    share: float = 1.0


NOTHING: Final = Nothing()
NO_ROOT: Final = Root(NOTHING, "")
_state: Final = _State()
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def start_recording(take: Callable[[Span], None], *, share: float) -> None:
    """From now on spans that end are given to `take`, which must not wait; `share` of the roots are chosen."""
    _state.take, _state.share = take, share


def stop_recording() -> None:
    _state.take = None


def is_recording() -> bool:
    return _state.take is not None


def begin_root(
    name: str,
    kind: Kind,
    attributes: dict[str, Value],
    *,
    traceparent: str = "",
    links: Sequence["Span | Nothing"] = (),
) -> Root:
    """A trace of its own, or what `traceparent` names; whoever made that has decided whether it is recorded."""
    if _state.take is None:
        return NO_ROOT
    found = TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or (found[1] == "00" and found[5]):
        trace_id, parent_id = f"{getrandbits(128) or 1:032x}", 0
        is_chosen = random() < _state.share  # noqa: S311 - guards nothing
    else:
        trace_id, parent_id, is_chosen = found[2], int(found[3], 16), bool(int(found[4], 16) & SAMPLED)
    if not is_chosen:
        return Root(NOTHING, trace_id)
    span = Span(name, kind, trace_id, parent_id, attributes)
    span.links = [link for link in links if isinstance(link, Span)]
    return Root(span, trace_id)


def begin(name: str, kind: Kind, attributes: dict[str, Value]) -> Span | Nothing:
    """A part of what goes on. What outlives its parent is not told: it belongs to nobody any more."""
    parent = _current.get()
    if parent is None or parent.ended or _state.take is None:
        return NOTHING
    return Span(name, kind, parent.trace_id, parent.span_id, attributes)


@contextlib.contextmanager
def adopted(askers: "Sequence[Span | Nothing]") -> Iterator[None]:
    """What is done for several at once is told in the trace of the first of them that has one."""
    first = next((asker for asker in askers if isinstance(asker, Span) and not asker.ended), None)
    token = _current.set(first)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Span | Nothing:
    return _current.get() or NOTHING


def traceparent() -> str:
    """Where we are in which trace, for those who go on with it; empty outside of any."""
    span = _current.get()
    if span is not None:
        return span.traceparent
    trace_id = trace_of_log_lines.get()
    return f"00-{trace_id}-{getrandbits(64) or 1:016x}-00" if trace_id else ""


def _name_of(error: type[BaseException] | None) -> str:
    return "" if error is None or issubclass(error, CancelledError) else error.__name__
