"""The queue of long-running work, which is also what users see of it: one row is both.

A worker *holds* a task for a lease that it renews. `attempts` rises with every lease, so it fences out a worker that
was thought dead: all that a holder writes is `WHERE attempts = :attempt AND status = 'running'`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Integer, String, Uuid

from app.errors import ServiceUnavailable
from app.models import UNFINISHED, Member, Task, TaskStatus
from app.permissions import Principal
from app.repositories.pages import newest_first

CANDIDATES = 16  # so many workers may take a task at the same moment
BACKLOG_PATIENCE = timedelta(seconds=30)
CLOCK = func.clock_timestamp()  # the database's clock: workers need not agree on the time

# The first few tasks of each project that has any (found by hopping through the index from project to project), of
# these the best, and of these the first that no other worker is taking at this moment. A task is free when it waits and
# its time has come, or when its worker has not renewed its lease; of tasks with one serial key only the oldest is, also
# while it waits for another try. What was free in the statement's snapshot may be taken by now, so the locked row is
# asked again.
LEASE = text("""
    WITH RECURSIVE waiting (project_id) AS (
        (SELECT project_id FROM tasks WHERE status IN ('queued', 'running') ORDER BY project_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT project_id FROM tasks
            WHERE status IN ('queued', 'running') AND project_id > waiting.project_id
            ORDER BY project_id LIMIT 1
        )
        FROM waiting WHERE waiting.project_id IS NOT NULL
    ), busy AS (
        SELECT project_id, count(*) AS running FROM tasks WHERE status = 'running' GROUP BY project_id
    ), best AS (
        SELECT candidate.id, candidate.priority, coalesce(busy.running, 0) AS running
        FROM waiting LEFT JOIN busy ON busy.project_id = waiting.project_id CROSS JOIN LATERAL (
            SELECT task.id, task.priority FROM tasks AS task
            WHERE task.project_id = waiting.project_id
                AND task.status IN ('queued', 'running')
                AND task.task_type = ANY (:task_types)
                AND (
                    task.status = 'queued' AND task.run_after <= clock_timestamp()
                    OR task.status = 'running' AND task.leased_until < clock_timestamp()
                )
                AND NOT EXISTS (
                    SELECT FROM tasks AS other
                    WHERE other.serial_key = task.serial_key
                        AND other.status IN ('queued', 'running')
                        AND other.id <> task.id
                        AND (other.status = 'running' OR other.id < task.id)
                )
            ORDER BY task.priority DESC, task.id
            LIMIT :candidates
        ) AS candidate
        ORDER BY candidate.priority DESC, running, candidate.id
        LIMIT :candidates
    ), chosen AS (
        SELECT tasks.id FROM best JOIN tasks ON tasks.id = best.id
        WHERE tasks.status = 'queued' OR tasks.status = 'running' AND tasks.leased_until < clock_timestamp()
        ORDER BY best.priority DESC, best.running, best.id
        LIMIT 1
        FOR UPDATE OF tasks SKIP LOCKED
    )
    UPDATE tasks SET
        status = 'running',
        attempts = attempts + 1,
        leased_until = clock_timestamp() + :lease,
        started_at = coalesce(started_at, clock_timestamp()),
        updated_at = clock_timestamp()
    WHERE id = (SELECT id FROM chosen)
    RETURNING *
""").bindparams(bindparam("task_types", type_=ARRAY(String)))

# A row that is locked at this moment is not waited for, and counts as ours: while its holder ends it in a long
# transaction nobody else can lease it, and the leases on the others must not run out meanwhile.
RENEW = text("""
    WITH held AS (
        SELECT tasks.id, tasks.cancel_requested
        FROM tasks JOIN unnest(:task_ids, :attempts) AS ours (task_id, attempt)
            ON tasks.id = ours.task_id AND tasks.attempts = ours.attempt AND tasks.status = 'running'
    ), free AS (
        SELECT id FROM tasks WHERE id IN (SELECT id FROM held) FOR NO KEY UPDATE SKIP LOCKED
    ), renewed AS (
        UPDATE tasks SET leased_until = clock_timestamp() + :lease WHERE id IN (SELECT id FROM free)
    )
    SELECT id, cancel_requested FROM held
