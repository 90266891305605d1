"""What starts when: times, schedules, other tasks, caps, fair turns; and what is tried again."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from app.errors import Conflict, InvalidInput, ServiceUnavailable
from app.events import utc_now
from app.models import Member, Task, TaskSchedule
from app.presets import PresetChanges
from app.resources import Resources
from app.schemas.schedules import ScheduleCreate, ScheduleUpdate
from app.schemas.tasks import TaskCreate
from app.services.execution import TaskExecution
from app.services.running_tasks import RunningTask, TaskLost
from app.services.schedules import next_time
from app.settings import PresetSettings, TaskSettings
from app.tasks.dispatcher import Dispatcher
from app.tasks.shares import Shares
from app.tasks.worker import UnknownTaskType, Worker, chosen
from tests.factories import execute
from tests.tasks.probes import Place, Probe, heard, lease_one, make_place, queue, read_task, run_once, until


def offered(resources: Resources, probe: Probe) -> Probe:
    """Let users start tasks of the probe's type, as if a package had brought it along."""
    resources.services.tasks.orders._task_types[probe.task_type] = probe.kind
    return probe


async def start(resources: Resources, place: Place, probe: Probe, **fields: Any) -> UUID:
    order = TaskCreate(task_type=probe.task_type, **fields)
    return (await resources.services.tasks.start(place.actor, place.project_id, order)).id


async def fail(_: RunningTask) -> Mapping[str, Any]:
    raise InvalidInput("There is no such style.", field="style")


async def status_of(resources: Resources, *task_ids: UUID) -> list[str]:
    return [(await read_task(resources, task_id)).status for task_id in task_ids]


async def test_what_is_started_at_once_by_many_is_queued_once_each_and_refused_one_by_one(committed):
    probe = offered(committed, Probe())
    ada, eve = await make_place(committed), await make_place(committed)
    order = TaskCreate(task_type=probe.task_type, quality="draft")
    asked = [(ada, ada), (ada, eve), (eve, eve), (eve, ada), *[(ada, ada)] * 20]
    outcomes = await asyncio.gather(
        *(committed.services.tasks.start(who.actor, where.project_id, order) for who, where in asked),
        return_exceptions=True,
    )
    for (who, where), outcome in zip(asked, outcomes, strict=True):
        if who is where:
            assert (outcome.project_id, outcome.owner_id, outcome.quality) == (
                where.project_id,
                who.actor.user_id,
                "draft",
            )
        else:
            assert outcome.code == "RESOURCE_NOT_FOUND"
    assert len({outcome.id for outcome in outcomes if isinstance(outcome, Task)}) == 22


async def test_a_task_begins_when_its_time_has_come(committed):
    place, probe = await make_place(committed), offered(committed, Probe())
    later = await start(committed, place, probe, run_at=utc_now() + timedelta(hours=1))
    now = await start(committed, place, probe)
    await committed.services.tasks.release_due()
    await run_once(committed, probe)
    assert await status_of(committed, now, later) == ["succeeded", "queued"]
    assert await lease_one(committed.services.execution, probe.task_type) is None, "it is not in line yet"
    await execute(committed, update(Task).where(Task.id == later).values(run_after=utc_now()))
    await committed.services.tasks.release_due()
    await run_once(committed, probe)
    assert await status_of(committed, later) == ["succeeded"]
    with pytest.raises(InvalidInput, match="366 days"):
        await start(committed, place, probe, run_at=utc_now() + timedelta(days=400))


