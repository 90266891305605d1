"""Long-running work as users see it; `task_queue.py` is how workers take it. One row is both."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from app.errors import ServiceUnavailable
from app.models import UNFINISHED, Member, Task, TaskDependency, TaskStatus
from app.permissions import Principal
from app.repositories.pages import newest_first
from app.repositories.taking import taken

BACKLOG_PATIENCE = timedelta(seconds=30)
MOST_DUE = 1000
MOST_FORGOTTEN = 1000
CLOCK = func.clock_timestamp()  # the database's clock: workers need not agree on the time


# Locked in the order of their ids, as everywhere that several are changed at once.
_RELEASE_FOLLOWERS = text("""
    WITH nearer AS (
        SELECT task_id, count(*) AS number FROM task_dependencies WHERE after_id = ANY (:ended) GROUP BY task_id
    ), locked AS (
        SELECT tasks.id, nearer.number FROM tasks JOIN nearer ON nearer.task_id = tasks.id
        WHERE tasks.status = 'queued' ORDER BY tasks.id FOR UPDATE OF tasks
    )
    UPDATE tasks SET
        waits_for = waits_for - locked.number,
        is_held = waits_for > locked.number OR run_after > clock_timestamp()
    FROM locked WHERE tasks.id = locked.id
    RETURNING tasks.is_held
