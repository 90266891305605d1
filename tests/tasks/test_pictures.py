"""Pictures are made by a server that speaks OpenAI's Images API, and become files of the project."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from httpx import AsyncClient
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import func, update

from app.adapters.images import open_image_server
from app.models import Task
from app.realtime.presence import Presence
from app.resources import Resources
from app.services import build_services
from app.settings.production import ImagesSettings
from app.tasks import build_handlers
from app.tasks.dispatcher import Dispatcher
from tests.factories import User, execute, make_project, make_user
from tests.image_server import Answer, ImageScript, draw, serve_images
from tests.tasks.test_productions import read, start
from tests.work import run_queued_tasks

PROMPT = {"prompt": "A lamp"}


@asynccontextmanager
async def with_images(
    application: FastAPI, resources: Resources, script: ImageScript, **settings: Any
) -> AsyncIterator[Resources]:
    """The same resources, and the application over them, with a server that makes pictures."""
    given = ImagesSettings(base_url=script.url, api_key=SecretStr("sesame"), model="brush", **settings)
    async with open_image_server(given) as images:
        changed = resources.settings.model_copy(update={"images": given})
        foundation = replace(resources.foundation, settings=changed, images=images)
        prefix, realtime = changed.redis.prefix, changed.realtime
        presence = Presence(foundation.redis, resources.hub.publish, realtime, prefix=prefix)
        services = build_services(foundation, resources.uow, resources.hub, presence)
        drawing = replace(resources, foundation=foundation, services=services)
        application.state.resources = drawing
        yield drawing
        await services.replies.aclose()


async def test_a_picture_is_drawn_with_sketches_on_the_way(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project, stranger = await make_project(client, owner), await make_user(client, "Stranger")
    async with (
        serve_images(Answer(sketches=[draw("red", (900, 600)), b"no picture"])) as script,
        with_images(application, resources, script) as drawing,
    ):
        task = await start(client, owner, project["id"], "text_to_image", params=PROMPT, quality="high")
        preview = f"/api/v1/tasks/{task['id']}/preview"
        assert (await client.get(preview, headers=owner.headers)).status_code == 404
        await run_queued_tasks(drawing)
        sketch = await client.get(preview, headers=owner.headers)
        assert Image.open(io.BytesIO(sketch.content)).size == (512, 341)
        assert (await client.get(preview, headers=stranger.headers)).status_code == 404
        assert (await client.get(preview)).status_code == 401
        await drawing.foundation.redis.delete(f"{drawing.settings.redis.prefix}preview:{task['id']}")
        shown = await client.get(preview, headers=owner.headers)
        assert Image.open(io.BytesIO(shown.content)).size == (64, 48), "the sketch is forgotten, the picture is there"
        ended = await read(client, owner, task["id"])
    asked = script.requests[0]
    assert (asked.path, asked.headers["authorization"]) == ("/v1/images/generations", "Bearer sesame")
    wanted = {"prompt": "A lamp", "n": 1, "size": "1536x1536", "quality": "high", "model": "brush"}
    assert asked.fields == wanted | {"stream": True, "partial_images": 2}
    assert ended["status"] == "succeeded", ended
    [file] = ended["result"]["files"]
    assert (file["path"], file["media_type"]) == (f"images/{task['id']}.png", "image/png")
    assert file["usage"]["total_tokens"] == 12
    stored = await client.get(file["url"], headers=owner.headers)
    assert stored.content == draw("navy")


async def test_a_picture_is_changed_by_a_server_that_cannot_stream(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    folder = f"/api/v1/projects/{project['id']}/files"
    for path, content in (("cat.png", draw("grey")), ("mask.png", draw("white")), ("notes.txt", b"no picture")):
        put = await client.put(f"{folder}/{path}", content=content, headers=owner.headers)
        assert put.status_code == 201, put.text
    async with (
        serve_images() as script,
        with_images(application, resources, script, stream=False, sizes=("1024x1024", "1024x1536")) as drawing,
    ):
        params = {**PROMPT, "image": "cat.png", "mask": "mask.png", "shape": "portrait", "count": 2, "folder": "cats"}
        task = await start(client, owner, project["id"], "image_to_image", params=params)
        text = await start(client, owner, project["id"], "image_to_image", params={**PROMPT, "image": "notes.txt"})
        await run_queued_tasks(drawing)
    ended = await read(client, owner, task["id"])
    asked = script.requests[0]
    assert (asked.path, len(script.requests)) == ("/v1/images/edits", 2)
    assert asked.files == {"image": draw("grey"), "mask": draw("white")}
    assert asked.fields == {
        "prompt": "A lamp",
        "n": "1",
        "size": "1024x1536",
        "model": "brush",
        "response_format": "b64_json",
    }
    assert [file["path"] for file in ended["result"]["files"]] == [f"cats/{task['id']}-{n}.png" for n in (1, 2)]
    assert ended["result"]["files"][0]["revised_prompt"] == "A finer lamp."
    assert (await read(client, owner, text["id"]))["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_what_may_pass_is_tried_again_and_what_is_refused_is_not(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    refusal = {"message": "Not this.", "type": "image_generation_user_error", "code": "moderation_blocked"}
    answers = [
        Answer(status=429, headers={"retry-after": "7"}),
        Answer(status=503),
        Answer(sketches=[draw("red")], error={"message": "overloaded", "code": "server_error"}),
        Answer(),
        Answer(status=400, error=refusal),
        Answer(error=refusal),
        Answer(status=400, error={"message": "Unknown size.", "code": "invalid_value"}),
        Answer(status=401),
    ]
    async with serve_images(*answers) as script, with_images(application, resources, script) as drawing:
        task = await start(client, owner, project["id"], "text_to_image", params=PROMPT)
        for _ in range(4):
            await run_queued_tasks(drawing)
            due = update(Task).where(Task.id == UUID(task["id"])).values(run_after=func.now())
            await execute(resources, due)
        ended = await read(client, owner, task["id"])
        assert (ended["status"], ended["attempts"]) == ("succeeded", 4)
        tries = [failure["code"] for failure in ended["failures"]]
        assert tries == ["RATE_LIMITED", "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"]
        for code in ("CONTENT_REFUSED", "CONTENT_REFUSED", "CONFLICT", "CONFLICT"):
            task = await start(client, owner, project["id"], "text_to_image", params=PROMPT)
            await run_queued_tasks(drawing)
            refused = await read(client, owner, task["id"])
            assert (refused["status"], refused["attempts"], refused["error"]["code"]) == ("failed", 1, code)


async def test_a_picture_that_is_not_wanted_any_more_is_not_drawn_on(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    async with (
        serve_images(Answer(sketches=[draw("red")], hangs=True)) as script,
        with_images(application, resources, script) as drawing,
    ):
        task = await start(client, owner, project["id"], "text_to_image", params=PROMPT)
        services = drawing.services
        dispatcher = Dispatcher(build_handlers(services), services.execution, concurrency=1)
        assert await dispatcher.start_next()
        async with asyncio.timeout(10):
            await script.sent_sketches.wait()
        await client.delete(f"/api/v1/tasks/{task['id']}", headers=owner.headers)
        async with asyncio.timeout(1):
            await dispatcher.renew()
            await script.hung_up.wait()
        await dispatcher.stop()
    assert (await read(client, owner, task["id"]))["status"] == "cancelled"


async def test_without_a_server_no_picture_is_promised(client: AsyncClient, owner: User):
    project = await make_project(client, owner)
    order = {"task_type": "text_to_image", "params": PROMPT}
    refused = await client.post(f"/api/v1/projects/{project['id']}/tasks", json=order, headers=owner.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert "IMAGES_BASE_URL" in refused.json()["error"]["message"]