async def test_a_task_begins_after_those_that_it_names(committed):
    place, probe = await make_place(committed), offered(committed, Probe())
    first, second = [await start(committed, place, probe) for _ in range(2)]
    both = await start(committed, place, probe, after=[first, second])
    last = await start(committed, place, probe, after=[both])
    order = []
    for expected_waits in (2, 1):
        assert (await read_task(committed, both)).waits_for == expected_waits
        running = await lease_one(committed.services.execution, probe.task_type)
        order.append(running.id)
        await committed.services.execution.succeed(running, {})
    assert order == [first, second]
    await run_once(committed, probe)
    assert await status_of(committed, both, last) == ["succeeded"] * 2
    after_the_end = await start(committed, place, probe, after=[last])
    assert (await read_task(committed, after_the_end)).waits_for == 0
    elsewhere = await make_place(committed)
    with pytest.raises(InvalidInput, match="no task"):
        await start(committed, elsewhere, probe, after=[last])


async def test_what_comes_after_a_failure_ends_too_and_says_why_and_can_be_tried_again(committed):
    place, probe = await make_place(committed), offered(committed, Probe(fail))
    first = await start(committed, place, probe)
    second = await start(committed, place, probe, after=[first])
    third = await start(committed, place, probe, after=[second])
    async with heard(committed, place) as frames:
        await run_once(committed, probe)
    assert await status_of(committed, first, second, third) == ["failed"] * 3
    error = (await read_task(committed, second)).error
    assert (error["code"], error["details"]["task_id"]) == ("PREDECESSOR_ENDED", str(first))
    assert "There is no such style." in error["message"]
    ended = [(frame["task_id"], frame["error_code"]) for frame in frames if frame["type"] == "error"]
    assert ended == [
        (str(first), "VALIDATION_ERROR"),
        (str(second), "PREDECESSOR_ENDED"),
        (str(third), "PREDECESSOR_ENDED"),
    ]

    tasks = committed.services.tasks
    with pytest.raises(Conflict, match="ended without success"):
        await start(committed, place, probe, after=[first])
    with pytest.raises(Conflict, match="comes after"):
        await tasks.retry(place.actor, second)
    again = [await tasks.retry(place.actor, task_id) for task_id in (first, second)]
    assert [(task.status, task.attempts, task.error, task.waits_for) for task in again] == [
        ("queued", 0, None, 0),
        ("queued", 0, None, 1),
    ]
    with pytest.raises(Conflict, match="Only what has failed"):
        await tasks.retry(place.actor, first)
    await tasks.cancel(place.actor, first)
    assert await status_of(committed, first, second) == ["cancelled"] * 2


async def test_a_worker_that_was_thought_dead_writes_nothing_into_a_task_that_was_tried_again_by_hand(committed):
    place, probe = await make_place(committed), offered(committed, Probe())
    task_id = await start(committed, place, probe)
    brief = TaskExecution(committed.uow, TaskSettings(max_attempts=1, lease=timedelta(milliseconds=20)), {})
    dead = await lease_one(brief, probe.task_type)
    await asyncio.sleep(0.05)
    assert await lease_one(brief, probe.task_type) is None
    task = await read_task(committed, task_id)
    assert (task.status, [failure["code"] for failure in task.failures]) == ("failed", ["WORKER_LOST"])
    await committed.services.tasks.retry(place.actor, task_id)
    alive = await lease_one(committed.services.execution, probe.task_type)
    assert alive.attempt == dead.attempt == 1
    with pytest.raises(TaskLost):
        await brief.succeed(dead, {"by": "the dead"})
    await committed.services.execution.succeed(alive, {"by": "the living"})
    assert (await read_task(committed, task_id)).result == {"by": "the living"}


async def test_a_step_that_was_finished_is_not_done_again_and_earlier_failures_are_told(committed):
    done: list[str] = []

    async def read() -> str:
        done.append("read")
        return "the text"

    async def work(task: RunningTask) -> Mapping[str, Any]:
        said = await task.step("read", read)
        if not task.has_finished("note"):
            async with task.transaction() as uow:
                await task.finish_step(uow, "note")
                done.append("note")
        if task.attempt == 1:
            raise ServiceUnavailable("The model is away.")
        return {"said": said}

    place, probe = await make_place(committed), Probe(work)
    task_id = await queue(committed, place, probe.task_type)
    execution = TaskExecution(committed.uow, TaskSettings(retry_delay=timedelta(0)), {})
    await run_once(committed, probe, execution)
    task = await read_task(committed, task_id)
    assert (task.status, task.attempts, task.result) == ("succeeded", 2, {"said": "the text"})
    assert done == ["read", "note"]
    assert [(failure["attempt"], failure["code"]) for failure in task.failures] == [(1, "SERVICE_UNAVAILABLE")]
    assert task.steps == {}, "what nobody asks for any more is not kept"


