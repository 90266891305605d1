"""Starting long-running work: what may be asked for, and how it gets into the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from app.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from app.events import Wanted, utc_now
from app.gathering import Gathering
from app.models import Task, TaskStatus
from app.models.tasks import first_steps
from app.permissions import Action, Principal, ProjectRole, may
from app.presets import STANDARD, Quality
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.task_orders import PlainOrder
from app.schemas.tasks import TaskCreate, TaskOrder
from app.services.task_types import TaskType, TaskTypes, announce_state, preset_of, queue_task
from app.settings import PresetSettings

MOST_AT_ONCE: Final = 100  # in one transaction
LONGEST_WAIT: Final = timedelta(days=366)
QUEUED: Final = "queued"


@dataclass(frozen=True, slots=True)
class Checked:
    """An order of a type that may be started, with parameters that it takes."""

    order: TaskOrder
    kind: TaskType
    params: dict[str, Any]


class TaskOrders:
    def __init__(self, uow: OpenUnitOfWork, presets: PresetSettings, task_types: TaskTypes) -> None:
        self._uow = uow
        self._presets = presets
        self._task_types = task_types
        self._plain: Gathering[PlainOrder, Task | Exception | None] = Gathering(self._store_all, most=MOST_AT_ONCE)

    async def start(self, actor: Principal, project_id: UUID, order: TaskCreate) -> Task:
        """Raises NotFound, PermissionDenied, InvalidInput, Conflict."""
        checked = self.check(order)
        if order.run_at is None and not order.after and (order.quality or not checked.kind.uses):
            stored = await self._plain.ask(self._plain_order(actor, project_id, checked))
            if isinstance(stored, Exception):
                raise stored
            if stored is not None:
                return stored
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
            quality = order.quality or await default_quality(uow, actor.user_id)
            task = self.new_task(checked, project_id, owner_id=actor.user_id, quality=quality)
            if order.run_at is not None:
                task.run_after = order.run_at
                task.is_held = True
            await _wait_for(uow, task, order.after)
            queue_task(uow, task)
            await uow.flush()
            for predecessor in sorted(set(order.after)):
                uow.tasks.add_dependency(task.id, predecessor)
            return task

    def check(self, order: TaskOrder) -> Checked:
        """
        Raises:
            InvalidInput: there is no such type to start, or it takes no such parameters or values.
            AppError: such work cannot be done here.
        """
        kind = self._task_types.get(order.task_type)
        if kind is None or not kind.may_be_started:
            known = ", ".join(sorted(kind.name for kind in self._task_types.values() if kind.may_be_started))
            problem = f"There is no task type {order.task_type!r} to start; there are: {known}."
            raise InvalidInput(problem, field="task_type")
        for name in order.preset.given():
            if name not in kind.uses:
                used = ", ".join(kind.uses) or "no value of a preset"
                raise InvalidInput(f"{kind.name} uses {used}.", field=f"preset.{name}")
        if isinstance(order, TaskCreate) and order.run_at is not None and order.run_at > utc_now() + LONGEST_WAIT:
            raise InvalidInput(f"That is more than {LONGEST_WAIT.days} days away.", field="run_at")
        try:
            params = kind.params.model_validate(order.params)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["params", *(str(part) for part in first["loc"])])
            raise InvalidInput(f"{field}: {first['msg']}", field=field) from error
        if kind.require is not None:
            kind.require(params)
        return Checked(order, kind, params.model_dump(mode="json"))

    def new_task(self, checked: Checked, project_id: UUID, *, owner_id: UUID, quality: Quality) -> Task:
        """Not queued yet."""
        return Task(
            id=uuid7(),
            project_id=project_id,
            owner_id=owner_id,
            task_type=checked.kind.name,
            params=checked.params,
            quality=quality,
            preset=self._preset(checked, quality),
            priority=checked.kind.priority,
        )

    def _preset(self, checked: Checked, quality: Quality) -> dict[str, Any]:
        return preset_of(checked.kind, self._presets, quality, checked.order.preset).only(checked.kind.uses)

    def _plain_order(self, actor: Principal, project_id: UUID, checked: Checked) -> PlainOrder:
        quality = checked.order.quality
        return PlainOrder(
            id=uuid7(),
            project_id=project_id,
            owner_id=actor.user_id,
            roles=[role for role in ProjectRole if may(actor, Action.EDIT, role)],
            task_type=checked.kind.name,
            quality=quality,
            params=checked.params,
            preset=self._preset(checked, quality or STANDARD),
            priority=checked.kind.priority,
            steps=first_steps(),
        )

    async def _store_all(self, orders: Sequence[PlainOrder]) -> Sequence[Task | Exception | None]:
        """In one transaction; where that fails, each in its own, so that one does not cost the others theirs."""
        try:
            async with self._uow() as uow:
                stored = await uow.task_orders.store(orders)
                for task in stored:
                    announce_state(uow, task, message=QUEUED)
                uow.events.wake_workers(Wanted.TASKS)
        except Exception as error:
            return [error] if len(orders) == 1 else [(await self._store_all([order]))[0] for order in orders]
        tasks = {task.id: task for task in stored}
        return [tasks.get(order.id) for order in orders]


async def require_editor(uow: UnitOfWork, actor: Principal, project_id: UUID) -> None:
    """Raises NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor."""
    role = await uow.projects.get_editing_role(actor.user_id, project_id)
    if role is None:
        raise NotFound("Project not found", project_id=str(project_id))
    if not may(actor, Action.EDIT, role):
        raise PermissionDenied("Viewers of a project cannot start tasks in it.", project_id=str(project_id))


async def default_quality(uow: UnitOfWork, user_id: UUID) -> Quality:
    """What somebody set as theirs."""
    user = await uow.users.get(user_id)
    return cast("Quality", user.settings.get("default_quality") or STANDARD) if user else STANDARD


async def count_waited_for(uow: UnitOfWork, project_id: UUID, after: Sequence[UUID]) -> int:
    """How many of the tasks `after` have not succeeded yet; until this transaction ends, none of them does.

    Raises:
        InvalidInput: one is not there, or in another project.
        Conflict: one has failed or was cancelled.
    """
    if not after:
        return 0
    predecessors = {task.id: task for task in await uow.tasks.lock_predecessors(project_id, after)}
    for task_id in after:
        if task_id not in predecessors:
            raise InvalidInput(f"There is no task {task_id} in this project.", field="after")
    for task in predecessors.values():
        if task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
            raise Conflict("A task that it comes after has ended without success.", task_id=str(task.id))
    return sum(task.status != TaskStatus.SUCCEEDED for task in predecessors.values())


async def _wait_for(uow: UnitOfWork, task: Task, after: Sequence[UUID]) -> None:
    task.waits_for = await count_waited_for(uow, task.project_id, after)
    task.is_held = bool(task.is_held) or task.waits_for > 0
