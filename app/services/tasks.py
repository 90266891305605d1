"""What users see of long-running work, and what they may do about it. Workers use `execution.py`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from app.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from app.events import TaskState
from app.models import AuditAction, Task, TaskStatus
from app.permissions import Action, Principal, may
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.audit import record_by
from app.services.task_types import TaskType, TaskTypes, TaskWasCancelled, announce_failure, queue_task

STANDARD: Final = "standard"


class TaskService:
    def __init__(self, uow: OpenUnitOfWork, task_types: TaskTypes) -> None:
        self._uow = uow
        self._task_types = task_types

    @property
    def types(self) -> Sequence[TaskType]:
        return [kind for kind in self._task_types.values() if not kind.is_internal]

    async def get(self, actor: Principal, task_id: UUID) -> Task:
        """Raises NotFound."""
        async with self._uow() as uow:
            return await _visible(uow, actor, task_id)

    async def list(
        self,
        actor: Principal,
        *,
        project_id: UUID | None,
        status: TaskStatus | None,
        task_type: str | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Task]:
        """Of the projects the actor may see, the newest first."""
        async with self._uow() as uow:
            return await uow.tasks.list_visible(
                actor, project_id=project_id, status=status, task_type=task_type, before=before, limit=limit
            )

    async def active_in(self, project_id: UUID) -> Sequence[TaskState]:
        """What runs or waits in a project, for those who join late; the caller has made sure that they may see it."""
        async with self._uow() as uow:
            tasks = await uow.tasks.list_active(project_id)
        return [
            TaskState(
                task_id=task.id,
                task_type=task.task_type,
                status=task.status,
                progress=task.progress,
                message=task.message,
                preview_url=task.preview_url,
            )
            for task in tasks
        ]

    async def start(
        self, actor: Principal, project_id: UUID, *, task_type: str, params: Mapping[str, Any], quality: str | None
    ) -> Task:
        """Queue work of a type that users may start; without a `quality`, in the one that the actor set as theirs.

        Raises:
            NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor.
            InvalidInput: no such type, or parameters that it does not take.
        """
        checked = self._check(task_type, params)
        async with self._uow() as uow:
            role = await uow.projects.get_editing_role(actor.user_id, project_id)
            if role is None:
                raise NotFound("Project not found", project_id=str(project_id))
            if not may(actor, Action.EDIT, role):
                raise PermissionDenied("Viewers of a project cannot start tasks in it.", project_id=str(project_id))
            chosen = quality or await _default_quality(uow, actor)
            task = Task(
                project_id=project_id, owner_id=actor.user_id, task_type=task_type, params=checked, quality=chosen
            )
            queue_task(uow, task)
            await uow.flush()
            return task

    async def cancel(self, actor: Principal, task_id: UUID) -> Task:
        """End a task that waits, or make whoever works on it stop within a second; a cancelled one stays as it is.

        Raises:
            NotFound, PermissionDenied
            Conflict: it has ended otherwise.
        """
        async with self._uow() as uow:
            task = await _visible(uow, actor, task_id)
            if not may(actor, Action.EDIT, await uow.projects.get_role(actor.user_id, task.project_id)):
                raise PermissionDenied("Viewers of a project cannot cancel its tasks.", task_id=str(task_id))
            changed = await self._cancel(uow, [task_id])
            task = changed[0] if changed else await _visible(uow, actor, task_id)
        return _cancelled(task)

    async def cancel_for(self, admin: Principal, task_id: UUID) -> Task:
        """The same for an admin, whosever it is. Raises NotFound. Conflict: it has ended otherwise."""
        async with self._uow() as uow:
            task = _there(await uow.tasks.get(task_id), task_id)
            changed = await self._cancel(uow, [task_id])
            if changed:
                task = changed[0]
                record_by(uow, admin, AuditAction.TASK_CANCELLED, target_type="task", target_id=task_id)
        return _cancelled(task)

    async def cancel_serial(self, serial_key: str) -> None:
        """Cancel whatever runs or waits under a serial key."""
        async with self._uow() as uow:
            await self._cancel(uow, await uow.tasks.list_unfinished_ids(serial_key))

    async def _cancel(self, uow: UnitOfWork, task_ids: Sequence[UUID]) -> Sequence[Task]:
        changed = await uow.tasks.request_cancel(task_ids)
        for task in changed:
            if task.status == TaskStatus.CANCELLED:
                await announce_failure(uow, task, TaskWasCancelled(), self._task_types)
        uow.events.wake_workers()
        return changed

    def _check(self, task_type: str, params: Mapping[str, Any]) -> dict[str, Any]:
        startable = {name: kind for name, kind in self._task_types.items() if kind.may_be_started}
        if task_type not in startable:
            known = ", ".join(sorted(startable))
            raise InvalidInput(f"There is no task type {task_type!r} to start; there are: {known}.", field="task_type")
        try:
            return startable[task_type].params.model_validate(params).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["params", *(str(part) for part in first["loc"])])
            raise InvalidInput(f"{field}: {first['msg']}", field=field) from error


async def _visible(uow: UnitOfWork, actor: Principal, task_id: UUID) -> Task:
    return _there(await uow.tasks.get_visible(actor, task_id), task_id)


def _there(task: Task | None, task_id: UUID) -> Task:
    if task is None:
        raise NotFound("Task not found", task_id=str(task_id))
    return task


def _cancelled(task: Task) -> Task:
    """Raises Conflict: it has ended otherwise."""
    if task.status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED):
        raise Conflict("The task has ended already.", task_id=str(task.id), status=task.status)
    return task


async def _default_quality(uow: UnitOfWork, actor: Principal) -> str:
    user = await uow.users.get(actor.user_id)
    return str(user.settings.get("default_quality", STANDARD)) if user else STANDARD
