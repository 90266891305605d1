"""The WebSocket protocol's description of itself: AsyncAPI 3, made from `app/events.py` and `app/commands.py`.

Like all of AsyncAPI it speaks for the server: what it *sends* clients hear, and what it *receives* clients say.
https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import inspect
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import __version__
from app.commands import ProjectCommand, RoomCommand
from app.events import DurableEvent, EphemeralEvent, PersonalEvent, ProjectEvent, RoomEvent
from app.realtime.outbox import CloseCode

Json = dict[str, Any]
Model = type[BaseModel]

DESCRIPTION: Final = """\
Rooms where people and the spirit talk, and projects whose tasks report their progress. Every frame is a JSON text.

Durable events carry `seq`, which rises by one in each channel, and are never lost: a client that comes back says the \
last number it saw (`?after_seq=`) and gets everything behind it, once and in order. If the log does not reach back \
that far, `welcome` says `recovered: false`, and the history is read over HTTP. All other events are of the moment.

Credentials: `?ticket=` from `POST /api/v1/ws-tickets`, the cookie session, the header `Authorization: Bearer` or \
`X-API-Key`, the subprotocols `hearth.v1, bearer.<token>`, or an `authenticate` frame within ten seconds.

A frame that is refused is answered with an `error` event; the connection lives on. It ends with one of these codes:
"""
CLOSE_REASONS: Final = {
    CloseCode.BAD_MESSAGE: "bad message",
    CloseCode.NOT_AUTHENTICATED: "not authenticated, or not any more",
    CloseCode.NOT_ALLOWED: "not allowed, or not any more",
    CloseCode.NO_SUCH_ROOM: "no such room or project",
    CloseCode.TOO_SLOW: "too slow a reader: come back with `after_seq`",
    CloseCode.ROOM_FULL: "the room is full",
    CloseCode.TOO_MANY_MESSAGES: "too many messages",
    CloseCode.RESTARTING: "the server restarts: come back with `after_seq`",
    CloseCode.TRY_AGAIN_LATER: "a part of the service is down: try again",
}
CHANNEL_ID: Final = {"description": "A UUID."}
QUERY: Final[Json] = {
    "type": "object",
    "properties": {
        "ticket": {"type": "string", "description": "A single-use ticket, good for 30 seconds."},
        "after_seq": {"type": "integer", "minimum": 0, "description": "The last number that was seen."},
    },
}
SHARED: Final = get_args(PersonalEvent)
ROOM_EVENTS: Final[Sequence[Model]] = [
    event for event in (*get_args(DurableEvent), *get_args(EphemeralEvent)) if issubclass(event, RoomEvent)
]
PROJECT_EVENTS: Final[Sequence[Model]] = [
    event for event in (*get_args(DurableEvent), *get_args(EphemeralEvent)) if issubclass(event, ProjectEvent)
]
CHANNELS: Final = {
    "room": (
        "/ws/chat/{session_id}",
        "session_id",
        "A room: who is in the connection is in the room.",
        [*SHARED, *ROOM_EVENTS],
        get_args(RoomCommand),
    ),
    "project": (
        "/ws/{project_id}",
        "project_id",
        "A project: its tasks, its state, its files. With the id of a room the same as `/ws/chat/{session_id}`.",
        [*SHARED, *PROJECT_EVENTS],
        get_args(ProjectCommand),
    ),
}


@cache
def asyncapi_document() -> Json:
    """AsyncAPI 3.0.0 as JSON; one message per class, named as it is."""
    heard = _unique(event for *_, events, _ in CHANNELS.values() for event in events)
    said = _unique(command for *_, commands in CHANNELS.values() for command in commands)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hearth",
            "version": __version__,
            "description": DESCRIPTION + "\n".join(f"- {code.value}: {why}" for code, why in CLOSE_REASONS.items()),
        },
        "defaultContentType": "application/json",
        "servers": {
            "this": {
                "host": "{host}",
                "protocol": "wss",
                "description": "This server; `ws` where it is reached without TLS.",
                "variables": {"host": {"default": "localhost:8000"}},
            }
        },
        "channels": {name: _channel(*channel) for name, channel in CHANNELS.items()},
        "operations": dict(_operations()),
        "components": {
            "messages": {model.__name__: _message(model) for model in (*heard, *said)},
            "schemas": _schemas(heard, said),
        },
    }


def _channel(
    address: str, parameter: str, description: str, events: Sequence[Model], commands: Sequence[Model]
) -> Json:
    return {
        "address": address,
        "description": description,
        "parameters": {parameter: CHANNEL_ID},
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in (*events, *commands)
        },
        "bindings": {"ws": {"query": QUERY, "bindingVersion": "0.1.0"}},
    }


def _operations() -> Iterable[tuple[str, Json]]:
    for name, (_, _, _, events, commands) in CHANNELS.items():
        for action, summary, models in (
            ("send", "What the server tells.", events),
            ("receive", "What clients may say.", commands),
        ):
            yield (
                f"{action}In{name.capitalize()}",
                {
                    "action": action,
                    "summary": summary,
                    "channel": {"$ref": f"#/channels/{name}"},
                    "messages": [{"$ref": f"#/channels/{name}/messages/{model.__name__}"} for model in models],
                },
            )


def _message(model: Model) -> Json:
    described = {"description": inspect.cleandoc(model.__doc__)} if model.__doc__ else {}
    return {
        "name": _type_of(model),
        "title": model.__name__,
        **described,
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }


def _type_of(model: Model) -> str:
    [name] = get_args(model.model_fields["type"].annotation)
    return str(name)


def _schemas(heard: Sequence[Model], said: Sequence[Model]) -> Json:
    """Events as they are written, with every field; commands as they are read, where what has a default may miss."""
    _, written = models_json_schema(
        [(event, "serialization") for event in heard], ref_template="#/components/schemas/{model}"
    )
    _, read = models_json_schema(
        [(command, "validation") for command in said], ref_template="#/components/schemas/{model}"
    )
    return {**written["$defs"], **read["$defs"]}


def _unique(models: Iterable[Model]) -> list[Model]:
    return list(dict.fromkeys(models))
