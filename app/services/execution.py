"""How a worker takes tasks, keeps them and brings them to their end; the other side of the queue than `tasks.py`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.errors import AppError, ServiceUnavailable
from app.events import Wanted, utc_now
from app.gathering import Gathering
from app.models import Task, TaskStatus
from app.presets import Preset, PresetChanges, Quality
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.task_queue import Room
from app.services.idempotency import KEPT_FOR
from app.services.running_tasks import RunningTask, TaskLost
from app.services.task_endings import (
    TaskWasCancelled,
    announce_failure,
    announce_starts,
    announce_successes,
    error_of,
)
from app.services.task_types import RetryPolicy, TaskTypes, announce_state, preset_of, wait_wanted
from app.settings import PresetSettings, TaskSettings

LEASE_TRIES: Final = 10
MOST_ENDINGS: Final = 100  # in one transaction
MOST_DOUBLINGS: Final = 20
INTERNAL_RETENTION: Final = timedelta(days=1)

End = tuple[RunningTask, Mapping[str, Any]]


class TaskExecution:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: TaskSettings,
        task_types: TaskTypes,
        presets: PresetSettings | None = None,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._task_types = task_types
        self._presets = presets or PresetSettings()
        # A dead worker's task is found by the next poll after its lease, and then the time of the setting is over.
        self._lease_time = max(settings.lease - settings.poll_interval, settings.lease / 2)
        self._ends: Gathering[End, Exception | None] = Gathering(self._succeed_all, most=MOST_ENDINGS)

    async def lease(
        self, rooms: Mapping[str, int], *, most: int, shares: Mapping[UUID, float] | None = None
    ) -> Sequence[RunningTask]:
        """Take up to `most` tasks, and of each type as many as `rooms` says; none when there are none for now.

        `shares`: how much each project got here lately, compared with others; who got more waits longer.
        """
        asked = {name: Room(free, self._most_at_once(name)) for name, free in rooms.items()}
        for attempt in range(LEASE_TRIES):
            try:
                async with self._uow() as uow:
                    leased = await uow.queue.lease(asked, self._lease_time, most=most, shares=shares or {})
                    begun = [task for task in leased if not await self._is_over(uow, task)]
                    await announce_starts(uow, begun)
            except IntegrityError:  # another worker took one with the same serial key, or place: the next look sees it
                most = most if attempt == 0 else 1
                continue
            if begun or not leased:
                return [RunningTask(task, self._uow, self._preset_of(task)) for task in begun]
        return []

    async def renew(self, held: Mapping[UUID, int]) -> Mapping[UUID, bool]:
        """Keep the tasks `held` (fence by id); those that are still ours, and whether a stop is wanted."""
        async with self._uow() as uow:
            return await uow.queue.renew(held, self._lease_time)

    async def succeed(self, running: RunningTask, result: Mapping[str, Any]) -> None:
        """End a task, unless its handler did so together with its results. Raises TaskLost."""
        if running.is_finished:
            return
        error = await self._ends.ask((running, result))
        if error is not None:
            raise error

    async def fail(self, running: RunningTask, error: AppError) -> None:
        """End it without success; a task that was to be cancelled is cancelled."""
        async with self._uow() as uow:
            await self._fail(uow, running.id, running.fence, error)

    async def cancel(self, running: RunningTask) -> None:
        """End it as cancelled, after its handler has stopped."""
        await self.fail(running, TaskWasCancelled())

    async def retry(self, running: RunningTask, error: AppError) -> None:
        """Queue it again for later, or end it when it was tried often enough."""
        if running.attempt >= self._most_attempts(running.task_type):
            await self.fail(running, error)
            return
        delay = max(self._pause_after(running), wait_wanted(error))
        message = f"{error.message} Trying again soon."
        failure = {"attempt": running.attempt, "at": utc_now().isoformat().replace("+00:00", "Z")}
        failure |= {"code": error.code, "message": error.message}
        async with self._uow() as uow:
            task = await uow.queue.retry(running.id, running.fence, after=delay, message=message, failure=failure)
            if task is None:
                return
            announce_state(uow, task, message=message)
            if task.cancel_requested:
                for cancelled in await uow.tasks.request_cancel([task.id]):
                    await announce_failure(uow, cancelled, TaskWasCancelled(), self._task_types)

    async def hand_back(self, running: RunningTask) -> None:
        """Queue it again at once, for another worker; the handler has stopped."""
        async with self._uow() as uow:
            task = await uow.queue.hand_back(running.id, running.fence)
            if task is not None:
                announce_state(uow, task, message="waiting for another worker")
                uow.events.wake_workers(Wanted.TASKS)

    async def forget_tasks(self) -> None:
        """Delete tasks that ended long ago: soon where no user ever saw them."""
        await self._repeat(lambda uow: uow.tasks.forget_older_than(self._settings.retention, INTERNAL_RETENTION))

    async def forget_events(self, age: timedelta) -> None:
        """Delete what nobody can ask to have replayed any more."""
        await self._repeat(lambda uow: uow.events.forget_older_than(age))

    async def forget_answers(self) -> None:
        """Delete what is kept for repetitions of requests with an Idempotency-Key."""
        async with self._uow() as uow:
            await uow.idempotency.forget_older_than(KEPT_FOR)

    async def _repeat(self, forget_some: Callable[[UnitOfWork], Awaitable[bool]]) -> None:
        """Until nothing is left: a part at a time, so that no transaction gets long."""
        is_more = True
        while is_more:
            async with self._uow() as uow:
                is_more = await forget_some(uow)

    async def _is_over(self, uow: UnitOfWork, task: Task) -> bool:
        """Whether a task that was just taken is not to be begun; then it has been ended."""
        if task.cancel_requested:  # its worker died before it could stop
            await self._fail(uow, task.id, task.fence, TaskWasCancelled())
            return True
        if task.attempts > self._most_attempts(task.task_type):
            await self._fail(uow, task.id, task.fence, _worker_lost(task.attempts - 1))
            return True
        return False

    async def _succeed_all(self, ends: Sequence[End]) -> Sequence[Exception | None]:
        """End them in one transaction; where that fails, each in its own, so that one does not cost the others."""
        try:
            async with self._uow() as uow:
                tasks = await uow.queue.succeed([running.ending(result) for running, result in ends])
                await announce_successes(uow, tasks)
        except Exception as error:
            return [error] if len(ends) == 1 else [(await self._succeed_all([end]))[0] for end in ends]
        ended = {task.id for task in tasks}
        return [None if running.id in ended else TaskLost() for running, _ in ends]

    async def _fail(self, uow: UnitOfWork, task_id: UUID, fence: int, error: AppError) -> Task | None:
        task = await uow.queue.fail(task_id, fence, error_of(error))
        if task is not None:
            ending = TaskWasCancelled() if task.status == TaskStatus.CANCELLED else error
            await announce_failure(uow, task, ending, self._task_types)
        return task

    def _preset_of(self, task: Task) -> Preset:
        kind = self._task_types.get(task.task_type)
        return preset_of(kind, self._presets, cast("Quality", task.quality), PresetChanges.model_validate(task.preset))

    def _most_at_once(self, task_type: str) -> int | None:
        kind = self._task_types.get(task_type)
        return None if kind is None else kind.most_at_once

    def _most_attempts(self, task_type: str) -> int:
        return self._policy(task_type).attempts or self._settings.max_attempts

    def _pause_after(self, running: RunningTask) -> timedelta:
        policy = self._policy(running.task_type)
        first = self._settings.retry_delay if policy.delay is None else policy.delay
        doublings = min(running.attempt - 1, MOST_DOUBLINGS)
        return min(first * (1 << doublings), policy.longest_delay)

    def _policy(self, task_type: str) -> RetryPolicy:
        kind = self._task_types.get(task_type)
        return RetryPolicy() if kind is None else kind.retries


def _worker_lost(attempts: int) -> AppError:
    return ServiceUnavailable(f"The worker stopped unexpectedly, {attempts} times in a row.", attempts=attempts)
