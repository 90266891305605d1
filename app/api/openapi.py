"""The API's description of itself: what FastAPI finds out, and what holds for many routes, said in one place.

Routes declare what is their own. Errors, headers and credentials that come from middleware and dependencies are put
into every operation here, so that no new route can forget them.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.deps import GUARDS, SCHEMES
from app.api.idempotency import KEY_PATTERN, LONGEST_KEY
from app.api.openai_errors import openai_status, speaks_openai
from app.schemas.openai_common import OpenAIErrorResponse
from app.settings import Settings

Json = dict[str, Any]

METHODS: Final = ("get", "post", "put", "patch", "delete")
TAGS: Final = {
    "operations": "Is it well, what is it, how much does it do.",
    "accounts": "Making an account, signing in and out, API keys, and one's own profile.",
    "projects": "What owns documents, rooms and tasks, and is shared with members.",
    "documents": "Adding, reading and removing what is known.",
    "query": "Finding passages, and asking questions that are answered with quotations.",
    "rooms": "Rooms where several people and the spirit talk. Their WebSocket is `/ws/chat/{session_id}`.",
    "tasks": "Work that goes on in the background.",
    "openai": "The same, as OpenAI's clients ask for it: their `base_url` is `/v1`, their key is an API key.",
}
REFUSALS: Final = {
    400: "It cannot be read",
    401: "No credentials, or not good ones",
    403: "Not allowed",
    404: "Not there, or not visible to the caller",
    409: "In conflict with what is there; or the `Idempotency-Key` was used for another request",
    412: "Changed meanwhile: `If-Match` names another version",
    413: "Too large",
    422: "Not valid: `details.errors` says what, and where",
    429: "Too many requests",
    503: "A dependency is down",
}
OPENAI_ERROR: Final = "OpenAIErrorResponse"
TEXT: Final = {"type": "string"}
COUNT: Final = {"type": "integer", "minimum": 0}
HEADERS: Final = {
    "X-Request-ID": {"description": "Stands in the log, too.", "required": True, "schema": TEXT},
    "ETag": {"description": "This version, for `If-Match` and `If-None-Match`.", "required": True, "schema": TEXT},
    "Location": {"description": "Where to read what was made.", "required": True, "schema": TEXT},
    "WWW-Authenticate": {"description": "How to authenticate.", "required": True, "schema": TEXT},
    "Retry-After": {"description": "Seconds.", "required": True, "schema": COUNT},
    "RateLimit-Limit": {"description": "Requests in a window.", "schema": COUNT},
    "RateLimit-Remaining": {"description": "Requests left in this window.", "schema": COUNT},
    "RateLimit-Reset": {"description": "Seconds until the window ends.", "schema": COUNT},
}
ON_ALL: Final = ("X-Request-ID",)
ON_LIMITED: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
ON_REFUSALS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
NOWHERE_TO_READ: Final = frozenset({"create_ticket", "create_invite"})
"""They make what is shown once, so there is no `Location`."""
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gives the first answer again, for 24 hours.",
    "schema": {"type": "string", "maxLength": LONGEST_KEY, "pattern": f"^{KEY_PATTERN}$"},
}


def describe(app: FastAPI, settings: Settings) -> None:
    """Let `app.openapi()` tell the whole truth."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, settings)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # this is how FastAPI wants it extended


def _document(app: FastAPI, settings: Settings) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        contact={"name": "Whoever runs this server"},
        servers=[{"url": "/", "description": "This server"}],
    )
    parts = document["components"]
    parts["securitySchemes"] = jsonable_encoder(SCHEMES, exclude_none=True, by_alias=True) | parts["securitySchemes"]
    parts["headers"] = HEADERS
    parts["parameters"] = {"IdempotencyKey": IDEMPOTENCY_KEY}
    parts["responses"] = {_name_of(status): _refusal(status) for status in REFUSALS}
    foreign = dict.fromkeys(openai_status(status) for status in REFUSALS)
    parts["responses"] |= {f"OpenAI{_name_of(status)}": _refusal(status, OPENAI_ERROR) for status in foreign}
    parts["schemas"] |= _schemas_of_openai_errors()
    for unused in ("HTTPValidationError", "ValidationError"):  # the framework's own form of a 422
        parts["schemas"].pop(unused, None)
    parts["schemas"]["MessageCreate"]["properties"]["text"]["maxLength"] = settings.chat.message_max_length
    for name, schema in parts["schemas"].items():
        if name.startswith("Body_"):
            _complete_form(schema)
    used, guarded = set(), _guarded(app)
    for path, method, operation in _operations(document):
        if operation["operationId"] in guarded:
            operation.setdefault("security", [{name: []} for name in SCHEMES])
        used.update(operation.get("tags", ()))
        is_foreign = speaks_openai({"path": path})
        _complete(operation, method=method, is_limited=path.startswith("/api/") or is_foreign, is_foreign=is_foreign)
    parts["responses"] = {name: parts["responses"][name] for name in sorted(_named_responses(document))}
    document["tags"] = [{"name": tag, "description": TAGS.get(tag, tag)} for tag in (*TAGS, *sorted(used - {*TAGS}))]
    return document


def _guarded(app: FastAPI) -> set[str]:
    """The ids of operations that want credentials."""
    contexts = [each for each in iter_route_contexts(app.routes) if isinstance(each.original_route, APIRoute)]
    return {str(each.operation_id or each.name) for each in contexts if _is_guarded(each.dependant)}


def _is_guarded(dependant: Dependant) -> bool:
    return dependant.call in GUARDS or any(map(_is_guarded, dependant.dependencies))


def _named_responses(document: Json) -> set[str]:
    """Those that an operation refers to."""
    answers = (answer for *_, operation in _operations(document) for answer in operation["responses"].values())
    return {answer["$ref"].rpartition("/")[2] for answer in answers if "$ref" in answer}


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        yield from ((path, method, item[method]) for method in METHODS if method in item)


def _name_of(status: int) -> str:
    return f"Refusal{status}"


def _refusal(status: int, schema: str = "ErrorResponse") -> Json:
    return {
        "description": REFUSALS[status],
        "headers": _headers(*ON_ALL, *ON_LIMITED, *ON_REFUSALS.get(status, ())),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _schemas_of_openai_errors() -> Json:
    schema = OpenAIErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), OPENAI_ERROR: schema}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _complete(operation: Json, *, method: str, is_limited: bool, is_foreign: bool) -> None:
    operation.setdefault("security", [])
    parameters: list[Json] = operation.pop("parameters", [])
    names = {parameter["name"].lower() for parameter in parameters}
    if method != "get":
        parameters = [parameter for parameter in parameters if parameter["name"].lower() != "if-none-match"]
    for parameter in parameters:
        parameter["schema"] = _without_null(parameter["schema"])
    statuses = set(_refusals_of(operation, method, {*names}, is_limited=is_limited))
    statuses = {openai_status(status) for status in statuses} if is_foreign else statuses
    form = "OpenAI" if is_foreign else ""
    if method == "post" and operation["security"]:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if parameters:
        operation["parameters"] = parameters
    responses: Json = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    if method == "get" and "if-none-match" in names:
        responses["304"] = {"description": "The client has this version already"}
    for status, response in responses.items():
        of_success = _of_success(operation, status, is_tagged="if-none-match" in names)
        limits = ON_LIMITED if is_limited else ()
        required = ON_REFUSALS.get(int(status), ()) if is_limited else ()
        response["headers"] = _headers(*ON_ALL, *limits, *of_success, *required) | response.get("headers", {})
    for refusal in statuses - {int(status) for status in responses}:
        responses[str(refusal)] = {"$ref": f"#/components/responses/{form}{_name_of(refusal)}"}
    operation["responses"] = dict(sorted(responses.items()))


def _of_success(operation: Json, status: str, *, is_tagged: bool) -> Iterator[str]:
    if status == "201" and operation["operationId"] not in NOWHERE_TO_READ:
        yield "Location"
    if is_tagged and status in {"200", "201", "206", "304"}:
        yield "ETag"


def _refusals_of(operation: Json, method: str, names: set[str], *, is_limited: bool) -> Iterator[int]:
    has_body, is_private = "requestBody" in operation, bool(operation["security"])
    if has_body or (method == "post" and is_private):
        yield 400
    if is_private or method == "post":
        yield from (401, 403)
    if names or has_body:
        yield from (404, 422)
    if is_private and method != "get":
        yield 409
    if "if-match" in names:
        yield 412
    if has_body:
        yield 413
    if is_limited:
        yield from (429, 503)


def _complete_form(schema: Json) -> None:
    """The framework takes an empty field of a form for one that is missing, and knows no null."""
    properties = {name: _without_null(each) for name, each in schema["properties"].items()}
    for name in schema.get("required", ()):
        properties[name].setdefault("minLength", 1)
    schema["properties"] = properties


def _without_null(schema: Json) -> Json:
    """What may be left out of an address or a header cannot be null there."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 else {"anyOf": choices, **rest}
