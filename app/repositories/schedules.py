"""Work that is started again and again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Member, TaskSchedule
from app.permissions import Principal
from app.repositories.pages import newest_first

CLOCK = func.clock_timestamp()


class ScheduleRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, schedule: TaskSchedule) -> None:
        self._session.add(schedule)

    async def get_visible(self, actor: Principal, schedule_id: UUID) -> TaskSchedule | None:
        return await self._session.scalar(_visible_to(actor).where(TaskSchedule.id == schedule_id))

    async def lock_visible(self, actor: Principal, schedule_id: UUID) -> TaskSchedule | None:
        query = _visible_to(actor).where(TaskSchedule.id == schedule_id).with_for_update()
        return await self._session.scalar(query.execution_options(populate_existing=True))

    async def list_visible(
        self, actor: Principal, *, project_id: UUID | None, before: UUID | None, limit: int
    ) -> Sequence[TaskSchedule]:
        query = _visible_to(actor)
        if project_id is not None:
            query = query.where(TaskSchedule.project_id == project_id)
        return await newest_first(self._session, query, TaskSchedule, before=before, limit=limit)

    async def count(self, project_id: UUID) -> int:
        query = select(func.count()).where(TaskSchedule.project_id == project_id)
        return await self._session.scalar(query) or 0

    async def delete(self, schedule: TaskSchedule) -> None:
        await self._session.delete(schedule)

    async def lock_due(self, *, limit: int) -> tuple[datetime, Sequence[TaskSchedule]]:
        """The database's time, and the schedules whose time has come; nobody else has them until this ends."""
        due = select(TaskSchedule).where(TaskSchedule.next_run_at <= CLOCK)
        locked = due.order_by(TaskSchedule.next_run_at).limit(limit).with_for_update(skip_locked=True)
        schedules = (await self._session.scalars(locked)).all()
        return (await self._session.scalars(select(CLOCK))).one(), schedules


def _visible_to(actor: Principal) -> Select[TaskSchedule]:
    own = select(Member.project_id).where(Member.user_id == actor.user_id)
    return select(TaskSchedule).where(TaskSchedule.project_id.in_(own))
