"""`/asyncapi`: the AsyncAPI document as a page that people read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Json = Mapping[str, Any]

LINKED: Final = "type"  # the field that tells frames apart: it is their heading
TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def protocol_page(document: Json) -> str:
    """HTML without scripts."""
    parts = document["components"]
    frames = {message["payload"]["$ref"] for message in parts["messages"].values()}
    forms = {
        name: {"description": schema.get("description"), "fields": list(_fields(schema))}
        for name, schema in parts["schemas"].items()
        if f"#/components/schemas/{name}" not in frames
    }
    channels = {name: _channel(document, name) for name in document["channels"]}
    shown = {"asyncapi": document["asyncapi"], "info": document["info"], "channels": channels, "forms": forms}
    return TEMPLATES.get_template("asyncapi.html").render(shown)


def _channel(document: Json, name: str) -> Json:
    own = (one for one in document["operations"].values() if one["channel"]["$ref"] == f"#/channels/{name}")
    operations = [
        {"summary": one["summary"], "messages": [_message(document, ref["$ref"]) for ref in one["messages"]]}
        for one in own
    ]
    return {**document["channels"][name], "operations": operations}


def _message(document: Json, reference: str) -> Json:
    name = reference.rpartition("/")[2]
    message = document["components"]["messages"][name]
    schema = document["components"]["schemas"][name]
    fields = [field for field in _fields(schema) if field["name"] != LINKED]
    return {"name": message["name"], "description": message.get("description"), "fields": fields}


def _fields(schema: Json) -> Iterator[Json]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield {
            "name": name,
            "type": describe_type(field),
            "required": name in required,
            "description": field.get("description", ""),
        }


def describe_type(schema: Json) -> str:
    """`schema` in words: `string (uuid) or null`, `array of Person`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(describe_type, schema["anyOf"]))
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"array of {describe_type(schema.get('items', {}))}"
    kind = str(schema.get("type", "anything"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind
