"""Attacks on every route at once, made from the OpenAPI document: a new route is attacked without being asked."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from app.main import create_app
from app.permissions import ALL_SCOPES
from app.resources import Resources
from tests.test_permissions import ROWS, World, make_world

POSITIONS = {"cursor"}
"""These say from where on a list goes on, whether something with that id is there or not."""
FOREIGN = re.compile(r"\^?(file-|vs_|vsfb_)")
"""How ids begin in OpenAI's form, and the patterns of these."""
CHANGING = ("post", "put", "patch")
JSON = "application/json"
CHANGES_BY_ITSELF = re.compile(
    r'^{"id":"[^"]*"|"(request_id|timestamp|timings_ms|retry_after[a-z_]*)": ?("[^"]*"|\{[^}]*\}|[0-9.]+)'
)


@dataclass(frozen=True)
class Place:
    """Where an id goes in: `path`, `query` or `body`, and the way to it there (`filters.document_ids[]`)."""

    name: str
    where: str
    way: str


def resolved(given: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference into the document's components refers to, or the thing itself."""
    if "$ref" not in given:
        return given
    _, _, kind, name = given["$ref"].split("/")
    return document["components"][kind][name]


def walk(schema: Mapping[str, Any], document: Mapping[str, Any], way: str = "") -> Iterator[str]:
    """Ways to every id in a body."""
    schema = resolved(schema, document)
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from walk(alternative, document, way)
    if schema.get("format") == "uuid" or FOREIGN.match(schema.get("pattern", "")):
        yield way
    if "items" in schema:
        yield from walk(schema["items"], document, f"{way}[]")
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, document, f"{way}.{name}" if way else name)


def places(document: Mapping[str, Any]) -> Iterator[Place]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            for parameter in (resolved(given, document) for given in operation.get("parameters", ())):
                is_position = parameter["name"] in POSITIONS or is_foreign_position(parameter)
                if not is_position and parameter["in"] in ("path", "query"):
                    yield from (
                        Place(name, parameter["in"], parameter["name"]) for _ in walk(parameter["schema"], document)
                    )
            body = operation.get("requestBody", {}).get("content", {}).get(JSON)
            if body is not None:
                yield from {Place(name, "body", way): None for way in walk(body["schema"], document)}


def is_foreign_position(parameter: Mapping[str, Any]) -> bool:
    return parameter["name"] == "after" and FOREIGN.match(parameter["schema"].get("pattern", "")) is not None


def another(value: str) -> str:
    """An id of the same form that nothing has."""
    form = FOREIGN.match(value)
    return f"{form[0]}{uuid4().hex}" if form else str(uuid4())


def put(body: dict[str, Any], way: str, value: str) -> dict[str, Any]:
    """The body with `value` at the end of the way."""
    head, _, rest = way.partition(".")
    if rest and head.endswith("[]"):
        return body | {head.removesuffix("[]"): [put({}, rest, value)]}
    if rest:
        return body | {head: put(dict(body.get(head) or {}), rest, value)}
    return body | ({head.removesuffix("[]"): [value]} if head.endswith("[]") else {head: value})


async def send(own: World, place: Place, value: str) -> Response:
    """What a route says to somebody with a world of their own who gives `value` for one of its ids."""
    method, template = place.name.split(" ", 1)
    make_body = ROWS[place.name][1]
    body = make_body(own) if make_body else {}
    ids, query = dict(own.ids), {}
    if place.where == "path":
        ids[place.way] = value
    elif place.where == "query":
        query[place.way] = value
    else:
        body = put(body, place.way, value)
    return await own.client.request(
        method, template.format(**ids), params=query, json=body or None, headers=own.headers["owner"]
    )


def said(response: Response, value: str) -> tuple[int, str]:
    """The answer without what differs from call to call."""
    text = response.text.replace(value, "the id").replace(
        UUID(value[-32:]).hex if FOREIGN.match(value) else UUID(value).hex, "the id"
    )
    return response.status_code, CHANGES_BY_ITSELF.sub("", text)


def id_for(place: Place, victim: World) -> str | None:
    """The victim's id that fits; None where the table of the world has none of this kind."""
    if ROWS[place.name][0]["owner"] == 403:  # for admins alone: any id will do
        return victim.ids["user_id"]
    noun = place.way.split(".")[-1].removesuffix("[]")
    return victim.ids.get(noun) or victim.ids.get(noun.removesuffix("s"))


