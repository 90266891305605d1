"""What clients say on sockets, counted and traced: each command is a trace of its own, linked to its connection's."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

from app.commands import ProjectCommand, RoomCommand
from app.telemetry.meters import COMMAND_SECONDS, COMMANDS
from app.telemetry.spans import Kind, begin_root, current

TYPE: Final = re.compile(r'"type"\s*:\s*"([a-z_]{1,32})"')
KNOWN: Final = frozenset(
    get_args(command.model_fields["type"].annotation)[0]
    for command in (*get_args(RoomCommand), *get_args(ProjectCommand))
)


@dataclass(slots=True)
class CommandOutcome:
    is_refused: bool = False


@contextlib.contextmanager
def measured_command(text: str) -> Iterator[CommandOutcome]:
    """Whatever `text` says, and also if that is nothing of the protocol; set what became of it."""
    name, outcome, started = _name_of(text), CommandOutcome(), time.perf_counter()
    result = "failed"
    with begin_root(f"WS {name}", Kind.SERVER, {"hearth.command": name}, links=[current()]) as span:
        try:
            yield outcome
            result = "refused" if outcome.is_refused else "ok"
        finally:
            span.set({"hearth.outcome": result})
            COMMANDS.labels(name, result).inc()
            COMMAND_SECONDS.labels(name).observe(time.perf_counter() - started)


def _name_of(text: str) -> str:
    found = TYPE.search(text)
    return found[1] if found and found[1] in KNOWN else "unknown"
