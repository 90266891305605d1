"""How a worker takes tasks, keeps them and brings them to their end; the other side of the queue than `tasks.py`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError

from app.errors import AppError, ServiceUnavailable
from app.events import TaskCompleted, TaskProgress, TaskStarted
from app.models import Task, TaskStatus
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.tasks import Report
from app.services.idempotency import KEPT_FOR
from app.services.task_types import TaskTypes, TaskWasCancelled, announce_failure, announce_state
from app.settings import TaskSettings

log = structlog.get_logger(__name__)

REPORT_INTERVAL = 0.2  # seconds between two reports of progress, at least
LEASE_TRIES = 10
LONGEST_RETRY_DELAY = timedelta(minutes=5)
INTERNAL_RETENTION = timedelta(days=1)


class TaskLost(Exception):
    """The task is gone, or another worker's: stop, and write nothing more."""


class RunningTask:
    """A task in this worker's hands. `attempt` fences: once another worker took over, nothing is written here."""

    def __init__(self, task: Task, uow: OpenUnitOfWork) -> None:
        self.id = task.id
        self.project_id = task.project_id
        self.owner_id = task.owner_id
        self.task_type = task.task_type
        self.quality = task.quality
        self.params: Mapping[str, Any] = task.params
        self.attempt = task.attempts
        self.is_internal = task.is_internal
        self.is_finished = False
        self._uow = uow
        self._report = Report(task.progress, task.message, task.preview_url)
        self._reported = asyncio.Event()
        self._writing = asyncio.Lock()

    async def progress(self, fraction: float, message: str, *, preview_url: str | None = None) -> None:
        """Tell how far it is (0 to 1) and what goes on; never waits, and the latest word wins."""
        self._report = Report(min(max(fraction, 0.0), 1.0), message, preview_url)
        self._reported.set()

    async def hold(self, uow: UnitOfWork) -> None:
        """Make sure that the task is ours until `uow` ends; first thing in a transaction that writes results.

        Raises:
            TaskLost: it is not.
        """
        if not await uow.tasks.hold(self.id, self.attempt):
            raise TaskLost

    async def finish(self, uow: UnitOfWork, result: Mapping[str, Any]) -> None:
        """End the task in the transaction that stores its results, so that they are stored once; last thing in it.

        Raises:
            TaskLost: it is not ours any more; the transaction must not commit.
        """
        task = await uow.tasks.succeed(self.id, self.attempt, result)
        if task is None:
            raise TaskLost
        self.is_finished = True
        if not task.is_internal:
            await uow.events.append(task.project_id, _completed(task))

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
            if await uow.tasks.set_progress(self.id, self.attempt, report):
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


class TaskExecution:
    def __init__(self, uow: OpenUnitOfWork, settings: TaskSettings, task_types: TaskTypes) -> None:
        self._uow = uow
        self._settings = settings
        self._task_types = task_types

    async def lease(self, task_types: Sequence[str]) -> RunningTask | None:
        """The next task of one of these types; None when there is none for now."""
        for _ in range(LEASE_TRIES):
            try:
                task = await self._lease(task_types)
            except IntegrityError:
                continue  # another worker took one with the same serial key; the next look sees that
            if task is None:
                return None
            if task.status == TaskStatus.RUNNING:
                return RunningTask(task, self._uow)
        return None

    async def renew(self, held: Mapping[UUID, int]) -> Mapping[UUID, bool]:
        """Keep the tasks `held` (attempt by id); those that are still ours, and whether a stop is wanted."""
        async with self._uow() as uow:
            return await uow.tasks.renew(held, self._settings.lease)

    async def succeed(self, running: RunningTask, result: Mapping[str, Any]) -> None:
        """End a task, unless its handler did so together with its results."""
        if running.is_finished:
            return
        async with self._uow() as uow:
            await running.finish(uow, result)

    async def fail(self, running: RunningTask, error: AppError) -> None:
        """End it without success; a task that was to be cancelled is cancelled."""
        async with self._uow() as uow:
            await self._fail(uow, running.id, running.attempt, error)

    async def cancel(self, running: RunningTask) -> None:
        """End it as cancelled, after its handler has stopped."""
        await self.fail(running, TaskWasCancelled())

    async def retry(self, running: RunningTask, error: AppError) -> None:
        """Queue it again for later, or end it when it was tried often enough."""
        if running.attempt >= self._settings.max_attempts:
            await self.fail(running, error)
            return
        delay = min(self._settings.retry_delay * 2 ** (running.attempt - 1), LONGEST_RETRY_DELAY)
        message = f"{error.message} Trying again soon."
        async with self._uow() as uow:
            task = await uow.tasks.retry(running.id, running.attempt, after=delay, message=message)
            if task is None:
                return
            announce_state(uow, task, message=message)
            if task.cancel_requested:
                for cancelled in await uow.tasks.request_cancel([task.id]):
                    await announce_failure(uow, cancelled, TaskWasCancelled(), self._task_types)

    async def hand_back(self, running: RunningTask) -> None:
        """Queue it again at once, for another worker; the handler has stopped."""
        async with self._uow() as uow:
            task = await uow.tasks.hand_back(running.id, running.attempt)
            if task is not None:
                announce_state(uow, task, message="waiting for another worker")
                uow.events.wake_workers()

    async def forget(self, *, events_older_than: timedelta) -> None:
        """Delete what nobody asks for any more: finished internal tasks, old events, answers kept for a repetition."""
        async with self._uow() as uow:
            await uow.tasks.forget_internal_older_than(INTERNAL_RETENTION)
        async with self._uow() as uow:
            await uow.events.forget_older_than(events_older_than)
        async with self._uow() as uow:
            await uow.idempotency.forget_older_than(KEPT_FOR)

    async def _lease(self, task_types: Sequence[str]) -> Task | None:
        async with self._uow() as uow:
            task = await uow.tasks.lease(task_types, self._settings.lease)
            if task is None:
                return None
            if task.cancel_requested:  # its worker died before it could stop
                return await self._fail(uow, task.id, task.attempts, TaskWasCancelled())
            if task.attempts > self._settings.max_attempts:
                return await self._fail(uow, task.id, task.attempts, _worker_lost(task.attempts - 1))
            if not task.is_internal:
                await uow.events.append(task.project_id, _started(task))
            return task

    async def _fail(self, uow: UnitOfWork, task_id: UUID, attempt: int, error: AppError) -> Task | None:
        reason = {"code": error.code, "message": error.message, "details": error.details}
        task = await uow.tasks.fail(task_id, attempt, reason)
        if task is not None:
            ending = TaskWasCancelled() if task.status == TaskStatus.CANCELLED else error
            await announce_failure(uow, task, ending, self._task_types)
        return task


def _worker_lost(attempts: int) -> AppError:
    return ServiceUnavailable(f"The worker stopped unexpectedly, {attempts} times in a row.", attempts=attempts)


def _started(task: Task) -> TaskStarted:
    return TaskStarted(
        project_id=task.project_id,
        task_id=task.id,
        task_type=task.task_type,
        params=task.params,
        attempt=task.attempts,
    )


def _completed(task: Task) -> TaskCompleted:
    assert task.started_at is not None
    assert task.finished_at is not None
    return TaskCompleted(
        project_id=task.project_id,
        task_id=task.id,
        task_type=task.task_type,
        result=task.result or {},
        duration=round((task.finished_at - task.started_at).total_seconds(), 3),
    )
