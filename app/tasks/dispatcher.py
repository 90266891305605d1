"""Gives tasks to their handlers, and stops those that are cancelled, lost, or handed back."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import structlog
from pydantic import ValidationError

from app.errors import AppError, InvalidInput, ServiceUnavailable
from app.services.execution import TaskExecution
from app.services.running_tasks import RunningTask, TaskLost
from app.services.task_catalogue import TaskHandler
from app.services.task_types import may_pass
from app.tasks.shares import Shares
from app.telemetry.meters import TASK_SECONDS, TASKS_ENDED, TASKS_HERE
from app.telemetry.spans import Kind, Nothing, Root, Span, Value, begin_root

log = structlog.get_logger(__name__)

OUTCOMES = {"succeed": "succeeded", "fail": "failed", "retry": "retried"}  # by what is written down
STOP_PATIENCE = 10.0  # seconds; a handler that takes longer to stop is left to the end of its lease


class StopReason(Enum):
    CANCELLED = "cancelled"
    HANDED_BACK = "handed back"
    LOST = "lost"


class UnexpectedFailure(AppError):
    """A bug or an outage; what exactly is in the log, and not for users."""

    status, code = 500, "INTERNAL_ERROR"


@dataclass(eq=False)
class Slot:
    """A task that runs here."""

    running: RunningTask
    job: asyncio.Task[None] = field(init=False)
    stop_reason: StopReason | None = None
    is_ending: bool = False

    def stop(self, reason: StopReason) -> None:
        """Cancel the handler, unless it has done its work and only the end is being written."""
        if self.stop_reason is None and not self.is_ending and not self.running.is_finished:
            self.stop_reason = reason
            self.job.cancel()


class Dispatcher:
    """`on_free` is called whenever a task has ended here, so that the next one can be taken."""

    def __init__(
        self,
        handlers: Sequence[TaskHandler],
        execution: TaskExecution,
        *,
        concurrency: int,
        on_free: Callable[[], None] = lambda: None,
    ) -> None:
        self._handlers = {handler.kind.name: handler for handler in handlers}
        self._execution = execution
        self._concurrency = concurrency
        self._on_free = on_free
        self._slots: set[Slot] = set()
        self._shares = Shares()

    @property
    def is_idle(self) -> bool:
        return not self._slots

    def rooms(self) -> dict[str, int]:
        """How many further tasks of each type could start here; types of which none could are left out."""
        busy = Counter(slot.running.task_type for slot in self._slots)
        rooms = {name: handler.kind.concurrency - busy[name] for name, handler in self._handlers.items()}
        return {name: room for name, room in rooms.items() if room > 0}

    async def start_next(self) -> bool:
        """Take as many tasks as could start here and are there, and begin them; whether there were any."""
        free, rooms = self._concurrency - len(self._slots), self.rooms()
        if free <= 0 or not rooms:
            return False
        taken = await self._execution.lease(rooms, most=free, shares=self._shares.current())
        for running in taken:
            slot = Slot(running)
            self._slots.add(slot)
            self._shares.add(running.project_id)
            slot.job = asyncio.create_task(self._occupy(slot))
        await asyncio.sleep(0)  # a job that is cancelled before its first step never ends in an orderly way
        return bool(taken)

    async def renew(self) -> None:
        """Keep what runs here, and stop what was cancelled or taken over."""
        if self.is_idle:
            return
        slots = {slot.running.id: slot for slot in self._slots}
        ours = await self._execution.renew({task_id: slot.running.fence for task_id, slot in slots.items()})
        for task_id, slot in slots.items():
            if task_id not in ours:
                slot.stop(StopReason.LOST)
            elif ours[task_id]:
                slot.stop(StopReason.CANCELLED)

    async def stop(self) -> None:
        """Hand everything back, so that other workers go on with it at once."""
        jobs = [slot.job for slot in self._slots]
        for slot in self._slots:
            slot.stop(StopReason.HANDED_BACK)
        if jobs:
            await asyncio.wait(jobs, timeout=STOP_PATIENCE)

    async def _occupy(self, slot: Slot) -> None:
        TASKS_HERE.inc()
        try:
            with _root(slot.running) as span:
                write_end = await self._timed_outcome(slot, span)
                slot.is_ending = True
                await write_end()
        except Exception as error:  # the database is away: the lease runs out, and the task is tried again
            log.warning("task.end_not_written", task_id=str(slot.running.id), error=repr(error))
        finally:
            TASKS_HERE.dec()
            self._slots.discard(slot)
            self._on_free()

    async def _timed_outcome(self, slot: Slot, span: Span | Nothing) -> Callable[[], Awaitable[None]]:
        started = time.perf_counter()
        write_end = await self._outcome(slot)
        outcome = OUTCOMES.get(write_end.func.__name__, "stopped") if isinstance(write_end, partial) else "stopped"
        TASK_SECONDS.labels(slot.running.task_type).observe(time.perf_counter() - started)
        TASKS_ENDED.labels(slot.running.task_type, outcome).inc()
        span.set({"hearth.task.outcome": outcome})
        if outcome in ("failed", "retried"):
            span.fail(outcome)
        return write_end

    async def _outcome(self, slot: Slot) -> Callable[[], Awaitable[None]]:
        """Run the handler; what is to be written down afterwards."""
        running = slot.running
        try:
            result = await self._process(running)
        except asyncio.CancelledError:
            return partial(self._write_stopped, slot)
        except TaskLost:
            slot.stop_reason = StopReason.LOST
            return partial(self._write_stopped, slot)
        except AppError as error:
            return partial(self._execution.retry if may_pass(error) else self._execution.fail, running, error)
        except TimeoutError:
            return partial(self._execution.retry, running, ServiceUnavailable("It took too long."))
        except Exception:
            log.exception("task.attempt_failed", task_id=str(running.id), attempt=running.attempt)
            return partial(self._execution.retry, running, UnexpectedFailure("Something went wrong on our side."))
        return partial(self._execution.succeed, running, result)

    async def _process(self, running: RunningTask) -> Mapping[str, Any]:
        handler = self._handlers[running.task_type]
        try:
            params = handler.kind.params.model_validate(running.params)
        except ValidationError as error:
            raise InvalidInput(f"The parameters do not fit: {error.errors()[0]['msg']}", field="params") from error
        async with running.reporting(), asyncio.timeout(handler.kind.timeout.total_seconds()):
            return await handler.process(running, params)

    async def _write_stopped(self, slot: Slot) -> None:
        log.info("task.stopped", task_id=str(slot.running.id), reason=slot.stop_reason and slot.stop_reason.value)
        if slot.stop_reason is StopReason.CANCELLED:
            await self._execution.cancel(slot.running)
        elif slot.stop_reason is StopReason.HANDED_BACK:
            await self._execution.hand_back(slot.running)


def _root(running: RunningTask) -> Root:
    attributes: dict[str, Value] = {
        "hearth.task.id": str(running.id),
        "hearth.task.type": running.task_type,
        "hearth.task.attempt": running.attempt,
    }
    return begin_root(f"task {running.task_type}", Kind.CONSUMER, attributes, traceparent=running.traceparent)
