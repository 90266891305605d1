"""What users see of long-running work, and what they may do about it. Workers use `execution.py`."""

from collections.abc import Sequence
from functools import cached_property
from uuid import UUID

from app.errors import Conflict, NotFound, PermissionDenied
from app.events import TaskState, Wanted
from app.models import AuditAction, Task, TaskStatus
from app.permissions import Action, Principal, may
from app.presets import QUALITIES
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.tasks import TaskCreate, TaskTypeRead
from app.services.audit import record_by
from app.services.task_endings import TaskWasCancelled, announce_failure
from app.services.task_orders import TaskOrders, count_waited_for
from app.services.task_types import TaskTypes, announce_state, preset_of
from app.settings import PresetSettings


class TaskService:
    def __init__(self, uow: OpenUnitOfWork, presets: PresetSettings, task_types: TaskTypes) -> None:
        self._uow = uow
        self._presets = presets
        self._task_types = task_types
        self.orders = TaskOrders(uow, presets, task_types)

    @cached_property
    def types(self) -> Sequence[TaskTypeRead]:
        """The kinds of work that users may see, and what each quality means for them."""
        shown = sorted((kind for kind in self._task_types.values() if not kind.is_internal), key=lambda kind: kind.name)
        return [
            TaskTypeRead(
                name=kind.name,
                description=kind.description,
                may_be_started=kind.may_be_started,
                params=kind.params.model_json_schema(),
                presets={name: preset_of(kind, self._presets, name).only(kind.uses) for name in QUALITIES},
            )
            for kind in shown
        ]

    async def get(self, actor: Principal, task_id: UUID) -> Task:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
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
        async with self._uow(is_reading=True) as uow:
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

    async def start(self, actor: Principal, project_id: UUID, order: TaskCreate) -> Task:
        """Queue work of a type that users may start; without a `quality`, in the one that the actor set as theirs.

        Raises:
            NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor.
            InvalidInput: no such type, parameters that it does not take, or tasks to come after that are not there.
            Conflict: a task that it is to come after has failed, or was cancelled.
        """
        return await self.orders.start(actor, project_id, order)

    async def retry(self, actor: Principal, task_id: UUID) -> Task:
        """Queue a task again that has failed or was cancelled; it goes on after the last step that it has finished.

        Raises:
            NotFound, PermissionDenied
            Conflict: it has not ended so, is not of a type that users start, or comes after one that has ended so.
        """
        async with self._uow() as uow:
            task = await _visible(uow, actor, task_id)
            if not may(actor, Action.EDIT, await uow.projects.get_editing_role(actor.user_id, task.project_id)):
                raise PermissionDenied("Viewers of a project cannot retry its tasks.", task_id=str(task_id))
            kind = self._task_types.get(task.task_type)
            if kind is None or not kind.may_be_started:
                raise Conflict("Work of this type is started by the server itself.", task_type=task.task_type)
            after = [first for _, first in await uow.tasks.list_predecessor_ids([task_id])]
            waits_for = await count_waited_for(uow, task.project_id, after)
            again = await uow.tasks.restart(task_id, waits_for=waits_for)
            if again is None:
                raise Conflict("Only what has failed or was cancelled can be tried again.", status=task.status)
            await uow.functions.forget_accepted(task_id)
            announce_state(uow, again, message="queued again")
            uow.events.wake_workers(Wanted.TASKS)
            return again

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

    async def release_due(self) -> bool:
        """Let tasks into the line whose time has come; whether there were any."""
        async with self._uow() as uow:
            return await uow.tasks.release_due()

    async def cancel_serial(self, serial_key: str) -> None:
        """Cancel whatever runs or waits under a serial key."""
        async with self._uow() as uow:
            await self._cancel(uow, await uow.tasks.list_unfinished_ids(serial_key))

    async def _cancel(self, uow: UnitOfWork, task_ids: Sequence[UUID]) -> Sequence[Task]:
        changed = await uow.tasks.request_cancel(task_ids)
        for task in changed:
            if task.status == TaskStatus.CANCELLED:
                await announce_failure(uow, task, TaskWasCancelled(), self._task_types)
        uow.events.wake_workers(Wanted.STOPS)
        return changed


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
