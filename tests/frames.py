"""Whether frames are as `/asyncapi.json` says."""

from functools import cache
from typing import Any

import jsonschema_rs

from app.api.asyncapi import asyncapi_document

Frame = dict[str, Any]


def check_event(frame: Frame) -> None:
    """Raises AssertionError: the server tells what its document does not say."""
    _check("send", frame)


def check_command(frame: Frame) -> None:
    """Raises AssertionError: this is no command of the protocol."""
    _check("receive", frame)


def _check(action: str, frame: Frame) -> None:
    forms = _forms(action).get(frame.get("type", ""), {})
    assert any(form.is_valid(frame) for form in forms.values()), (
        f"{frame} is none of {list(forms) or f'the {action} frames'}: "
        f"{[error.message for form in forms.values() for error in form.iter_errors(frame)]}"
    )


@cache
def _forms(action: str) -> dict[str, dict[str, jsonschema_rs.Validator]]:
    """Validators by the frames' `type`, then by the names of their classes."""
    document = asyncapi_document()
    found: dict[str, dict[str, jsonschema_rs.Validator]] = {}
    for operation in document["operations"].values():
        for message in operation["messages"] if operation["action"] == action else ():
            name = message["$ref"].rpartition("/")[2]
            schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            found.setdefault(document["components"]["messages"][name]["name"], {})[name] = validator
    return found
