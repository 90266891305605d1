"""The kinds of long-running work, and what becomes of one that ends without success."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from uuid_utils.compat import uuid7

from app.errors import AppError
from app.events import TaskFailed, TaskProgress
from app.models import Task
from app.repositories import UnitOfWork

Abandon = Callable[[UnitOfWork, Task, AppError], Awaitable[None]]


class TaskWasCancelled(AppError):
    status, code = 409, "TASK_CANCELLED"

    def __init__(self) -> None:
        super().__init__("The task was cancelled.")


@dataclass(frozen=True, slots=True)
class TaskType:
    """Work that can be queued. `abandon` tidies up in the transaction that ends a task without success."""

    name: str
    description: str
    params: type[BaseModel]
    may_be_started: bool = False  # by users; the rest is queued by services
    abandon: Abandon | None = None
    is_internal: bool = False  # not shown to users


TaskTypes = Mapping[str, TaskType]


def queue_task(uow: UnitOfWork, task: Task) -> None:
    """Queue `task` with this transaction, and tell its project and the workers."""
    task.id = task.id or uuid7()
    uow.tasks.add(task)
    announce_state(uow, task, message="queued")
    uow.events.wake_workers()


def announce_state(uow: UnitOfWork, task: Task, *, message: str) -> None:
    """Tell who is there now how far a task is that nobody works on at the moment."""
    if not task.is_internal:
        event = TaskProgress(
            project_id=task.project_id,
            task_id=task.id,
            task_type=task.task_type,
            progress=task.progress or 0.0,
            message=message,
        )
        uow.events.announce(task.project_id, event)


async def announce_failure(uow: UnitOfWork, task: Task, error: AppError, task_types: TaskTypes) -> None:
    """Tidy up after `task`, and tell its project why it ended; last thing in a transaction."""
    task_type = task_types.get(task.task_type)
    if task_type is not None and task_type.abandon is not None:
        await task_type.abandon(uow, task, error)
    if not task.is_internal:
        event = TaskFailed(
            project_id=task.project_id,
            task_id=task.id,
            task_type=task.task_type,
            error_code=error.code,
            message=error.message,
            details=error.details,
        )
        await uow.events.append(task.project_id, event)
