"""One task as Server-Sent Events, from a live server: from its beginning to its end, or from where one was."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import delete

from app.models import EventRow
from app.permissions import Principal
from app.resources import Resources
from app.services.execution import RunningTask
from tests.factories import User, execute, make_project, make_user
from tests.processes import LiveServer
from tests.rooms import follow_path, visit
from tests.tasks.probes import Place, Probe, queue, run_once


@pytest.fixture
async def http(live: LiveServer) -> AsyncIterator[AsyncClient]:
    async with live.client() as client:
        yield client


@pytest.fixture
async def ada(http: AsyncClient) -> User:
    return await make_user(http, name="Ada")


@pytest.fixture
async def place(http: AsyncClient, ada: User) -> Place:
    return Place(Principal(UUID(ada.id), "Ada"), UUID((await make_project(http, ada))["id"]))


def types_of(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames if frame["type"] != "progress"]


async def test_a_task_is_followed_from_its_beginning_to_its_end_and_others_are_not_heard(
    live: LiveServer, http: AsyncClient, ada: User, place: Place, committed: Resources
):
    half_done, go_on = asyncio.Event(), asyncio.Event()

    async def work(task: RunningTask) -> Mapping[str, Any]:
        for step in range(40):
            await task.progress(step / 80, f"step {step}", preview_url="/preview")
            await asyncio.sleep(0.02)
        half_done.set()
        await go_on.wait()
        return {"task_id": "of something else"}

    probe, other = Probe(work), Probe()
    task_id = await queue(committed, place, probe.task_type)
    path = f"tasks/{task_id}"
    async with follow_path(http, path, ada.headers) as early:
        welcome = await early.next()
        assert [state["task_id"] for state in welcome["active_tasks"]] == [str(task_id)]
        working = asyncio.create_task(run_once(committed, probe))
        await half_done.wait()
        await queue(committed, place, other.task_type)
        await run_once(committed, other)
        async with follow_path(http, path, ada.headers) as late, visit(live, str(place.project_id), ada.headers) as v:
            state = (await late.next())["active_tasks"][0]
            assert (state["status"], state["progress"] > 0, state["message"][:4]) == ("running", True, "step")
            assert (await v.next_of("welcome"))["active_tasks"] == [state], "the same on the socket"
            go_on.set()
            for follower in (early, late):
                assert (await follower.closed())["type"] == "complete"
        await working
    for follower in (early, late):
        assert types_of(follower.frames) == ["welcome", "task_started", "complete"]
        for frame in follower.frames[1:]:
            assert (frame["task_id"], frame["project_id"]) == (str(task_id), str(place.project_id))
        assert len({frame["id"] for frame in follower.frames}) == len(follower.frames)
    heard = [frame for frame in early.frames if frame["type"] == "progress"]
    assert 2 <= len(heard) <= 8, "at most five a second"
    assert heard[-1]["preview_url"] == "/preview"

    ids = [number for number in early.ids[1:] if number is not None]
    async with follow_path(http, path, ada.headers, last_event_id=ids[0]) as back:
        assert (await back.closed())["type"] == "complete"
        assert types_of(back.frames) == ["welcome", "complete"]
    done = await http.get(f"/api/v1/{path}/events", headers=ada.headers | {"Last-Event-ID": str(ids[-1])})
    assert (done.status_code, done.content) == (204, b""), "so that a browser does not come back again and again"


async def test_a_task_that_is_over_is_told_even_when_the_log_has_forgotten_it(
    http: AsyncClient, ada: User, place: Place, committed: Resources
):
    probe = Probe()
    task_id = await queue(committed, place, probe.task_type)
    await run_once(committed, probe)
    async with follow_path(http, f"tasks/{task_id}", ada.headers) as follower:
        last = await follower.closed()
        assert types_of(follower.frames) == ["welcome", "task_started", "complete"]
    await execute(committed, delete(EventRow).where(EventRow.channel_id == place.project_id))
    async with follow_path(http, f"tasks/{task_id}", ada.headers) as follower:
        told = await follower.closed()
        assert types_of(follower.frames) == ["welcome", "complete"]
    same = ("type", "project_id", "task_id", "task_type", "result", "duration")
    assert {name: told[name] for name in same} == {name: last[name] for name in same}


async def test_a_cancelled_task_ends_its_stream_and_strangers_have_none(
    http: AsyncClient, ada: User, place: Place, committed: Resources
):
    task_id = await queue(committed, place, Probe().task_type)
    async with follow_path(http, f"tasks/{task_id}", ada.headers) as follower:
        await follower.next()
        assert (await http.delete(f"/api/v1/tasks/{task_id}", headers=ada.headers)).status_code == 202
        last = await follower.closed()
    assert (last["type"], last["error_code"]) == ("error", "TASK_CANCELLED")
    stranger = await make_user(http, name="Stranger")
    for headers, code in (({}, 401), (stranger.headers, 404)):
        assert (await http.get(f"/api/v1/tasks/{task_id}/events", headers=headers)).status_code == code


async def test_whoever_leaves_the_project_hears_no_more_of_its_tasks(
    http: AsyncClient, ada: User, place: Place, committed: Resources
):
    task_id = await queue(committed, place, Probe().task_type)
    friend = await make_user(http, name="Friend")
    members = f"/api/v1/projects/{place.project_id}/members"
    await http.post(members, json={"email": friend.email, "role": "viewer"}, headers=ada.headers)
    async with follow_path(http, f"tasks/{task_id}", friend.headers) as follower:
        await follower.next()
        assert (await http.delete(f"{members}/{friend.id}", headers=ada.headers)).status_code == 204
        last = await follower.closed()
    assert (last["type"], last["details"]["close_code"], last["project_id"]) == ("error", 4404, str(place.project_id))
