"""Requests that schemathesis makes from the API's own description, as one kind of caller."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.engine import Status, events, from_schema
from schemathesis.schemas import BaseSchema

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
KNOWN_IDS_SHARE = 0.5  # of the ids in paths; the others are made up, or were seen in earlier answers
ENDLESS = ("GET /api/v1/chat/{session_id}/events", "GET /api/v1/tasks/{task_id}/events")
"""Streams, whose end nobody can wait for."""
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass
class Findings:
    """What was asked, and what was wrong with the answers, each kind once for an operation."""

    operations: set[str] = field(default_factory=set)
    requests: int = 0
    problems: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, event: events.EngineEvent) -> None:
        match event:
            case events.ScenarioFinished(recorder=recorder):
                self.requests += len(recorder.interactions)
                self.operations.update(node.value.operation.label for node in recorder.cases.values())
                for checks in recorder.checks.values():
                    for check in checks:
                        if check.status is Status.FAILURE and check.failure_info:
                            self._add(recorder.label, check.name, check.failure_info)
            case events.NonFatalError(label=label, info=info):
                self.problems[label, str(type(event.value))] = info.format()
            case events.FatalError(exception=exception):
                raise exception

    def _add(self, label: str, check: str, info: Any) -> None:
        failure = info.failure
        self.problems.setdefault(
            (failure.operation or label, f"{check}: {failure.title}"), f"{failure}\n{info.code_sample}"
        )

    def __str__(self) -> str:
        told = [f"== {operation} · {kind}\n{text}" for (operation, kind), text in sorted(self.problems.items())]
        return "\n\n".join([f"{len(told)} problems in {self.requests} requests", *told])


@dataclass(frozen=True)
class Caller:
    """`ids` are things that it knows of, by the names of path parameters."""

    headers: Mapping[str, str]
    ids: Mapping[str, str]


def describe(url: str, caller: Caller, phases: Collection[str], *, examples: int, seed: int | None) -> BaseSchema:
    """What the server at `url` says of itself, to be asked about as `caller`. Blocks."""
    config = schemathesis.Config.from_dict(_settings(caller, phases, examples=examples, seed=seed))
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config).exclude(name=list(ENDLESS))


def _settings(caller: Caller, phases: Collection[str], *, examples: int, seed: int | None) -> dict[str, Any]:
    settings = tomllib.loads(CONFIGURATION.read_text())
    settings["headers"] = dict(caller.headers)
    settings["generation"] = {"max-examples": examples, "no-shrink": True, "database": "none"}
    settings["phases"] = {name: {"enabled": name in phases} for name in PHASES}
    settings["dictionaries"] = {name: {"values": [value]} for name, value in caller.ids.items()}
    settings["parameters"] = {
        f"path.{name}": {"dictionary": name, "probability": KNOWN_IDS_SHARE} for name in settings["dictionaries"]
    }
    if seed is not None:
        settings["seed"] = seed
    return settings


def labels_of(schema: BaseSchema) -> list[str]:
    """Such as `GET /api/v1/tasks`."""
    return [operation.ok().label for operation in schema.get_all_operations()]


def only(schema: BaseSchema, wanted: Collection[str]) -> BaseSchema:
    """`schema` with the operations of these labels alone. The engine does not heed `include` beside a configuration."""
    return schema.exclude(name=[label for label in labels_of(schema) if label not in wanted])


def fuzz(schema: BaseSchema) -> Findings:
    """Ask everything that `schema` describes. Blocks."""
    findings = Findings()
    for event in from_schema(schema).execute():
        findings.take(event)
    return findings
