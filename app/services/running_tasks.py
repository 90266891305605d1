"""A task in a worker's hands: what handlers may ask of it, and what they may say."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import structlog

from app.events import TaskProgress
from app.models import Task
from app.models.tasks import TRACEPARENT
from app.presets import Preset, Quality
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.task_queue import Ending, Report
from app.services.task_endings import announce_successes

log = structlog.get_logger(__name__)

REPORT_INTERVAL: Final = 0.2  # seconds between two reports of progress, at least
LARGEST_STEP: Final = 262_144  # bytes of JSON; larger things belong into the store of files


class TaskLost(Exception):
    """The task is gone, or another worker's: stop, and write nothing more."""


class RunningTask:
    """A task in this worker's hands. `fence` rises with every worker that takes it: the others write nothing more.

    `attempt` counts how often it was tried, from 1.
    """

    def __init__(self, task: Task, uow: OpenUnitOfWork, preset: Preset) -> None:
        self.id = task.id
        self.project_id = task.project_id
        self.owner_id = task.owner_id
        self.task_type = task.task_type
        self.quality = cast("Quality", task.quality)
        self.preset = preset
        self.params: Mapping[str, Any] = task.params
        self.attempt = task.attempts
        self.fence = task.fence
        self.is_internal = task.is_internal
        self.is_finished = False
        self._steps: dict[str, Any] = dict(task.steps)
        self.traceparent = str(self._steps.pop(TRACEPARENT, ""))
        self._uow = uow
        self._report = Report(task.progress, task.message, task.preview_url)
        self._reported = asyncio.Event()
        self._writing = asyncio.Lock()

    async def progress(self, fraction: float, message: str, *, preview_url: str | None = None) -> None:
        """Tell how far it is (0 to 1) and what goes on; never waits, and the latest word wins."""
        self._report = Report(min(max(fraction, 0.0), 1.0), message, preview_url)
        self._reported.set()

    async def step(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """What `work` comes to, a JSON value; an attempt after this one is given that, and does not do the work again.

        Raises:
            TaskLost: it is not ours any more.
            ValueError: the result is larger than `LARGEST_STEP`, or no JSON.
        """
        if name not in self._steps:
            result = await work()
            async with self._uow() as uow:
                await self.finish_step(uow, name, result)
        return self._steps[name]

    async def finish_step(self, uow: UnitOfWork, name: str, result: Any = None) -> None:
        """Remember a step in the transaction that stores what it has done, so that it is done once; first thing in it.

        Raises:
            TaskLost: it is not ours any more; the transaction must not commit.
            ValueError: the result is larger than `LARGEST_STEP`, or no JSON.
        """
        text = json.dumps(result, allow_nan=False)
        if len(text) > LARGEST_STEP:
            raise ValueError(f"The step {name} came to {len(text)} bytes; {LARGEST_STEP} are kept at most.")
        if not await uow.queue.finish_step(self.id, self.fence, name, json.loads(text)):
            raise TaskLost
        self._steps[name] = json.loads(text)

    def has_finished(self, step: str) -> bool:
        """Whether this attempt or one before it has finished the step."""
        return step in self._steps

    def result_of(self, step: str) -> Any:
        """What a finished step came to; None where it is not finished."""
        return self._steps.get(step)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """A unit of work that commits only what is done while the task is ours. Raises TaskLost."""
        async with self._uow() as uow:
            await self.hold(uow)
            yield uow

    async def hold(self, uow: UnitOfWork) -> None:
        """Make sure that the task is ours until `uow` ends; first thing in a transaction that writes results.

        Raises:
            TaskLost: it is not.
        """
        if not await uow.queue.hold(self.id, self.fence):
            raise TaskLost

    async def finish(self, uow: UnitOfWork, result: Mapping[str, Any]) -> None:
        """End the task in the transaction that stores its results, so that they are stored once; last thing in it.

        Raises:
            TaskLost: it is not ours any more; the transaction must not commit.
        """
        ended = await uow.queue.succeed([self.ending(result)])
        if not ended:
            raise TaskLost
        self.is_finished = True
        await announce_successes(uow, ended)

    def ending(self, result: Mapping[str, Any]) -> Ending:
        return Ending(self.id, self.fence, json.dumps(dict(result), allow_nan=False))

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Write the latest progress down for the length of the block, at most five times a second."""
        reporter = asyncio.create_task(self._report_forever())
        try:
            yield
        finally:
            async with self._writing:  # a statement that is cancelled costs its connection
                reporter.cancel()

    async def _report_forever(self) -> None:
        while not self.is_internal:
            await self._reported.wait()
            self._reported.clear()
            async with self._writing:
                try:
                    await self._write_report()
                except Exception as error:
                    log.warning("task.progress_not_written", task_id=str(self.id), error=repr(error))
            await asyncio.sleep(REPORT_INTERVAL)

    async def _write_report(self) -> None:
        report = self._report
        async with self._uow() as uow:
            if await uow.queue.set_progress(self.id, self.fence, report):
                event = TaskProgress(
                    project_id=self.project_id,
                    task_id=self.id,
                    task_type=self.task_type,
                    progress=report.progress,
                    message=report.message,
                    preview_url=report.preview_url,
                )
                uow.events.announce(self.project_id, event)
                await uow.webhooks.note_progress(event)
