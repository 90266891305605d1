"""What the world is told when tasks begin and end, and what becomes of those that come after them."""

from collections.abc import Sequence

from app.errors import AppError
from app.events import TaskCompleted, TaskFailed, TaskStarted, Wanted
from app.models import Task, TaskStatus
from app.repositories import UnitOfWork
from app.services.task_types import TaskTypes


class TaskWasCancelled(AppError):
    status, code = 409, "TASK_CANCELLED"

    def __init__(self) -> None:
        super().__init__("The task was cancelled.")


class PredecessorEnded(AppError):
    """The task that this one was to come after has ended without success."""

    status, code = 409, "PREDECESSOR_ENDED"

    def __init__(self, first: Task) -> None:
        what = "was cancelled" if first.status == TaskStatus.CANCELLED else "failed"
        reason = (first.error or {}).get("message", "")
        super().__init__(
            f"The task before it ({first.task_type}) {what}{': ' if reason else '.'}{reason}",
            task_id=str(first.id),
            task_type=first.task_type,
            error_code=(first.error or {}).get("code"),
        )


async def announce_starts(uow: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Tell the projects that work on these has begun; last thing in a transaction."""
    await uow.events.append_all([(task.project_id, _started(task)) for task in tasks if not task.is_internal])


async def announce_successes(uow: UnitOfWork, tasks: Sequence[Task]) -> None:
    """Let those begin that come after `tasks`, and tell the projects of these; last thing in a transaction."""
    awaited = [task.id for task in tasks if task.is_awaited]
    if awaited and await uow.tasks.release_followers(awaited):
        uow.events.wake_workers(Wanted.TASKS)
    await uow.events.append_all([(task.project_id, _completed(task)) for task in tasks if not task.is_internal])


async def announce_failure(uow: UnitOfWork, task: Task, error: AppError, task_types: TaskTypes) -> None:
    """Tidy up after `task`, tell its project why it ended, and end what comes after it; last thing in a transaction."""
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
    if task.is_awaited:
        reason = PredecessorEnded(task)
        for follower in await uow.tasks.end_followers(task.id, task.status, error_of(reason)):
            await announce_failure(uow, follower, reason, task_types)


def error_of(error: AppError) -> dict[str, object]:
    """As it is kept with a task."""
    return {"code": error.code, "message": error.message, "details": error.details}


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