async def test_a_cap_holds_over_all_workers_and_hides_no_other_work(committed):
    place, few, other = await make_place(committed), Probe(most_at_once=2), Probe()
    for _ in range(40):
        await queue(committed, place, few.task_type)
    late = await queue(committed, place, other.task_type)
    execution = TaskExecution(committed.uow, TaskSettings(), {few.task_type: few.kind})
    rooms = {few.task_type: 5, other.task_type: 5}
    taken = [one for each in await asyncio.gather(*(execution.lease(rooms, most=8) for _ in range(6))) for one in each]
    taken += await execution.lease(rooms, most=8)
    kinds = [running.task_type for running in taken]
    assert (kinds.count(few.task_type), [one.id for one in taken if one.task_type == other.task_type]) == (2, [late])
    first = next(running for running in taken if running.task_type == few.task_type)
    await execution.succeed(first, {})
    assert [running.task_type for running in await execution.lease(rooms, most=8)] == [few.task_type]


async def test_ten_tasks_do_not_wait_for_the_thousands_of_another_project(committed):
    async def work(_: RunningTask) -> Mapping[str, Any]:
        await asyncio.sleep(0.02)
        return {}

    probe = Probe(work, concurrency=8)
    crowd, few = await make_place(committed), await make_place(committed)
    many = [task_row(crowd, probe) for _ in range(2000)]
    async with committed.uow() as uow:
        uow._session.add_all(many)
    dispatcher = Dispatcher([probe], committed.services.execution, concurrency=8)
    begun: list[UUID] = []
    queued: list[UUID] = []
    for turn in range(12):
        if turn == 2:
            queued = [await queue(committed, few, probe.task_type) for _ in range(10)]
        await dispatcher.start_next()
        while not dispatcher.is_idle:
            await asyncio.sleep(0.005)
        begun.append(len([one for one in await status_of(committed, *queued) if one == "succeeded"]))
    assert begun[3] == 10, f"eight and two alone would have been done after two turns: {begun}"
    await execute(committed, update(Task).where(Task.task_type == probe.task_type).values(status="cancelled"))


def task_row(place: Place, probe: Probe) -> Task:
    return Task(project_id=place.project_id, owner_id=place.actor.user_id, task_type=probe.task_type, params={})


def test_a_share_fades_and_only_the_largest_are_remembered():
    clock = [0.0]
    shares, project = Shares(lambda: clock[0]), UUID(int=1)
    shares.add(project)
    clock[0] = 5.0
    assert dict(shares.current()) == {project: 0.5}
    clock[0] = 60.0
    assert dict(shares.current()) == {}


