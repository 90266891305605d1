"""What holds for every request: errors, ids, headers, limits, pages."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.api import complete_routes
from app.api.routing import Plan
from app.main import create_app
from app.resources import Resources
from app.schemas.base import Schema, complete_schemas
from app.settings import Settings


def error_of(response) -> dict:
    body = response.json()
    assert set(body) == {"error", "request_id", "timestamp"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["timestamp"].endswith("Z")
    return body["error"]


async def test_health_tells_the_state_of_every_dependency(client: AsyncClient, resources: Resources):
    await resources.foundation.embedder.check()  # loads the model, which takes longer than health waits
    resources.services.health.begin()
    for path in ("/health", "/api/v1/health", "/health/ready"):
        response = await client.get(path)
        body = response.json()
        assert (response.status_code, body["status"]) == (200, "healthy"), body
        assert set(body["checks"]) == {"database", "redis", "workspace", "embedder", "llm", "queue"}
        assert all(check["status"] == "healthy" and check["latency_ms"] >= 0 for check in body["checks"].values())
    assert (await client.get("/health/live")).json() == {"status": "alive"}


async def test_info_is_public_and_metrics_are_not(client: AsyncClient, owner):
    info = (await client.get("/api/v1/info")).json()
    assert info["name"] == "Hearth"
    assert "application/pdf" in info["media_types"]

    assert (await client.get("/api/v1/metrics")).status_code == 401
    metrics = await client.get("/api/v1/metrics", headers=owner.headers)
    assert 'hearth_http_requests_total{method="GET",operation="read_info",status="200"}' in metrics.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "RESOURCE_NOT_FOUND"),
        ("GET", "/api/v1/nowhere", 404, "RESOURCE_NOT_FOUND"),
        ("DELETE", "/api/v1/info", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/documents", 401, "NOT_AUTHENTICATED"),
        ("POST", "/api/v1/auth/register", 422, "VALIDATION_ERROR"),
    ],
)
async def test_every_error_has_the_same_form(client: AsyncClient, method: str, path: str, status: int, code: str):
    response = await client.request(method, path)
    assert response.status_code == status
    assert error_of(response)["code"] == code


async def test_an_oversized_or_broken_body_is_refused(client: AsyncClient):
    json = {"Content-Type": "application/json"}
    response = await client.post("/api/v1/auth/register", content=b'"' + b"x" * 2_000_000 + b'"', headers=json)
    assert (response.status_code, error_of(response)["code"]) == (413, "PAYLOAD_TOO_LARGE")

    response = await client.post("/api/v1/auth/register", content=b"{not json", headers=json)
    assert (response.status_code, error_of(response)["code"]) == (422, "VALIDATION_ERROR")


async def test_a_well_formed_request_id_is_taken_over_and_another_is_replaced(client: AsyncClient):
    assert (await client.get("/health/live", headers={"X-Request-ID": "abc-12345678"})).headers[
        "X-Request-ID"
    ] == "abc-12345678"
    for bad in ("short", "with space inside", "x" * 200, "semi;colon-semi"):
        assert (await client.get("/health/live", headers={"X-Request-ID": bad})).headers["X-Request-ID"] != bad


async def test_security_headers_stand_on_every_response(client: AsyncClient):
    for path in ("/health/live", "/nowhere", "/docs", "/api/v1/documents"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Content-Security-Policy" in headers
        assert {"Referrer-Policy", "Permissions-Policy"} <= {name.title() for name in headers}
        assert "Strict-Transport-Security" not in headers
    https = await client.get("https://test/health/live")
    assert "max-age" in https.headers["Strict-Transport-Security"]


async def test_the_pages_for_developers_need_nothing_from_elsewhere(client: AsyncClient):
    assert (await client.get("/")).headers["Location"] == "/docs"
    for page in ("/docs", "/redoc"):
        response = await client.get(page)
        assert response.status_code == 200
        assert "https://" not in response.text
        assert "'sha256-" in response.headers["Content-Security-Policy"] or page == "/redoc"
    script = await client.get("/docs/assets/swagger-ui-bundle.js")
    assert script.status_code == 200
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"]
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


async def test_only_configured_origins_may_call_from_a_browser(client: AsyncClient):
    allowed = await client.get("/health/live", headers={"Origin": "http://localhost:3000"})
    assert allowed.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    refused = await client.get("/health/live", headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_large_answers_are_compressed_and_small_ones_are_not(client: AsyncClient):
    large = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert large.headers["Content-Encoding"] == "gzip"
    small = await client.get("/health/live", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


async def test_a_failed_statement_does_not_tell_what_it_was_given(resources: Resources):
    with pytest.raises(DBAPIError) as failure:
        async with resources.foundation.engine.connect() as connection:
            await connection.execute(text("SELECT 1 / 0, CAST(:said AS text)"), {"said": "a private word"})
    assert "division by zero" in str(failure.value)
    assert "a private word" not in str(failure.value)


async def test_what_a_start_did_not_wait_for_is_made_once_and_before_anybody_asks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    made: Counter[str] = Counter()
    make = Plan.get_route_handler

    def counted(plan: Plan) -> Any:
        made[plan.name] += 1
        return make(plan)

    monkeypatch.setattr(Plan, "get_route_handler", counted)
    app = create_app(settings)
    assert not made
    await complete_schemas()
    await complete_routes(app)
    completed = set(made)
    routes = list(iter_route_contexts(app.routes))  # makes the rest
    assert len(routes) > 100
    assert {each.name for each in routes if "/v1/" in each.path} <= completed
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/api/v1/nowhere")).status_code == 404
    assert sum(made.values()) == len([each for each in routes if isinstance(each.original_route, Plan)])
    assert [one.__name__ for one in heirs_of(Schema) if not one.__pydantic_complete__] == []


def heirs_of(kind: type[Schema]) -> Iterator[type[Schema]]:
    for heir in kind.__subclasses__():
        yield heir
        yield from heirs_of(heir)