""").bindparams(bindparam("task_ids", type_=ARRAY(Uuid)), bindparam("attempts", type_=ARRAY(Integer)))


@dataclass(frozen=True, slots=True)
class Report:
    """How far a task is: `progress` from 0 to 1, and what goes on in words."""

    progress: float
    message: str
    preview_url: str | None = None


class TaskRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    # --- for everybody ---

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
        )

    async def start_again(self, task_type: str) -> None:
        """Queue those that failed or were cancelled; for work that has to be done however often it fails."""
        ended = Task.status.in_((TaskStatus.FAILED, TaskStatus.CANCELLED))
        values = {"status": TaskStatus.QUEUED, "attempts": 0, "cancel_requested": False, "error": None}
        await self._update(Task.task_type == task_type, ended, finished_at=None, leased_until=None, **values)

    async def forget_internal_older_than(self, age: timedelta) -> None:
        """Delete finished tasks that no user ever saw."""
        old = (Task.is_internal, Task.finished_at < CLOCK - age)
        await self._session.execute(delete(Task).where(*old), execution_options={"synchronize_session": False})

    async def check_backlog(self) -> None:
        """Nothing to say while somebody works, or nobody has to.

        Raises:
            ServiceUnavailable: work waits, and no worker has taken any of it.
        """
        working = exists().where(Task.status == TaskStatus.RUNNING, Task.leased_until > CLOCK)
        waiting = exists().where(_is_free(), Task.run_after < CLOCK - BACKLOG_PATIENCE)
        if await self._session.scalar(select(and_(waiting, ~working))):
            raise ServiceUnavailable("tasks wait, and no worker takes them")

    # --- for workers ---

    async def lease(self, task_types: Sequence[str], lease: timedelta) -> Task | None:
        """Take the next task of one of these types for `lease`; a worker that dies gives it back by then.

        The most urgent `priority` first, then projects with the least running, then the oldest. Of tasks with the same
        `serial_key` only the oldest may run.

        Raises:
            sqlalchemy.exc.IntegrityError: another worker took a task with the same `serial_key` at this very moment.
        """
        values = {"task_types": list(task_types), "lease": lease, "candidates": CANDIDATES}
        leased = select(Task).from_statement(LEASE)
        rows = await self._session.scalars(leased, values, execution_options={"populate_existing": True})
        return rows.one_or_none()

    async def renew(self, held: Mapping[UUID, int], lease: timedelta) -> dict[UUID, bool]:
        """Renew the leases on `held` (attempt by task); those that are still ours, and whether a stop is wanted."""
        values = {"task_ids": list(held), "attempts": list(held.values()), "lease": lease}
        return {row.id: row.cancel_requested for row in await self._session.execute(RENEW, values)}

    async def hold(self, task_id: UUID, attempt: int) -> bool:
        """Whether the task is still this holder's; if so, it stays that until this transaction ends."""
        query = select(Task.id).where(*_held(task_id, attempt)).with_for_update(read=True)
        return (await self._session.scalars(query)).one_or_none() is not None

    async def set_progress(self, task_id: UUID, attempt: int, report: Report) -> bool:
        """Whether the task is still this holder's."""
        values = {"progress": report.progress, "message": report.message, "preview_url": report.preview_url}
        return bool(await self._update(*_held(task_id, attempt), **values))

    async def succeed(self, task_id: UUID, attempt: int, result: Mapping[str, Any]) -> Task | None:
        """The finished task; None when it is no longer this holder's."""
        values = {"status": TaskStatus.SUCCEEDED, "result": dict(result), "progress": 1.0, "message": ""}
        return await self._end(task_id, attempt, **values)

    async def fail(self, task_id: UUID, attempt: int, error: Mapping[str, Any]) -> Task | None:
        """The task, failed or, if that was asked for, cancelled; None when it is no longer this holder's."""
        status = case((Task.cancel_requested, TaskStatus.CANCELLED), else_=TaskStatus.FAILED)
        return await self._end(task_id, attempt, status=status, error=dict(error))

    async def retry(self, task_id: UUID, attempt: int, *, after: timedelta, message: str) -> Task | None:
        """Queue it again for a later time; None when it is no longer this holder's."""
        values = {"status": TaskStatus.QUEUED, "leased_until": None, "run_after": CLOCK + after, "message": message}
        return await self._update_one(*_held(task_id, attempt), **values)

    async def hand_back(self, task_id: UUID, attempt: int) -> Task | None:
        """Queue it again at once and forget this attempt; only for a holder that has stopped working on it."""
        values = {"status": TaskStatus.QUEUED, "leased_until": None, "attempts": Task.attempts - 1}
        return await self._update_one(*_held(task_id, attempt), **values)

    async def _end(self, task_id: UUID, attempt: int, **values: Any) -> Task | None:
        return await self._update_one(*_held(task_id, attempt), leased_until=None, finished_at=CLOCK, **values)

    async def _update_one(self, *where: ColumnElement[bool], **values: Any) -> Task | None:
        changed = await self._update(*where, **values)
        return changed[0] if changed else None

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


def _held(task_id: UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return Task.id == task_id, Task.attempts == attempt, Task.status == TaskStatus.RUNNING


def _is_free() -> ColumnElement[bool]:
    """Waiting for its time, or held by a worker that has not renewed its lease."""
    return or_(
        and_(Task.status == TaskStatus.QUEUED, Task.run_after <= CLOCK),
        and_(Task.status == TaskStatus.RUNNING, Task.leased_until < CLOCK),
    )
