"""Functions that run outside: called with a signature, heard with a token, and waited for no longer than was said."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import func, update

from app.foundation import make_function_sender
from app.migrations import migrate
from app.models import FunctionCall, Task
from app.realtime.presence import Presence
from app.resources import Resources
from app.services import build_services
from app.settings import Settings
from app.settings.production import FunctionSettings
from app.tasks import build_handlers
from app.tasks.dispatcher import Dispatcher
from tests.conftest import cloned_database
from tests.factories import User, execute, make_project, make_user, share
from tests.processes import REPOSITORY, free_port, start_server, stop_process
from tests.receivers import Receiver, receiver, verify
from tests.tasks.test_productions import read, start
from tests.work import run_queued_tasks


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.function_calls.LOOK_EVERY", 0.02)


@asynccontextmanager
async def with_runner(application: FastAPI, resources: Resources, *runners: Receiver) -> AsyncIterator[Resources]:
    """The same resources, and the application over them, to which loopback is the internet."""
    ports = tuple(runner.port for runner in runners)
    settings = FunctionSettings(ports=ports, allowed_networks=("127.0.0.0/8",))
    changed = resources.settings.model_copy(update={"function": settings, "public_url": "https://hearth.example"})
    sender = make_function_sender(settings)
    foundation = replace(resources.foundation, settings=changed, function_sender=sender)
    presence = Presence(foundation.redis, resources.hub.publish, changed.realtime, prefix=changed.redis.prefix)
    services = build_services(foundation, resources.uow, resources.hub, presence)
    calling = replace(resources, foundation=foundation, services=services)
    application.state.resources = calling
    yield calling
    await services.replies.aclose()
    sender.close()


@asynccontextmanager
async def working(resources: Resources) -> AsyncIterator[Dispatcher]:
    """One task is being worked on for the length of the block."""
    dispatcher = Dispatcher(build_handlers(resources.services), resources.services.execution, concurrency=1)
    assert await dispatcher.start_next()
    yield dispatcher
    await dispatcher.stop()


async def wait_until_idle(dispatcher: Dispatcher) -> None:
    async with asyncio.timeout(10):
        while not dispatcher.is_idle:
            await asyncio.sleep(0.01)


async def call_of(resources: Resources, task_id: str) -> FunctionCall:
    async with resources.uow() as uow:
        [call] = await uow.functions.list([UUID(task_id)])
    return call


async def secret_of(client: AsyncClient, user: User, project_id: str) -> str:
    response = await client.post(f"/api/v1/projects/{project_id}/function-secret", headers=user.headers)
    assert response.status_code == 200, response.text
    return str(response.json()["secret"])


async def test_a_function_is_called_reports_delivers_and_ends_its_task(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    async with receiver(statuses=[202]) as runner, with_runner(application, resources, runner) as calling:
        params = {"url": runner.url, "function": "render", "input": {"text": "ahoy"}}
        task = await start(client, owner, project["id"], "call_function", params=params)
        async with working(calling) as dispatcher:
            [message] = await runner.wait_for(1)
            call = verify(await secret_of(client, owner, project["id"]), message)
            data, path = call["data"], f"/api/v1/function-calls/{task['id']}"
            assert (call["type"], data["function"], data["input"]) == ("function.call", "render", {"text": "ahoy"})
            assert data["callback"]["url"] == f"https://hearth.example{path}"
            token = {"X-Callback-Token": data["callback"]["token"]}
            stored = await call_of(calling, task["id"])
            assert stored.token_digest == hashlib.sha256(data["callback"]["token"].encode()).digest()

            report = {"progress": 0.5, "message": "half", "preview": "out.txt"}
            for bad in ({}, {"X-Callback-Token": "hearth_call_guess"}, owner.headers):
                assert (await client.post(f"{path}/progress", json=report, headers=bad)).status_code == 401
            other = f"/api/v1/function-calls/{uuid4()}/complete"
            assert (await client.post(other, json={}, headers=token)).status_code == 401, "good for its task alone"
            assert (await client.put(f"{path}/files/../../x", content=b"", headers=token)).status_code in (
                401,
                404,
                422,
            )

            put = await client.put(f"{path}/files/out.txt", content=b"AHOY", headers=token)
            assert (put.status_code, put.json()["path"]) == (201, f"functions/{task['id']}/out.txt")
            assert (await client.post(f"{path}/progress", json=report, headers=token)).status_code == 204
            async with asyncio.timeout(5):
                while (seen := await read(client, owner, task["id"]))["progress"] != 0.5:
                    await asyncio.sleep(0.02)
            assert (seen["message"], seen["preview_url"]) == ("half", put.json()["preview_url"])
            done = {"result": {"characters": 4}}
            assert (await client.post(f"{path}/complete", json=done, headers=token)).status_code == 204
            late = await client.post(f"{path}/complete", json=done, headers=token)
            assert (late.status_code, late.json()["error"]["code"]) == (409, "CONFLICT")
            await wait_until_idle(dispatcher)
        late = await client.put(f"{path}/files/more.txt", content=b"", headers=token)
        assert late.status_code == 409
    ended = await read(client, owner, task["id"])
    assert ended["status"] == "succeeded", ended
    assert ended["result"] == {"output": {"characters": 4}, "files": [f"functions/{task['id']}/out.txt"]}


async def test_a_call_goes_on_with_the_next_worker_and_a_runner_may_want_to_be_called_again(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    async with receiver(statuses=[503, 202]) as runner, with_runner(application, resources, runner) as calling:
        task = await start(client, owner, project["id"], "call_function", params={"url": runner.url})
        path, due = f"/api/v1/function-calls/{task['id']}", update(Task).where(Task.id == UUID(task["id"]))
        await run_queued_tasks(calling)
        assert (await read(client, owner, task["id"]))["failures"][0]["code"] == "SERVICE_UNAVAILABLE"
        await execute(resources, due.values(run_after=func.now()))
        async with working(calling):
            first, second = await runner.wait_for(2)
            async with asyncio.timeout(5):
                while not (await call_of(calling, task["id"])).is_accepted:
                    await asyncio.sleep(0.01)
        void, token = [{"X-Callback-Token": one.json["data"]["callback"]["token"]} for one in (first, second)]
        assert first.id != second.id
        assert (await client.post(f"{path}/complete", json={}, headers=void)).status_code == 401
        assert (await read(client, owner, task["id"]))["status"] == "queued", "it was handed back"
        again = {"message": "The furnace is cold.", "retry": True}
        assert (await client.post(f"{path}/fail", json=again, headers=token)).status_code == 204
        await run_queued_tasks(calling)
        assert len(runner.received) == 2, "what the runner has accepted is not called twice"
        assert (await read(client, owner, task["id"]))["failures"][1]["message"] == "The furnace is cold."

        await execute(resources, due.values(run_after=func.now()))
        async with working(calling) as dispatcher:
            third = (await runner.wait_for(3))[2].json["data"]["callback"]["token"]
            failure = {"message": "No such furnace."}
            said = await client.post(f"{path}/fail", json=failure, headers={"X-Callback-Token": third})
            assert said.status_code == 204
            await wait_until_idle(dispatcher)
    ended = await read(client, owner, task["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "FUNCTION_FAILED")
    assert ended["error"]["message"] == "No such furnace."


async def test_a_runner_that_never_comes_back_or_is_not_wanted_any_more_is_not_heard(
    client: AsyncClient, owner: User, application: FastAPI, resources: Resources
):
    project = await make_project(client, owner)
    async with receiver(statuses=[202]) as runner, with_runner(application, resources, runner) as calling:
        params = {"url": runner.url, "timeout_seconds": 1}
        task = await start(client, owner, project["id"], "call_function", params=params)
        await run_queued_tasks(calling)
        ended = await read(client, owner, task["id"])
        assert (ended["status"], ended["error"]["code"]) == ("failed", "FUNCTION_TIMED_OUT")
        unwanted = await start(client, owner, project["id"], "call_function", params={"url": runner.url})
        async with working(calling) as dispatcher:
            await runner.wait_for(2)
            await client.delete(f"/api/v1/tasks/{unwanted['id']}", headers=owner.headers)
            async with asyncio.timeout(1):
                await dispatcher.renew()
                await wait_until_idle(dispatcher)
            await client.post(f"/api/v1/tasks/{unwanted['id']}/retry", headers=owner.headers)
            assert await dispatcher.start_next()
            await runner.wait_for(3)  # it does not wait for what was given up
            await client.delete(f"/api/v1/tasks/{unwanted['id']}", headers=owner.headers)
            async with asyncio.timeout(1):
                await dispatcher.renew()
                await wait_until_idle(dispatcher)
        for number, message in enumerate(runner.received):
            data = message.json["data"]
            path = f"/api/v1/function-calls/{data['task_id']}/complete"
            late = await client.post(path, json={}, headers={"X-Callback-Token": data["callback"]["token"]})
            assert late.status_code == (401 if number == 1 else 409)  # its token has given way to the third one's
    assert (await read(client, owner, unwanted["id"]))["status"] == "cancelled"


async def test_only_urls_on_the_public_internet_are_called(
    client: AsyncClient, owner: User, resources: Resources, application: FastAPI
):
    project, editor = await make_project(client, owner), await make_user(client, "Editor")
    await share(client, owner, project["id"], editor, "editor")
    tasks = f"/api/v1/projects/{project['id']}/tasks"
    for url in ("ftp://example.org/", "http://example.org:22/", "http://me:secret@example.org/", "nonsense"):
        order = {"task_type": "call_function", "params": {"url": url}}
        assert (await client.post(tasks, json=order, headers=owner.headers)).status_code == 422, url
    for url in ("http://127.0.0.1/", "http://169.254.169.254/latest"):
        task = await start(client, owner, project["id"], "call_function", params={"url": url})
        await run_queued_tasks(resources)
        ended = await read(client, owner, task["id"])
        assert (ended["status"], ended["attempts"], ended["error"]["code"]) == ("failed", 1, "VALIDATION_ERROR")
    order = {"task_type": "call_function", "params": {"url": "https://example.org", "input": {"text": "\0"}}}
    assert (await client.post(tasks, json=order, headers=owner.headers)).status_code == 422
    refused = await client.post(f"/api/v1/projects/{project['id']}/function-secret", headers=editor.headers)
    assert refused.status_code == 403
    other = await make_project(client, owner, "Elsewhere")
    secrets = {await secret_of(client, owner, one["id"]) for one in (project, project, other)}
    assert len(secrets) == 2, "each project has its own"


async def test_the_example_runs_functions(settings: Settings):
    port = free_port()
    reach = {"FUNCTION_ALLOWED_NETWORKS": "127.0.0.0/8", "FUNCTION_PORTS": str(port)}
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        async with start_server(empty, worker=True, **reach) as server, server.client() as client:
            ada = await make_user(client)
            project = await make_project(client, ada)
            command = [str(REPOSITORY / "examples" / "function_runner.py"), str(port)]
            secret = await secret_of(client, ada, project["id"])
            runner = await asyncio.create_subprocess_exec(
                sys.executable, *command, secret, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                params = {"url": f"http://127.0.0.1:{port}/", "input": {"text": "land ahoy"}}
                task = await start(client, ada, project["id"], "call_function", params=params)
                async with asyncio.timeout(30):
                    while (ended := await read(client, ada, task["id"]))["finished_at"] is None:
                        await asyncio.sleep(0.1)
            finally:
                await stop_process(runner)
            assert ended["status"] == "succeeded", ended
            assert ended["result"]["output"] == {"characters": 9}
            [path] = ended["result"]["files"]
            file = await client.get(f"/api/v1/projects/{project['id']}/files/{path}", headers=ada.headers)
            assert file.text == "LAND AHOY"
