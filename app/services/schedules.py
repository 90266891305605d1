"""Work that is started again and again: each firing is one task, however many workers look for what is due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim
from uuid_utils.compat import uuid7

from app.errors import AppError, Conflict, NotFound, PermissionDenied
from app.events import utc_now
from app.models import TaskSchedule
from app.permissions import Action, Principal, may
from app.presets import PresetChanges, Quality
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.schedules import ScheduleCreate, ScheduleUpdate
from app.schemas.tasks import TaskOrder
from app.services.task_orders import Checked, TaskOrders, default_quality, require_editor
from app.services.task_types import queue_task
from app.services.versions import Versions, require_version

MOST_PER_PROJECT: Final = 100
MOST_DUE: Final = 50  # in one transaction


class ScheduleService:
    def __init__(self, uow: OpenUnitOfWork, orders: TaskOrders) -> None:
        self._uow = uow
        self._orders = orders

    async def create(self, actor: Principal, project_id: UUID, data: ScheduleCreate) -> TaskSchedule:
        """Raises NotFound, PermissionDenied, InvalidInput. Conflict: the project has too many."""
        checked = self._orders.check(data)
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
            if await uow.schedules.count(project_id) >= MOST_PER_PROJECT:
                raise Conflict(f"A project has at most {MOST_PER_PROJECT} schedules.", project_id=str(project_id))
            schedule = TaskSchedule(
                id=uuid7(),
                project_id=project_id,
                owner_id=actor.user_id,
                name=data.name,
                task_type=data.task_type,
                params=checked.params,
                quality=data.quality or await default_quality(uow, actor.user_id),
                preset=data.preset.given(),
                cron=data.cron,
                timezone=data.timezone,
                next_run_at=next_time(data.cron, data.timezone, utc_now()),
                pause_reason="",
            )
            uow.schedules.add(schedule)
            await uow.flush()
            return schedule

    async def get(self, actor: Principal, schedule_id: UUID) -> TaskSchedule:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return _there(await uow.schedules.get_visible(actor, schedule_id), schedule_id)

    async def list(
        self, actor: Principal, *, project_id: UUID | None, before: UUID | None, limit: int
    ) -> Sequence[TaskSchedule]:
        """Of the projects the actor may see, the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.schedules.list_visible(actor, project_id=project_id, before=before, limit=limit)

    async def update(
        self, actor: Principal, schedule_id: UUID, changes: ScheduleUpdate, *, expected: Versions | None
    ) -> TaskSchedule:
        """Change, pause or go on; what was missed during a pause is not made up for.

        Raises:
            NotFound, PermissionDenied, InvalidInput, PreconditionFailed
        """
        async with self._uow() as uow:
            schedule = await _locked(uow, actor, schedule_id)
            require_version(schedule, expected)
            was_paused = schedule.is_paused
            for name in changes.model_fields_set - {"is_paused", "preset"}:
                if getattr(changes, name) is not None:
                    setattr(schedule, name, getattr(changes, name))
            if changes.preset is not None:
                schedule.preset = changes.preset.given()
            schedule.params = self._check(schedule).params
            is_paused = was_paused if changes.is_paused is None else changes.is_paused
            schedule.next_run_at = None if is_paused else next_time(schedule.cron, schedule.timezone, utc_now())
            if not is_paused:
                schedule.pause_reason = ""
            await uow.flush()
            return schedule

    async def delete(self, actor: Principal, schedule_id: UUID, *, expected: Versions | None) -> None:
        """What it has started goes on. Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            schedule = await _locked(uow, actor, schedule_id)
            require_version(schedule, expected)
            await uow.schedules.delete(schedule)

    async def fire_due(self) -> None:
        """Start what is due. A firing that was missed is made up for once, however many there were."""
        count = MOST_DUE
        while count == MOST_DUE:
            async with self._uow() as uow:
                now, due = await uow.schedules.lock_due(limit=MOST_DUE)
                count = len(due)
                for schedule in due:
                    await self._fire(uow, schedule, now)

    async def _fire(self, uow: UnitOfWork, schedule: TaskSchedule, now: datetime) -> None:
        try:
            checked = self._check(schedule)
            await _require_right(uow, schedule)
        except AppError as error:
            schedule.next_run_at, schedule.pause_reason = None, error.message
            return
        schedule.last_run_at = schedule.next_run_at
        schedule.next_run_at = next_time(schedule.cron, schedule.timezone, now)
        serial_key = f"schedule:{schedule.id}"
        if await uow.tasks.get_unfinished(serial_key) is not None:
            return  # its last task is not done yet: they would pile up
        quality = cast("Quality", schedule.quality)
        task = self._orders.new_task(checked, schedule.project_id, owner_id=schedule.owner_id, quality=quality)
        task.serial_key, task.schedule_id = serial_key, schedule.id
        queue_task(uow, task)
        await uow.flush()

    def _check(self, schedule: TaskSchedule) -> Checked:
        """Raises InvalidInput: the type is gone, or takes other parameters by now."""
        return self._orders.check(
            TaskOrder(
                task_type=schedule.task_type,
                params=schedule.params,
                quality=cast("Quality", schedule.quality),
                preset=PresetChanges.model_validate(schedule.preset),
            )
        )


def next_time(cron: str, timezone: str, after: datetime) -> datetime:
    """The first time after `after` that `cron` means in `timezone`."""
    return next(CronSim(cron, after.astimezone(ZoneInfo(timezone))))


async def _locked(uow: UnitOfWork, actor: Principal, schedule_id: UUID) -> TaskSchedule:
    schedule = _there(await uow.schedules.lock_visible(actor, schedule_id), schedule_id)
    if not may(actor, Action.EDIT, await uow.projects.get_editing_role(actor.user_id, schedule.project_id)):
        raise PermissionDenied("Viewers of a project cannot change its schedules.", schedule_id=str(schedule_id))
    return schedule


async def _require_right(uow: UnitOfWork, schedule: TaskSchedule) -> None:
    """Raises PermissionDenied: whoever made the schedule may not start tasks there any more."""
    owner = await uow.users.get(schedule.owner_id)
    role = await uow.projects.get_editing_role(schedule.owner_id, schedule.project_id)
    if owner is None or not owner.is_active or not may(Principal(owner.id, owner.name), Action.EDIT, role):
        raise PermissionDenied("Whoever made this schedule may not start tasks in the project any more.")


def _there(schedule: TaskSchedule | None, schedule_id: UUID) -> TaskSchedule:
    if schedule is None:
        raise NotFound("Schedule not found", schedule_id=str(schedule_id))
    return schedule
