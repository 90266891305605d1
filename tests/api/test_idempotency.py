"""The same `Idempotency-Key` carries a request out once."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

from httpx import ASGITransport, AsyncClient, Response
from starlette.types import Message, Receive, Scope, Send

from app.main import create_app
from app.resources import Resources
from tests.factories import User, make_user
from tests.processes import LiveServer

ROOM = {"name": "Kitchen", "spirit_mode": "off"}


async def post(client: AsyncClient, user: User, key: str, json: dict | None = None, path: str = "/api/v1/sessions"):
    return await client.post(path, json=json or ROOM, headers=user.headers | {"Idempotency-Key": key})


async def count_rooms(client: AsyncClient, user: User) -> int:
    return len((await client.get("/api/v1/sessions", headers=user.headers)).json()["items"])


async def test_the_same_request_again_is_answered_alike_and_not_carried_out(client: AsyncClient, owner: User):
    key = uuid4().hex
    first, again = await post(client, owner, key), await post(client, owner, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert await count_rooms(client, owner) == 1


async def test_another_request_with_the_same_key_is_a_conflict(client: AsyncClient, owner: User):
    key = uuid4().hex
    await post(client, owner, key)
    for response in (
        await post(client, owner, key, ROOM | {"name": "Cellar"}),
        await post(client, owner, key, path="/api/v1/projects"),
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (409, "CONFLICT")
    somebody = await make_user(client)
    assert (await post(client, somebody, key)).status_code == 201  # keys of different people do not meet
    assert await count_rooms(client, owner) == 1


async def test_a_refused_request_is_refused_alike_and_a_bad_key_is_named(client: AsyncClient, owner: User):
    key = uuid4().hex
    first, again = await post(client, owner, key, {"name": ""}), await post(client, owner, key, {"name": ""})
    assert (first.status_code, again.status_code) == (422, 422)
    assert again.json()["error"] == first.json()["error"]
    assert (await post(client, owner, "x" * 256)).status_code == 400
    assert (await client.post("/api/v1/sessions", json=ROOM, headers={"Idempotency-Key": key})).status_code == 401


async def test_an_answer_with_a_secret_is_neither_stored_nor_made_twice(client: AsyncClient, owner: User):
    key = uuid4().hex
    first = await post(client, owner, key, {"name": "script"}, "/api/v1/api-keys")
    again = await post(client, owner, key, {"name": "script"}, "/api/v1/api-keys")
    assert (first.status_code, again.status_code) == (201, 409)
    assert len((await client.get("/api/v1/api-keys", headers=owner.headers)).json()["items"]) == 1


async def test_a_long_answer_is_made_again_in_whatever_form_the_client_reads(client: AsyncClient, owner: User):
    path, question = "/api/v1/projects", {"name": "Long", "description": "lamp " * 300}
    key = uuid4().hex
    for encoding in ("gzip", "identity", "gzip"):
        headers = owner.headers | {"Idempotency-Key": key, "Accept-Encoding": encoding}
        answer = await client.post(path, json=question, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (201, "Long")
        assert answer.headers.get("Content-Encoding", "identity") == encoding


async def test_a_form_sent_again_is_the_same_whatever_its_boundary(client: AsyncClient, owner: User):
    async def send(boundary: str, content: str) -> Response:
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{content}\r\n'
        headers = {"Idempotency-Key": "form", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        body = f"{part}--{boundary}--\r\n".encode()

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 3):
                yield body[start : start + 3]

        return await client.post("/api/v1/documents", content=pieces(), headers=owner.headers | headers)

    first, again = await send("one", "the lamp is lit"), await send("another", "the lamp is lit")
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    assert (await send("another", "the lamp is out")).status_code == 409


async def test_an_answer_is_kept_before_its_end_is_sent(resources: Resources, owner: User):
    app, key, kept = create_app(resources=resources), uuid4().hex, []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def look_and_send(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                kept.append(await resources.services.idempotency.first_answer(UUID(owner.id), key))
            await send(message)

        await app(scope, receive, look_and_send)

    async with AsyncClient(transport=ASGITransport(watched), base_url="http://test") as client:
        answer = await post(client, owner, key)
    assert [(first.status, first.body) for first in kept] == [(201, answer.content)]


async def test_two_at_once_are_carried_out_once(live: LiveServer):
    key = uuid4().hex
    async with live.client() as client:
        user = await make_user(client)
        responses = await asyncio.gather(*(post(client, user, key) for _ in range(8)))
        assert {response.status_code for response in responses} <= {201, 409}
        assert await count_rooms(client, user) == 1
        assert (await post(client, user, key)).status_code == 201
