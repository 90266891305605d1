"""Write the types of both clients from what the server says of itself: OpenAPI for HTTP, AsyncAPI for WebSockets.

python -m clients.generate
"""

import keyword
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.api.asyncapi import asyncapi_document
from app.main import create_app
from app.settings import Settings

Json = dict[str, Any]
Write = Callable[[Json], str]

FOLDER = Path(__file__).parent
TYPESCRIPT = FOLDER / "typescript" / "types.d.ts"
PYTHON = FOLDER / "python" / "hearth_client" / "types.py"
UNIONS = {
    "RoomEvent": ("send", "room"),
    "ProjectEvent": ("send", "project"),
    "RoomCommand": ("receive", "room"),
    "ProjectCommand": ("receive", "project"),
}
TYPESCRIPT_HEAD = """\
// What goes over the wire. Written by `make docs` from the server's classes; do not edit.
// Ids are UUIDs, times are ISO 8601.
"""
PYTHON_HEAD = '''\
"""What goes over the wire. Written by `make docs` from the server's classes; do not edit.

Ids are UUIDs, times are ISO 8601. Dictionaries at run time: nothing is checked or converted.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict
'''
TYPESCRIPT_NAMES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
COMMENT, FIELD_COMMENT, DOCSTRING = "/** {} */\n", "  /** {} */\n", '    """{}"""\n\n'
PYTHON_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def schemas() -> Json:
    """All forms of both descriptions by their names."""
    application = create_app(Settings(_env_file=None, environment="testing"))
    http = application.openapi()["components"]["schemas"]
    own = {_identifier(name): schema for name, schema in http.items() if not name.startswith("Body_")}
    return dict(sorted({**own, **asyncapi_document()["components"]["schemas"]}.items()))


def unions() -> dict[str, list[str]]:
    """The frames of each channel and direction."""
    operations = asyncapi_document()["operations"]
    return {
        name: [ref["$ref"].rpartition("/")[2] for ref in operations[f"{action}In{channel.capitalize()}"]["messages"]]
        for name, (action, channel) in UNIONS.items()
    }


def typescript() -> str:
    """The text of `types.d.ts`."""
    parts = [TYPESCRIPT_HEAD]
    for name, schema in schemas().items():
        parts.append(_comment(schema, COMMENT) + f"export type {name} = {_typescript(schema)};\n")
    parts += (f"export type {name} = {' | '.join(members)};\n" for name, members in unions().items())
    return "\n".join(parts)


def python() -> str:
    """The text of `types.py`."""
    parts = [PYTHON_HEAD]
    parts += (_class(name, schema) for name, schema in schemas().items())
    parts += (f"{name}: TypeAlias = {' | '.join(members)}\n" for name, members in unions().items())
    return "\n".join(parts)


def _typescript(schema: Json) -> str:
    if "properties" in schema:
        required = schema.get("required", ())
        fields = (
            f"{_comment(field, FIELD_COMMENT)}  {name}{'' if name in required else '?'}: {_typescript(field)};\n"
            for name, field in schema["properties"].items()
        )
        return "{\n" + "".join(fields) + "}"
    found = _common(schema, _typescript, TYPESCRIPT_NAMES, _literal)
    if found is not None:
        return found
    if schema.get("type") == "array":
        return f"Array<{_typescript(schema.get('items', {}))}>"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"Record<string, {_typescript(inner) if isinstance(inner, dict) else 'unknown'}>"
    return "unknown"


def _python(schema: Json) -> str:
    found = _common(schema, _python, PYTHON_NAMES, _python_literal)
    if found is not None:
        return found
    if schema.get("type") == "array":
        return f"list[{_python(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"dict[str, {_python(inner) if isinstance(inner, dict) else 'Any'}]"
    return "Any"


def _common(schema: Json, write: Write, names: dict[str, str], literal: Callable[..., str]) -> str | None:
    """What both languages say in the same way."""
    if "$ref" in schema:
        return _identifier(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return literal(schema["const"])
    if "enum" in schema:
        return literal(*schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " | ".join(dict.fromkeys(map(write, schema[choice])))
    kind = schema.get("type")
    return names.get(kind) if isinstance(kind, str) else None


def _literal(*values: Any) -> str:
    return " | ".join(f'"{value}"' if isinstance(value, str) else str(value).lower() for value in values)


def _python_literal(*values: Any) -> str:
    return f"Literal[{', '.join(map(repr, values))}]"


def _class(name: str, schema: Json) -> str:
    properties: Json = schema.get("properties", {})
    if not properties:
        return f"{name}: TypeAlias = {_python(schema)}\n"
    lines = list(_attributes(properties, schema.get("required", ())))
    if any(field in keyword.kwlist or not field.isidentifier() for field in properties):
        inner = ", ".join(f"{line.partition(': ')[0]!r}: {line.partition(': ')[2]!r}" for line in lines)
        return f"{name} = TypedDict({name!r}, {{{inner}}})\n"
    described = _comment(schema, DOCSTRING)
    return f"class {name}(TypedDict):\n{described}" + "".join(f"    {line}\n" for line in lines)


def _attributes(properties: Json, required: list[str]) -> Iterator[str]:
    for name, field in properties.items():
        kind = _python(field)
        yield f"{name}: {kind}" if name in required else f"{name}: NotRequired[{kind}]"


def _comment(schema: Json, form: str) -> str:
    text = " ".join(schema.get("description", "").split()).replace("*/", "* /").replace('"""', "'''").replace("\\", "")
    return form.format(text) if text else ""


def _identifier(name: str) -> str:
    return "".join(sign for sign in name if sign.isalnum())


def write_all() -> None:
    """Write the files of both clients."""
    TYPESCRIPT.write_text(typescript(), encoding="utf-8")
    PYTHON.write_text(python(), encoding="utf-8")


if __name__ == "__main__":
    write_all()