async def test_somebody_elses_id_is_answered_like_one_that_does_not_exist(
    client: AsyncClient, resources: Resources, shared_connection: AsyncConnection
):
    document = create_app(resources=resources).openapi()
    victim, own = await make_world(client), await make_world(client)
    telling, tried = [], 0
    for place in places(document):
        value = id_for(place, victim)
        assert value is not None, f"{place}: the world of test_permissions.py has no such id"
        answers = []
        for given in (value, another(value)):
            await shared_connection.exec_driver_sql("SAVEPOINT before_the_call")
            answers.append(said(await send(own, place, given), given))
            await shared_connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_the_call")
        tried += 1
        if answers[0] != answers[1] or answers[0][0] >= 500:
            telling.append(f"{place}: {answers[0]} against {answers[1]}")
    assert telling == [], "\n".join(telling)
    assert tried > 35


def wanted_by_attackers(world: World) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "user_id": world.ids["user_id"],
        "owner_id": world.ids["user_id"],
        "created_by": world.ids["user_id"],
        "role": "admin",
        "is_admin": True,
        "is_active": False,
        "is_default": True,
        "is_spirit": True,
        "is_internal": True,
        "email": "changed@example.com",
        "email_verified": True,
        "email_verified_at": "2000-01-01T00:00:00Z",
        "password_hash": "$argon2id$",
        "scopes": sorted(ALL_SCOPES),
        "digest": "00",
        "prefix": "hearth_key_mine",
        "sha256": "0" * 64,
        "status": "succeeded",
        "attempts": 99,
        "seq": 99_999,
        "uses_left": 99_999,
        "created_at": "2000-01-01T00:00:00Z",
        "updated_at": "2000-01-01T00:00:00Z",
        "expires_at": "2099-01-01T00:00:00Z",
    }


def properties_of(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    schema = resolved(schema, document)
    alternatives = (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ()))
    inner = [properties_of(alternative, document) for alternative in alternatives]
    return set(schema.get("properties", ())).union(*inner)


def values_in(body: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value, however deep."""
    if isinstance(body, list):
        for item in body:
            yield from values_in(item)
    if isinstance(body, dict):
        yield from body.items()
        for item in body.values():
            yield from values_in(item)


async def test_what_a_body_does_not_offer_cannot_be_set(
    client: AsyncClient, resources: Resources, shared_connection: AsyncConnection
):
    document = create_app(resources=resources).openapi()
    world = await make_world(client)
    set_, tried = [], 0
    for path, method, operation in changing_operations(document):
        name = f"{method.upper()} {path}"
        offered = properties_of(operation["requestBody"]["content"][JSON]["schema"], document)
        make_body = ROWS[name][1]
        smuggled = {key: value for key, value in wanted_by_attackers(world).items() if key not in offered}
        body = (make_body(world) if make_body else {}) | smuggled
        await shared_connection.exec_driver_sql("SAVEPOINT before_the_call")
        caller = "owner" if ROWS[name][0]["owner"] != 403 else "admin"
        response = await client.request(method, world.path(path), json=body, headers=world.headers[caller])
        await shared_connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_the_call")
        assert response.status_code < 500, (name, response.text)
        tried += 1
        answer = json.loads(response.text) if response.is_success and response.text else {}
        set_ += [f"{name}: {key}" for key, value in values_in(answer) if key in smuggled and value == smuggled[key]]
    assert set_ == []
    assert tried > 10


def changing_operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method in set(operations) & set(CHANGING):
            body = operations[method].get("requestBody", {}).get("content", {}).get(JSON)
            if body is not None and body["schema"].get("additionalProperties") is not True:  # else all is offered
                yield path, method, operations[method]


@pytest.fixture
def application_document(application: FastAPI) -> Mapping[str, Any]:
    return application.openapi()


def test_the_attacks_find_ids_where_they_are(application_document: Mapping[str, Any]):
    found = set(places(application_document))
    assert {
        Place("POST /api/v1/search", "body", "filters.document_ids[]"),
        Place("POST /api/v1/query", "body", "session_id"),
        Place("GET /api/v1/documents", "query", "project_id"),
        Place("POST /v1/vector_stores", "body", "file_ids[]"),
        Place("DELETE /v1/vector_stores/{vector_store_id}/files/{file_id}", "path", "file_id"),
        Place("DELETE /api/v1/projects/{project_id}/members/{user_id}", "path", "user_id"),
    } <= found