async def test_a_schedule_fires_each_time_once_however_many_workers_look(alone):
    place, probe = await make_place(alone), offered(alone, Probe())
    schedules = alone.services.schedules
    data = ScheduleCreate(task_type=probe.task_type, name="Every minute", cron="* * * * *", timezone="Europe/Vienna")
    schedule = await schedules.create(place.actor, place.project_id, data)

    async def fire() -> list[Task]:
        due = update(TaskSchedule).where(TaskSchedule.id == schedule.id)
        await execute(alone, due.values(next_run_at=func.clock_timestamp() - timedelta(minutes=3)))
        await asyncio.gather(*(schedules.fire_due() for _ in range(8)))
        tasks = select(Task).where(Task.schedule_id == schedule.id).order_by(Task.id)
        async with alone.uow() as uow:
            return list((await uow._session.scalars(tasks)).all())

    assert len(await fire()) == 1, "three were missed, and made up for once"
    assert len(await fire()) == 1, "the first one is still waiting"
    await run_once(alone, probe)
    assert [task.status for task in await fire()] == ["succeeded", "queued"]
    now = await schedules.get(place.actor, schedule.id)
    assert now.next_run_at > utc_now() > now.last_run_at

    paused = await schedules.update(place.actor, schedule.id, ScheduleUpdate(is_paused=True), expected=None)
    assert (paused.is_paused, paused.next_run_at, paused.pause_reason) == (True, None, "")
    await schedules.fire_due()
    await schedules.update(place.actor, schedule.id, ScheduleUpdate(is_paused=False), expected=None)
    await execute(alone, update(Member).where(Member.user_id == place.actor.user_id).values(role="viewer"))
    assert len(await fire()) == 2
    stopped = await schedules.get(place.actor, schedule.id)
    assert stopped.is_paused
    assert "may not start tasks" in stopped.pause_reason


def test_the_next_time_of_a_schedule_is_that_of_its_place():
    winter, summer = utc_now().replace(month=1, day=10, hour=0), utc_now().replace(month=7, day=10, hour=0)
    at_seven = [next_time("0 7 * * *", "Europe/Vienna", day).astimezone(winter.tzinfo).hour for day in (winter, summer)]
    assert at_seven == [6, 5]
    for cron, problem in (("0 0 31 2 *", "Bad day"), ("* * * * * *", "five fields"), ("61 * * * *", "Bad minute")):
        with pytest.raises(ValueError, match=problem):
            ScheduleCreate(task_type="x", name="x", cron=cron)


async def test_the_quality_of_a_task_means_what_settings_types_and_the_request_say(committed):
    probe = Probe()
    kind = probe.kind.__class__(
        **{name: getattr(probe.kind, name) for name in ("name", "description", "params", "may_be_started")},
        uses=("steps", "resolution", "temperature"),
        presets={"draft": PresetChanges(resolution=256)},
    )
    tasks, place = committed.services.tasks, await make_place(committed)
    tasks.orders._task_types[probe.task_type] = kind
    tasks.orders._presets = PresetSettings(draft=PresetChanges(steps=6, resolution=300))
    chosen_values = PresetChanges(temperature=0.9)
    task_id = await start(committed, place, probe, quality="draft", preset=chosen_values)
    assert (await read_task(committed, task_id)).preset == {"steps": 6, "resolution": 256, "temperature": 0.9}
    running = await lease_one(committed.services.execution, probe.task_type)
    assert (running.preset.steps, running.preset.resolution, running.preset.temperature) == (6, 256, 0.9)
    with pytest.raises(InvalidInput, match="uses steps, resolution, temperature"):
        await start(committed, place, probe, preset=PresetChanges(max_tokens=100))


async def test_a_worker_takes_only_the_types_that_it_is_limited_to(committed):
    mine, other = Probe(), Probe()
    assert chosen([mine, other], [mine.task_type, "upkeep"]) == [mine]
    assert chosen([mine, other], []) == [mine, other]
    with pytest.raises(UnknownTaskType, match=f"no task type paint; there are: .*{mine.task_type}.*upkeep"):
        chosen([mine, other], ["paint"])
    place = await make_place(committed)
    ours, theirs = [await queue(committed, place, probe.task_type) for probe in (mine, other)]
    stop = asyncio.Event()
    working = asyncio.create_task(Worker(committed, [mine], does_upkeep=False).run(stop))
    await until(lambda: is_done(committed, ours))
    stop.set()
    await working
    assert await status_of(committed, theirs) == ["queued"]


async def is_done(resources: Resources, task_id: UUID) -> bool:
    return await status_of(resources, task_id) == ["succeeded"]
