"""Input that parsers choke on: never a 5xx, and never a header or a link of somebody's making."""

import pytest
from httpx import AsyncClient

from tests.api.test_application import error_of
from tests.factories import User, make_project

JSON = {"Content-Type": "application/json"}
ODD_BODIES = {
    "deep list": b"[" * 100_000,
    "closed deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep value": b'{"name": "x", "metadata": ' + b"[" * 900 + b"]" * 900 + b"}",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "many digits": b'{"name": ' + b"9" * 10_000 + b"}",
    "large integer": b'{"name": "x", "max_users": 99999999999999999999999999, "limit": 1e400}',
    "not a number": b'{"name": NaN, "title": Infinity, "text": -Infinity}',
    "half a character": b'{"name": "\\ud800", "title": "\\udfff", "text": "\\ud800", "email": "\\ud800@a.b"}',
    "half a character as name": b'{"\\ud800": 1}',
    "NUL": b'{"name": "a\\u0000b", "title": "a\\u0000b", "text": "a\\u0000b", "question": "\\u0000"}',
    "NUL as name": b'{"\\u0000": "\\u0000", "__proto__": {"a": 1}}',
    "same name twice": b'{"name": "a", "name": {"b": []}, "text": "a", "text": 7}',
    "nothing": b"",
    "null": b"null",
    "string": b'"text"',
}
ROUTES = (
    "POST /auth/register",
    "POST /auth/refresh",
    "POST /api-keys",
    "POST /projects",
    "PATCH /projects/{project}",
    "POST /projects/{project}/tasks",
    "POST /documents",
    "POST /search",
    "POST /query",
    "POST /sessions",
    "POST /sessions/join",
    "PATCH /users/me",
)


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> str:
    return str((await make_project(client, owner))["id"])


@pytest.mark.parametrize("kind", ODD_BODIES)
async def test_a_body_that_is_odd_is_refused_or_taken_and_never_our_fault(client, owner, project, kind: str):
    for route in ROUTES:
        method, _, path = route.partition(" ")
        url = f"/api/v1{path.format(project=project)}"
        answer = await client.request(method, url, content=ODD_BODIES[kind], headers=owner.headers | JSON)
        assert answer.status_code < 500, (route, answer.text)
        if answer.status_code >= 400:
            assert error_of(answer)["code"] in ("VALIDATION_ERROR", "INVALID_CREDENTIALS"), (route, answer.text)


@pytest.mark.parametrize("kind", ["deep list", "closed deep list", "deep object", "not UTF-8", "many digits"])
async def test_what_is_no_json_is_a_validation_error(client, owner, project, kind: str):
    for route in ROUTES:
        method, _, path = route.partition(" ")
        url = f"/api/v1{path.format(project=project)}"
        answer = await client.request(method, url, content=ODD_BODIES[kind], headers=owner.headers | JSON)
        assert (answer.status_code, error_of(answer)["code"]) == (422, "VALIDATION_ERROR"), route
        assert error_of(answer)["details"]["errors"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "query", ["q=%00", "q=%ff%fe", "q=%ed%a0%80", "limit=1e9", "cursor=%00", "status[]=x", "project_id=%00"]
)
async def test_an_odd_query_is_refused_or_taken_and_never_our_fault(client, owner, query: str):
    for path in ("/documents", "/projects", "/tasks", "/sessions"):
        answer = await client.get(f"/api/v1{path}?{query}", headers=owner.headers)
        assert answer.status_code in (200, 422), (path, answer.text)


@pytest.mark.parametrize(
    "path",
    ["/%00", "/%ff", "/api/v1/documents/%00", "/api/v1/projects/..%2f..%2fetc", "/docs/assets/..%2f..%2fpages.py"],
)
async def test_an_odd_path_is_not_found(client, owner, path: str):
    answer = await client.get(path, headers=owner.headers)
    assert (answer.status_code, error_of(answer)["code"]) in ((404, "RESOURCE_NOT_FOUND"), (422, "VALIDATION_ERROR"))


@pytest.mark.parametrize(
    "given", ["short", "x" * 129, "a b c d e f", "<script>alert(1)", "id\twith-tab", "ünlaut-id", "good-id-1\n"]
)
async def test_a_request_id_that_is_not_well_formed_is_not_taken_over(client, given: str):
    answer = await client.get("/api/v1/nowhere", headers=[(b"X-Request-ID", given.encode())])
    assert answer.headers["x-request-id"] != given
    assert error_of(answer)["code"] == "RESOURCE_NOT_FOUND"
    kept = await client.get("/api/v1/nowhere", headers={"X-Request-ID": "good-id_1.x"})
    assert kept.headers["x-request-id"] == "good-id_1.x"


async def test_no_header_is_split_by_what_a_caller_says(client, owner):
    name = 'lamp"\r\nSet-Cookie: a=b\r\n\r\n<script>.txt'
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nlamp\r\n--b--\r\n'
    body = form % name.encode().replace(b'"', b"%22").replace(b"\r\n", b"%0D%0A")
    headers = owner.headers | {"Content-Type": "multipart/form-data; boundary=b"}
    added = await client.post("/api/v1/documents", content=body, headers=headers)
    download = await client.get(f"{added.headers['location']}/content", headers=owner.headers)
    assert "set-cookie" not in download.headers
    assert download.headers["content-disposition"].startswith("attachment; filename")
    assert "\n" not in download.headers["content-disposition"]


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("page.html", b"<!doctype html><script>alert(1)</script>"),
        ("page.txt", b"<html><body onload=alert(1)>"),
        ("feed.json", b'[{"a": "<script>alert(1)</script>"}]'),
    ],
)
async def test_what_was_uploaded_never_runs_in_our_name(client, owner, filename: str, content: bytes):
    added = await client.post("/api/v1/documents", files={"file": (filename, content)}, headers=owner.headers)
    for headers in (owner.headers, owner.headers | {"Range": "bytes=0-3"}):
        answer = await client.get(f"{added.headers['location']}/content", headers=headers)
        assert answer.headers["content-disposition"] == f'attachment; filename="{filename}"'
        assert answer.headers["content-security-policy"].startswith("sandbox;")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_redirect_never_leads_to_the_host_that_a_request_named(client):
    for path in ("/", "/docs/", "/api/v1/info/", "//example.org/%2e%2e"):
        answer = await client.get(path, headers={"Host": "example.org"}, follow_redirects=False)
        if answer.is_redirect:
            assert answer.headers["location"].startswith("/"), path
            assert not answer.headers["location"].startswith("//"), path


async def test_every_answer_carries_the_security_headers(client, owner):
    seen = await client.get("/api/v1/users/me", headers=owner.headers)
    answers = [
        seen,
        await client.get("/api/v1/users/me", headers=owner.headers | {"If-None-Match": seen.headers.get("etag", "")}),
        await client.post("/api/v1/projects", content=b"x" * 2_000_000, headers=owner.headers | JSON),
        await client.options(
            "/api/v1/projects", headers={"Origin": "http://a.b", "Access-Control-Request-Method": "GET"}
        ),
        await client.request("TRACE", "/api/v1/info"),
        *[await client.get(path) for path in ("/", "/docs", "/redoc", "/openapi.json", "/docs/assets/favicon.png")],
        *[await client.get(path) for path in ("/nowhere", "/docs/assets/nowhere", "/api/v1/documents")],
    ]
    for answer in answers:
        for name in (
            "content-security-policy",
            "x-frame-options",
            "x-content-type-options",
            "referrer-policy",
            "permissions-policy",
            "x-request-id",
        ):
            assert name in answer.headers, (answer.request.url, name)
