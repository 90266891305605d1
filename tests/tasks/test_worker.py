"""The queue: every task is done, by one worker at a time, whatever becomes of the workers."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app.errors import InvalidInput, ServiceUnavailable
from app.models import EventRow, TaskStatus
from app.repositories.task_queue import Report
from app.resources import Resources
from app.services.execution import TaskExecution
from app.services.running_tasks import RunningTask, TaskLost
from app.settings import TaskSettings
from tests.tasks.probes import Place, Probe, heard, lease_one, make_place, queue, read_task, run_once, until, working


def execution_with(resources: Resources, **settings: Any) -> TaskExecution:
    return TaskExecution(resources.uow, TaskSettings(**settings), {})


async def forever(_: RunningTask) -> Mapping[str, Any]:
    await asyncio.Event().wait()
    return {}


async def test_many_workers_take_every_task_exactly_once(committed):
    place, probe = await make_place(committed), Probe()
    queued = {await queue(committed, place, probe.task_type) for _ in range(40)}
    taken: list[Any] = []

    async def work() -> None:
        while running := await lease_one(committed.services.execution, probe.task_type):
            taken.append(running.id)
            await committed.services.execution.succeed(running, {"by": "one of eight"})

    await asyncio.gather(*(work() for _ in range(8)))
    assert Counter(taken) == dict.fromkeys(queued, 1)
    assert (await read_task(committed, taken[0])).result == {"by": "one of eight"}


async def test_tasks_with_one_serial_key_run_one_at_a_time_in_their_order(committed):
    place, probe = await make_place(committed), Probe()
    queued = [await queue(committed, place, probe.task_type, serial_key=f"room:{probe.task_type}") for _ in range(3)]
    execution = committed.services.execution
    done = []
    for _ in queued:
        asked = [lease_one(execution, probe.task_type) for _ in range(6)]
        taken = [running for running in await asyncio.gather(*asked) if running]
        assert len(taken) == 1
        await committed.services.execution.succeed(taken[0], {})
        done.append(taken[0].id)
    assert done == queued


async def test_a_task_that_waits_for_another_try_keeps_its_place_in_line(committed):
    place, probe = await make_place(committed), Probe()
    first = await queue(committed, place, probe.task_type, serial_key=probe.task_type)
    await queue(committed, place, probe.task_type, serial_key=probe.task_type)
    running = await lease_one(committed.services.execution, probe.task_type)
    assert running.id == first
    await committed.services.execution.retry(running, ServiceUnavailable("away"))
    assert await lease_one(committed.services.execution, probe.task_type) is None


async def test_urgent_tasks_come_first_and_busy_projects_last(committed):
    busy, quiet, probe = await make_place(committed), await make_place(committed), Probe()
    first = await queue(committed, busy, probe.task_type)
    second = await queue(committed, busy, probe.task_type)
    late = await queue(committed, quiet, probe.task_type)
    urgent = await queue(committed, busy, probe.task_type, priority=1)
    taken = [(await lease_one(committed.services.execution, probe.task_type)).id for _ in range(4)]
    assert taken == [urgent, late, first, second]


async def test_a_dead_workers_task_is_taken_over_and_it_writes_nothing_more(committed):
    place, probe = await make_place(committed), Probe()
    task_id = await queue(committed, place, probe.task_type)
    execution = execution_with(committed, lease=timedelta(milliseconds=200))
    dead = await lease_one(execution, probe.task_type)
    assert await lease_one(execution, probe.task_type) is None, "its lease has not run out"
    await asyncio.sleep(0.25)
    alive = await lease_one(execution, probe.task_type)
    assert (alive.id, alive.attempt) == (task_id, 2)

    assert dead.id not in await execution.renew({dead.id: dead.fence})
    assert await execution.renew({alive.id: alive.fence}) == {task_id: False}
    with pytest.raises(TaskLost):
        await execution.succeed(dead, {"by": "the dead"})
    with pytest.raises(TaskLost):
        async with committed.uow() as uow:
            await dead.hold(uow)
    await execution.fail(dead, ServiceUnavailable("from the grave"))
    async with committed.uow() as uow:
        assert not await uow.queue.set_progress(dead.id, dead.fence, Report(0.9, "from the grave"))
    await execution.succeed(alive, {"by": "the living"})
    task = await read_task(committed, task_id)
    assert (task.status, task.result, task.message) == ("succeeded", {"by": "the living"}, "")


async def test_a_lease_is_renewed_while_another_transaction_holds_the_row(committed):
    place, probe = await make_place(committed), Probe()
    await queue(committed, place, probe.task_type)
    await queue(committed, place, probe.task_type)
    execution = committed.services.execution
    held, other = await lease_one(execution, probe.task_type), await lease_one(execution, probe.task_type)
    before = (await read_task(committed, other.id)).leased_until
    async with committed.uow() as uow:
        await held.hold(uow)
        async with asyncio.timeout(1):
            ours = await execution.renew({held.id: held.fence, other.id: other.fence})
    assert ours == {held.id: False, other.id: False}
    assert (await read_task(committed, other.id)).leased_until > before


async def test_a_temporary_failure_is_tried_again_later_and_in_the_end_says_why(committed):
    async def fail(_: RunningTask) -> Mapping[str, Any]:
        raise ServiceUnavailable("The model is away.")

    place, probe = await make_place(committed), Probe(fail)
    task_id = await queue(committed, place, probe.task_type)
    execution = execution_with(committed, max_attempts=2, retry_delay=timedelta(milliseconds=200))
    async with heard(committed, place) as frames:
        await run_once(committed, probe, execution)
        task = await read_task(committed, task_id)
        assert (task.status, task.attempts, task.error) == ("queued", 1, None)
        assert frames[-1]["message"] == task.message == "The model is away. Trying again soon."
        assert await lease_one(execution, probe.task_type) is None, "its time has not come"
        await asyncio.sleep(0.25)
        await run_once(committed, probe, execution)
    task = await read_task(committed, task_id)
    assert (task.status, task.attempts) == ("failed", 2)
    assert task.error == {"code": "SERVICE_UNAVAILABLE", "message": "The model is away.", "details": {}}
    assert kinds(frames) == ["task_started", "task_started", "error"]


async def test_what_the_caller_did_wrong_is_not_tried_again_and_a_bug_tells_nothing_internal(committed):
    async def refuse(_: RunningTask) -> Mapping[str, Any]:
        raise InvalidInput("There is no such style.", field="style")

    async def stumble(_: RunningTask) -> Mapping[str, Any]:
        raise RuntimeError("secret path /etc")

    place = await make_place(committed)
    execution = execution_with(committed, max_attempts=1)
    errors = []
    for probe in (Probe(refuse), Probe(stumble)):
        task_id = await queue(committed, place, probe.task_type)
        await run_once(committed, probe, execution)
        task = await read_task(committed, task_id)
        assert (task.status, task.attempts) == ("failed", 1)
        errors.append((task.error["code"], task.error["message"]))
    assert errors == [
        ("VALIDATION_ERROR", "There is no such style."),
        ("INTERNAL_ERROR", "Something went wrong on our side."),
    ]


async def test_a_task_that_kills_its_workers_fails_in_the_end(committed):
    place, probe = await make_place(committed), Probe()
    task_id = await queue(committed, place, probe.task_type)
    execution = execution_with(committed, max_attempts=2, lease=timedelta(milliseconds=10))
    for _ in range(2):
        assert await lease_one(execution, probe.task_type) is not None
        await asyncio.sleep(0.05)
    assert await lease_one(execution, probe.task_type) is None
    task = await read_task(committed, task_id)
    assert (task.status, task.error["code"]) == ("failed", "SERVICE_UNAVAILABLE")
    assert "2 times" in task.error["message"]


async def test_a_handler_that_takes_too_long_is_stopped(committed):
    place, probe = await make_place(committed), Probe(forever, timeout=timedelta(milliseconds=100))
    task_id = await queue(committed, place, probe.task_type)
    await run_once(committed, probe, execution_with(committed, max_attempts=1))
    task = await read_task(committed, task_id)
    assert (task.status, task.error["message"]) == ("failed", "It took too long.")


async def test_a_cancelled_task_ends_at_once_when_it_waits_and_within_a_second_when_it_runs(committed):
    stopped = []

    async def work(task: RunningTask) -> Mapping[str, Any]:
        try:
            return await forever(task)
        except asyncio.CancelledError:
            stopped.append(task.id)
            raise

    place, probe = await make_place(committed), Probe(work, concurrency=1)
    running = await queue(committed, place, probe.task_type)
    waiting = await queue(committed, place, probe.task_type)
    async with heard(committed, place) as frames, working(committed, probe):
        await until(lambda: has_status(committed, running, TaskStatus.RUNNING))
        assert (await committed.services.tasks.cancel(place.actor, waiting)).status == "cancelled"
        asked = time.perf_counter()
        assert (await committed.services.tasks.cancel(place.actor, running)).status == "running"
        await until(lambda: has_status(committed, running, TaskStatus.CANCELLED))
        assert time.perf_counter() - asked < 1
        await committed.services.tasks.cancel(place.actor, running)
    assert stopped == [running]
    ended = [(frame["task_id"], frame["error_code"]) for frame in frames if frame["type"] == "error"]
    assert ended == [(str(waiting), "TASK_CANCELLED"), (str(running), "TASK_CANCELLED")]


async def test_cancelling_by_serial_key_stops_what_runs_and_drops_what_waits(committed):
    place, probe = await make_place(committed), Probe(forever)
    queued = [await queue(committed, place, probe.task_type, serial_key=probe.task_type) for _ in range(2)]
    async with working(committed, probe):
        await until(lambda: has_status(committed, queued[0], TaskStatus.RUNNING))
        await committed.services.tasks.cancel_serial(probe.task_type)
        for task_id in queued:
            await until(lambda task_id=task_id: has_status(committed, task_id, TaskStatus.CANCELLED), seconds=1)


async def test_a_worker_that_stops_hands_its_tasks_back_at_once_and_uncounted(committed):
    place, probe = await make_place(committed), Probe(forever)
    task_id = await queue(committed, place, probe.task_type)
    async with working(committed, probe):
        await until(lambda: has_status(committed, task_id, TaskStatus.RUNNING))
    task = await read_task(committed, task_id)
    assert (task.status, task.attempts, task.leased_until) == ("queued", 0, None)
    running = await lease_one(committed.services.execution, probe.task_type)
    assert (running.id, running.attempt) == (task_id, 1)


async def test_a_long_task_keeps_its_lease_and_a_worker_keeps_its_caps(committed):
    most, now = 0, 0

    async def work(task: RunningTask) -> Mapping[str, Any]:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(1)
        now -= 1
        return {"attempt": task.attempt}

    impatient = replace_task_settings(committed, lease=timedelta(milliseconds=700), poll_interval=timedelta(seconds=5))
    place, probe = await make_place(committed), Probe(work, concurrency=2)
    async with working(impatient, probe), working(impatient, Probe(task_type=probe.task_type, work=work)):
        await asyncio.sleep(0.1)
        queued = [await queue(impatient, place, probe.task_type) for _ in range(8)]
        for task_id in queued:
            await until(lambda task_id=task_id: has_status(committed, task_id, TaskStatus.SUCCEEDED))
    results = [(await read_task(committed, task_id)).result for task_id in queued]
    assert results == [{"attempt": 1}] * 8
    assert most == 6


async def test_progress_is_told_at_most_five_times_a_second_and_the_last_word_counts(committed):
    async def work(task: RunningTask) -> Mapping[str, Any]:
        for step in range(200):
            await task.progress(step / 200, f"step {step}")
            await asyncio.sleep(0.005)
        await task.progress(2, "nearly done", preview_url="/preview.png")
        await asyncio.sleep(0.5)
        return {"steps": 200}

    place, probe = await make_place(committed), Probe(work)
    task_id = await queue(committed, place, probe.task_type)
    async with heard(committed, place) as frames:
        await run_once(committed, probe)
    told = [frame for frame in frames if frame["type"] == "progress"]
    assert 3 <= len(told) <= 9
    assert (told[-1]["progress"], told[-1]["message"], told[-1]["preview_url"]) == (1, "nearly done", "/preview.png")
    durable = [frame for frame in frames if frame["type"] != "progress"]
    assert [(frame["type"], frame["seq"]) for frame in durable] == [("task_started", 1), ("complete", 2)]
    assert durable[-1]["result"] == {"steps": 200}
    assert durable[-1]["duration"] > 1
    assert (await read_task(committed, task_id)).progress == 1


async def test_internal_tasks_tell_the_project_nothing_and_are_forgotten(committed):
    place, probe = await make_place(committed), Probe()
    async with heard(committed, place) as frames:
        task_id = await queue(committed, place, probe.task_type, is_internal=True)
        await run_once(committed, probe)
    assert frames == []
    assert await committed.services.tasks.active_in(place.project_id) == []
    assert (await read_task(committed, task_id)).status == "succeeded"
    async with committed.uow() as uow:
        await uow.tasks.forget_older_than(timedelta(days=1), timedelta(0))
        assert await uow.tasks.get(task_id) is None


async def test_a_worker_forgets_old_events_and_keeps_the_others(alone):
    place, probe = await make_place(alone), Probe()
    await queue(alone, place, probe.task_type)
    await run_once(alone, probe)
    async with alone.uow() as uow:
        assert len(await uow.events.list_after(place.project_id, 0, limit=10)) == 2
    async with alone.foundation.engine.begin() as connection:
        week = alone.settings.realtime.retention
        long_ago = update(EventRow).where(EventRow.seq == 1).values(created_at=EventRow.created_at - week)
        await connection.execute(long_ago)
    async with working(alone, probe):
        await until(lambda: starts_at(alone, place, 2))
    async with alone.uow() as uow:
        assert [frame.seq for frame in await uow.events.list_after(place.project_id, 0, limit=10)] == [2]


async def test_a_project_deleted_under_a_running_task_ends_it_quietly(committed):
    stopped = asyncio.Event()

    async def work(task: RunningTask) -> Mapping[str, Any]:
        try:
            return await forever(task)
        finally:
            stopped.set()

    place, probe = await make_place(committed), Probe(work)
    task_id = await queue(committed, place, probe.task_type)
    async with working(committed, probe):
        await until(lambda: has_status(committed, task_id, TaskStatus.RUNNING))
        await committed.services.projects.delete(place.actor, place.project_id, expected=None)
        async with asyncio.timeout(3):
            await stopped.wait()


async def starts_at(resources: Resources, place: Place, seq: int) -> bool:
    async with resources.uow() as uow:
        return await uow.events.first_seq(place.project_id) == seq


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames if frame["type"] != "progress"]


async def has_status(resources: Resources, task_id: UUID, status: TaskStatus) -> bool:
    return (await read_task(resources, task_id)).status == status


def replace_task_settings(resources: Resources, **values: Any) -> Resources:
    settings = resources.settings.model_copy(update={"task": TaskSettings(**values)})
    foundation = replace(resources.foundation, settings=settings)
    services = replace(resources.services, execution=TaskExecution(resources.uow, settings.task, {}))
    return replace(resources, foundation=foundation, services=services)
