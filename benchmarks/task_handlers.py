"""Six kinds of work with effects that can be counted; workers find them as they find those of any other package."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import text

from app.repositories import UnitOfWork
from app.services import Services
from app.services.running_tasks import RunningTask
from app.services.task_types import RetryPolicy, TaskType

EFFECTS = "CREATE TABLE effects (task_id uuid NOT NULL, step text NOT NULL)"
FOR_EVER = RetryPolicy(attempts=1000, delay=timedelta(milliseconds=100))
STEPS = 4


class Params(BaseModel):
    """`folder`: where the world outside is; `seconds`: how long it takes, where that can be chosen."""

    folder: str = ""
    seconds: float = 0.05


def kind(name: str, concurrency: int = 8, most_at_once: int | None = None) -> TaskType:
    return TaskType(
        name, name, Params, may_be_started=True, concurrency=concurrency, most_at_once=most_at_once, retries=FOR_EVER
    )


class Handler:
    def __init__(self, services: Services) -> None:
        self._services = services


class Nothing(Handler):
    kind: ClassVar[TaskType] = kind("bench_nothing", concurrency=64)

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:  # noqa: ARG002 - a handler's form
        return {}


class AtTheEnd(Handler):
    """Its effect is stored with its end."""

    kind: ClassVar[TaskType] = kind("bench_at_the_end")

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:
        await asyncio.sleep(params.seconds)
        async with task.transaction() as uow:
            await note(uow, task, "end")
            await task.finish(uow, {"done": True})
        return {}


class InSteps(Handler):
    """Each step's effect is stored with the step."""

    kind: ClassVar[TaskType] = kind("bench_in_steps")

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:  # noqa: ARG002 - a handler's form
        for number in range(STEPS):
            if not task.has_finished(f"step {number}"):
                await asyncio.sleep(0.2)
                async with task.transaction() as uow:
                    await task.finish_step(uow, f"step {number}")
                    await note(uow, task, f"step {number}")
            await task.progress((number + 1) / STEPS, f"step {number}")
        return {"steps": STEPS}


class Outside(Handler):
    """Its effect is outside, where the same key twice is one effect."""

    kind: ClassVar[TaskType] = kind("bench_outside")

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:
        await task.step("wait", lambda: asyncio.sleep(0.1))
        await asyncio.to_thread(Path(params.folder, str(task.id)).touch)
        return {}


class Busy(Handler):
    """Computes, and lets nobody else at its thread."""

    kind: ClassVar[TaskType] = kind("bench_busy", concurrency=2)

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:  # noqa: ARG002 - a handler's form
        digest = await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", task.id.bytes, b"salt", 100_000)
        async with task.transaction() as uow:
            await note(uow, task, "end")
            await task.finish(uow, {"digest": digest.hex()})
        return {}


class FewAtOnce(Handler):
    """Of which three run at once, wherever."""

    kind: ClassVar[TaskType] = kind("bench_few_at_once", most_at_once=3)

    async def process(self, task: RunningTask, params: Params) -> Mapping[str, Any]:  # noqa: ARG002 - a handler's form
        await asyncio.sleep(0.05)
        async with task.transaction() as uow:
            await note(uow, task, "end")
            await task.finish(uow, {})
        return {}


HANDLERS = (Nothing, AtTheEnd, InSteps, Outside, Busy, FewAtOnce)


async def note(uow: UnitOfWork, task: RunningTask, step: str) -> None:
    """An effect that can be counted."""
    statement = text("INSERT INTO effects VALUES (:task_id, :step)")
    await uow._session.execute(statement, {"task_id": task.id, "step": step})


@contextmanager
def installed() -> Iterator[dict[str, str]]:
    """The environment of processes that have these handlers, as if a package had brought them along."""
    with TemporaryDirectory() as folder:
        info = Path(folder, "hearth_benchmark-0.1.dist-info")
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hearth-benchmark\nVersion: 0.1\n")
        lines = [f"{one.kind.name} = {__name__}:{one.__name__}" for one in HANDLERS]
        (info / "entry_points.txt").write_text("\n".join(["[hearth.tasks]", *lines]) + "\n")
        yield {"PYTHONPATH": folder}