""").bindparams(bindparam("ended", type_=ARRAY(Uuid)))


class TaskRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, task: Task) -> None:
        """Queued only if the surrounding transaction commits."""
        self._session.add(task)

    async def get(self, task_id: UUID) -> Task | None:
        return await self._session.get(Task, task_id, populate_existing=True)

    async def get_unfinished(self, serial_key: str) -> Task | None:
        """The task that is under way, or waits, under this key; the oldest of several."""
        query = select(Task).where(Task.serial_key == serial_key, Task.status.in_(UNFINISHED))
        return (await self._session.scalars(query.order_by(Task.id).limit(1))).one_or_none()

    async def get_visible(self, actor: Principal, task_id: UUID) -> Task | None:
        rows = await self._session.scalars(self._visible_to(actor).where(Task.id == task_id))
        return rows.one_or_none()

    async def list_visible(
        self,
        actor: Principal,
        *,
        project_id: UUID | None,
        status: str | None,
        task_type: str | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Task]:
        query = _narrowed(self._visible_to(actor), project_id=project_id, status=status, task_type=task_type)
        return await newest_first(self._session, query, Task, before=before, limit=limit)

    async def list_all(
        self,
        *,
        project_id: UUID | None,
        status: str | None,
        task_type: str | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Task]:
        """For admins: of all projects, the internal ones, too; the newest first."""
        query = _narrowed(select(Task), project_id=project_id, status=status, task_type=task_type)
        return await newest_first(self._session, query, Task, before=before, limit=limit)

    async def list_active(self, project_id: UUID) -> Sequence[Task]:
        """What runs or waits in a project, internal work apart; the oldest first."""
        query = select(Task).where(Task.project_id == project_id, Task.status.in_(UNFINISHED), ~Task.is_internal)
        return (await self._session.scalars(query.order_by(Task.id))).all()

    async def list_unfinished_ids(self, serial_key: str) -> Sequence[UUID]:
        query = select(Task.id).where(Task.serial_key == serial_key, Task.status.in_(UNFINISHED))
        return (await self._session.scalars(query)).all()

    async def count_unfinished(self, serial_key: str) -> int:
        query = select(func.count()).where(Task.serial_key == serial_key, Task.status.in_(UNFINISHED))
        return await self._session.scalar(query) or 0

    async def request_cancel(self, task_ids: Sequence[UUID]) -> Sequence[Task]:
        """End those that nobody works on yet, and mark the others for their holders; the unfinished tasks found."""
        is_queued = Task.status == TaskStatus.QUEUED
        return await self._update(
            Task.id.in_(task_ids),
            Task.status.in_(UNFINISHED),
            cancel_requested=True,
            status=case((is_queued, TaskStatus.CANCELLED), else_=Task.status),
            finished_at=case((is_queued, CLOCK)),
            is_held=False,
        )

    async def restart(self, task_id: UUID, *, waits_for: int) -> Task | None:
        """Queue a task that has failed or was cancelled as if it were new, but for the steps that it has finished.

        None when it is not such a task.
        """
        ended = Task.status.in_((TaskStatus.FAILED, TaskStatus.CANCELLED))
        values = {"status": TaskStatus.QUEUED, "attempts": 0, "cancel_requested": False, "error": None, "message": ""}
        values |= {"started_at": None, "finished_at": None, "leased_until": None, "run_after": CLOCK}
        values |= {"waits_for": waits_for, "is_held": waits_for > 0}
        changed = await self._update(Task.id == task_id, ended, **values)
        return changed[0] if changed else None

    async def start_again(self, task_type: str) -> None:
        """Queue those that failed or were cancelled; for work that has to be done however often it fails."""
        ended = Task.status.in_((TaskStatus.FAILED, TaskStatus.CANCELLED))
        values = {"status": TaskStatus.QUEUED, "attempts": 0, "cancel_requested": False, "error": None}
        await self._update(Task.task_type == task_type, ended, finished_at=None, leased_until=None, **values)

    async def lock_predecessors(self, project_id: UUID, task_ids: Sequence[UUID]) -> Sequence[Task]:
        """Those of `task_ids` that are in the project, and from now on are waited for; they end after this transaction.

        In the order of their ids.
        """
        wanted = select(Task.id).where(Task.id.in_(task_ids), Task.project_id == project_id, ~Task.is_internal)
        locked = (await self._session.scalars(wanted.order_by(Task.id).with_for_update())).all()
        changed = await self._update(Task.id.in_(locked), is_awaited=True)
        return sorted(changed, key=lambda task: task.id)

    def add_dependency(self, task_id: UUID, after_id: UUID) -> None:
        self._session.add(TaskDependency(task_id=task_id, after_id=after_id))

    async def list_predecessor_ids(self, task_ids: Sequence[UUID]) -> Sequence[tuple[UUID, UUID]]:
        """Pairs of a task and one that it comes after."""
        query = select(TaskDependency.task_id, TaskDependency.after_id).where(TaskDependency.task_id.in_(task_ids))
        return [(row.task_id, row.after_id) for row in await self._session.execute(query)]

    async def release_followers(self, ended: Sequence[UUID]) -> bool:
        """Let those come nearer to their turn that wait for the tasks `ended`; whether one of them is free now."""
        released = await self._session.execute(_RELEASE_FOLLOWERS, {"ended": ended})
        return any(not row.is_held for row in released)

    async def end_followers(self, ended: UUID, status: str, error: Mapping[str, Any]) -> Sequence[Task]:
        """Those that wait for the task `ended`, which end as it did."""
        waiting = select(TaskDependency.task_id).where(TaskDependency.after_id == ended)
        return await self._update(
            Task.id.in_(waiting),
            Task.status == TaskStatus.QUEUED,
            status=status,
            error=dict(error),
            finished_at=CLOCK,
            is_held=False,
        )

    async def release_due(self) -> bool:
        """Let tasks into the line whose time has come; whether there were any."""
        due = select(Task.id).where(Task.is_held, Task.waits_for == 0, Task.run_after <= CLOCK)
        some = due.order_by(Task.run_after).limit(MOST_DUE)
        return bool(await self._update(Task.id.in_(taken(some)), is_held=False))

    async def forget_older_than(self, age: timedelta, internal_age: timedelta) -> bool:
        """Delete some that ended so long ago, or `internal_age` if no user ever saw them; whether there may be more."""
        limit = case((Task.is_internal, CLOCK - internal_age), else_=CLOCK - age)
        old = select(Task.id).where(Task.finished_at < limit).limit(MOST_FORGOTTEN)
        gone = delete(Task).where(Task.id.in_(taken(old))).returning(Task.id)
        options = {"synchronize_session": False}
        return len((await self._session.scalars(gone, execution_options=options)).all()) == MOST_FORGOTTEN

    async def check_backlog(self) -> None:
        """Nothing to say while somebody works, or nobody has to.

        Raises:
            ServiceUnavailable: work waits, and no worker has taken any of it.
        """
        working = exists().where(Task.status == TaskStatus.RUNNING, Task.leased_until > CLOCK)
        waiting = exists().where(_is_free(), Task.run_after < CLOCK - BACKLOG_PATIENCE)
        if await self._session.scalar(select(and_(waiting, ~working))):
            raise ServiceUnavailable("tasks wait, and no worker takes them")

    async def _update(self, *where: ColumnElement[bool], **values: Any) -> Sequence[Task]:
        statement = update(Task).where(*where).values(**values).returning(Task)
        options = {"synchronize_session": False, "populate_existing": True}
        return (await self._session.scalars(statement, execution_options=options)).all()

    def _visible_to(self, actor: Principal) -> Select[Task]:
        own = select(Member.project_id).where(Member.user_id == actor.user_id)
        return select(Task).where(Task.project_id.in_(own), ~Task.is_internal)


def _narrowed(
    query: Select[Task], *, project_id: UUID | None, status: str | None, task_type: str | None
) -> Select[Task]:
    same = {Task.project_id: project_id, Task.status: status, Task.task_type: task_type}
    return query.where(*(column == value for column, value in same.items() if value is not None))


def _is_free() -> ColumnElement[bool]:
    """Waiting for its time, or held by a worker that has not renewed its lease."""
    return or_(
        and_(Task.status == TaskStatus.QUEUED, ~Task.is_held, Task.run_after <= CLOCK),
        and_(Task.status == TaskStatus.RUNNING, Task.leased_until < CLOCK),
    )
