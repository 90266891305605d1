"""Handlers for tests of the queue, each of a type of its own, so that no other worker takes their tasks."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel
from uuid_utils.compat import uuid7

from app.models import Project, Task, User
from app.permissions import Principal
from app.resources import Resources
from app.services.execution import TaskExecution
from app.services.projects import add_project
from app.services.running_tasks import RunningTask
from app.services.task_types import TaskType, queue_task
from app.tasks.dispatcher import Dispatcher
from app.tasks.worker import Worker

Work = Callable[[RunningTask], Awaitable[Mapping[str, Any]]]


class NoParams(BaseModel):
    pass


async def nothing(_: RunningTask) -> Mapping[str, Any]:
    return {}


@dataclass
class Probe:
    """Does whatever a test wants."""

    work: Work = nothing
    concurrency: int = 4
    timeout: timedelta = timedelta(seconds=20)
    task_type: str = field(default_factory=lambda: f"probe_{uuid4().hex}")
    params: type[BaseModel] = NoParams
    most_at_once: int | None = None

    @property
    def kind(self) -> TaskType:
        return TaskType(
            self.task_type,
            "Whatever a test wants.",
            self.params,
            may_be_started=True,
            timeout=self.timeout,
            concurrency=self.concurrency,
            most_at_once=self.most_at_once,
        )

    async def process(self, task: RunningTask, params: NoParams) -> Mapping[str, Any]:
        return await self.work(task)


@dataclass(frozen=True)
class Place:
    """A project with an owner, made without the public door."""

    actor: Principal
    project_id: UUID


async def make_place(resources: Resources) -> Place:
    user = User(id=uuid7(), name="Ada", email=f"{uuid4().hex}@example.org")
    project = Project(id=uuid7(), owner_id=user.id, name="Probes")
    async with resources.uow() as uow:
        uow.users.add(user)
        await uow.flush()
        await add_project(uow, project)
    return Place(Principal(user.id, user.name), project.id)


async def queue(resources: Resources, place: Place, task_type: str, **values: Any) -> UUID:
    task = Task(
        id=uuid7(), project_id=place.project_id, owner_id=place.actor.user_id, task_type=task_type, params={}, **values
    )
    async with resources.uow() as uow:
        queue_task(uow, task)
    return task.id


async def read_task(resources: Resources, task_id: UUID) -> Task:
    async with resources.uow() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    return task


async def lease_one(execution: TaskExecution, task_type: str) -> RunningTask | None:
    """The next task of a type, if there is one that could start now."""
    taken = await execution.lease({task_type: 1}, most=1)
    return taken[0] if taken else None


async def run_once(resources: Resources, probe: Probe, execution: TaskExecution | None = None) -> None:
    """Work on what is free now, until it has ended."""
    dispatcher = Dispatcher([probe], execution or resources.services.execution, concurrency=8)
    while await dispatcher.start_next():
        while not dispatcher.is_idle:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def working(resources: Resources, probe: Probe) -> AsyncIterator[asyncio.Event]:
    """A worker for the length of the block, or until the event that is given is set."""
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(resources, [probe]).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(15):
            await running


@asynccontextmanager
async def heard(resources: Resources, place: Place) -> AsyncIterator[list[dict[str, Any]]]:
    """The frames that the project's channel carries meanwhile."""
    frames: list[dict[str, Any]] = []

    async def listen() -> None:
        async with resources.hub.attach(place.project_id) as listener:
            await resources.hub.follow(listener)
            ready.set()
            while True:
                frames.append(json.loads(await listener.outbox.take()))

    ready = asyncio.Event()
    listening = asyncio.create_task(listen())
    await ready.wait()
    try:
        yield frames
        await asyncio.sleep(0.05)
    finally:
        listening.cancel()


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)
