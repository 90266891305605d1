"""What was told of one task so far, and how it ended: for those who follow it and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.errors import NotFound
from app.events import Frame, TaskCompleted, TaskFailed
from app.models import UNFINISHED, Task, TaskStatus
from app.permissions import Principal
from app.repositories import OpenUnitOfWork

ENDINGS: Final = ('"type":"complete"', '"type":"error"')
SLACK: Final = timedelta(seconds=5)  # a task is made a moment before its first event


@dataclass(frozen=True, slots=True)
class History:
    """`frames` are durable events of the task, after the number that was asked for."""

    task: Task
    frames: Sequence[Frame]

    @property
    def is_over(self) -> bool:
        return self.task.status not in UNFINISHED


class TaskHistory:
    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def read(self, actor: Principal, task_id: UUID, *, after_seq: int | None) -> History:
        """Of a task that is over there is always its end, unless `after_seq` says that it was told. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            task = await uow.tasks.get_visible(actor, task_id)
            if task is None:
                raise NotFound("Task not found", task_id=str(task_id))
            since = task.created_at - SLACK
            frames = await uow.events.list_of_task(task.project_id, task_id, since=since, after_seq=after_seq or 0)
        history = History(task, frames)
        if history.is_over and after_seq is None and not (frames and is_ending(frames[-1].text)):
            return History(task, [*frames, _ending(task)])
        return history


def is_ending(frame: str) -> bool:
    """Whether the encoded event of a task is its last, as far as it knows."""
    return frame.startswith(tuple("{" + ending for ending in ENDINGS))


def _ending(task: Task) -> Frame:
    """The log has forgotten it; it has no number any more."""
    about = {"project_id": task.project_id, "task_id": task.id, "task_type": task.task_type}
    event: TaskCompleted | TaskFailed
    if task.status == TaskStatus.SUCCEEDED:
        took = (task.finished_at - task.started_at).total_seconds() if task.finished_at and task.started_at else 0.0
        event = TaskCompleted(**about, result=task.result or {}, duration=round(took, 3))
    else:
        reason = task.error or {"code": "TASK_CANCELLED", "message": "The task was cancelled.", "details": {}}
        event = TaskFailed(
            **about, error_code=reason["code"], message=reason["message"], details=reason.get("details", {})
        )
    return Frame(task.project_id, 0, event.model_dump_json())
