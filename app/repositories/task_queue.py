"""The queue of long-running work, as workers take it; `tasks.py` is what users see of it. One row is both.

A worker *holds* a task for a lease that it renews. `fence` rises with every lease and never falls, so it keeps out a
worker that was thought dead: all that a holder writes is `WHERE fence = :fence AND status = 'running'`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, case, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Float, Integer, String, Text, Uuid

from app.models import Task, TaskStatus

CANDIDATES = 16  # that other workers may be taking at the same moment
REMEMBERED_FAILURES = 10
CLOCK = func.clock_timestamp()  # the database's clock: workers need not agree on the time

# The first few tasks of each project that has any (found by hopping through the index from project to project), of
# these the best, and of these the first that no other worker is taking at this moment. A task is free when it waits and
# its time has come, or when its worker has not renewed its lease; of tasks with one serial key only the oldest is, also
# while it waits for another try. What was free in the statement's snapshot may be taken by now, so the locked row is
# asked again.
#
# `turn` is what makes it fair: how much of a project runs, ran lately at this worker (`shares`), or stands before this
# task. Of a type with a cap, every running task has a place with a number; two workers that give the same place to
# different tasks meet in a unique index, and one of them begins anew.
LEASE = text("""
    WITH RECURSIVE kind AS (
        SELECT asked.task_type, asked.room, asked.cap, asked.cap IS NULL OR asked.cap > (
            SELECT count(*) FROM tasks WHERE tasks.task_type = asked.task_type AND status = 'running'
        ) AS is_open
        FROM unnest(:task_types, :rooms, :caps) AS asked (task_type, room, cap)
    ), waiting (project_id) AS (
        (
            SELECT project_id FROM tasks WHERE status IN ('queued', 'running') AND NOT is_held
            ORDER BY project_id LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT project_id FROM tasks
            WHERE status IN ('queued', 'running') AND NOT is_held AND project_id > waiting.project_id
            ORDER BY project_id LIMIT 1
        )
        FROM waiting WHERE waiting.project_id IS NOT NULL
    ), busy AS (
        SELECT project_id, sum(share) AS share FROM (
            SELECT project_id, count(*) AS share FROM tasks WHERE status = 'running' GROUP BY project_id
            UNION ALL SELECT * FROM unnest(:projects, :shares) AS given (project_id, share)
        ) AS shares GROUP BY project_id
    ), free AS (
        SELECT
            candidate.*,
            coalesce(busy.share, 0)
                + row_number() OVER (PARTITION BY waiting.project_id ORDER BY candidate.priority DESC, candidate.id)
                AS turn
        FROM waiting LEFT JOIN busy ON busy.project_id = waiting.project_id CROSS JOIN LATERAL (
            SELECT task.id, task.task_type, task.priority, task.status = 'running' AS is_orphan
            FROM tasks AS task
            WHERE task.project_id = waiting.project_id
                AND task.status IN ('queued', 'running')
                AND NOT task.is_held
                AND task.task_type = ANY (:task_types)
                AND (
                    task.status = 'queued' AND task.run_after <= clock_timestamp()
                        AND (SELECT is_open FROM kind WHERE kind.task_type = task.task_type)
                    OR task.status = 'running' AND task.leased_until < clock_timestamp()
                )
                AND (task.serial_key IS NULL OR NOT EXISTS (
                    SELECT FROM tasks AS other
                    WHERE other.serial_key = task.serial_key
                        AND other.status IN ('queued', 'running')
                        AND other.id <> task.id
                        AND (other.status = 'running' OR other.id < task.id)
                ))
            ORDER BY task.priority DESC, task.id
            LIMIT :candidates
        ) AS candidate
    ), best AS (
        SELECT * FROM free ORDER BY priority DESC, is_orphan DESC, turn, id LIMIT :candidates
    ), locked AS (
        SELECT tasks.id, tasks.task_type, tasks.place, tasks.status, best.priority, best.is_orphan, best.turn
        FROM best JOIN tasks ON tasks.id = best.id
        WHERE tasks.status = 'queued' OR tasks.status = 'running' AND tasks.leased_until < clock_timestamp()
        ORDER BY best.priority DESC, best.is_orphan DESC, best.turn, best.id
        LIMIT :most
        FOR UPDATE OF tasks SKIP LOCKED
    ), ranked AS (
        SELECT
            locked.*,
            row_number() OVER (
                PARTITION BY task_type ORDER BY priority DESC, is_orphan DESC, turn, id
            ) AS number,
            row_number() OVER (
                PARTITION BY task_type, status = 'queued' ORDER BY priority DESC, turn, id
            ) AS number_of_new
        FROM locked
    ), places AS (
        SELECT kind.task_type, spot.place, row_number() OVER (PARTITION BY kind.task_type ORDER BY spot.place) AS number
        FROM kind CROSS JOIN LATERAL generate_series(1, kind.cap) AS spot (place)
        WHERE NOT EXISTS (
            SELECT FROM tasks AS other
            WHERE other.task_type = kind.task_type AND other.place = spot.place AND other.status = 'running'
        )
    ), chosen AS (
        SELECT ranked.id, CASE WHEN ranked.status = 'running' THEN ranked.place ELSE places.place END AS place
        FROM ranked
        JOIN kind ON kind.task_type = ranked.task_type
        LEFT JOIN places ON places.task_type = ranked.task_type AND places.number = ranked.number_of_new
        WHERE ranked.number <= kind.room
            AND (kind.cap IS NULL OR ranked.status = 'running' OR places.place IS NOT NULL)
    )
    UPDATE tasks SET
        failures = CASE WHEN status = 'queued' THEN failures ELSE failures || jsonb_build_object(
            'attempt', attempts, 'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'code', 'WORKER_LOST', 'message', 'The worker stopped unexpectedly.'
        ) END,
        status = 'running',
        attempts = attempts + 1,
        fence = fence + 1,
        place = chosen.place,
        leased_until = clock_timestamp() + :lease,
        started_at = coalesce(started_at, clock_timestamp()),
        updated_at = clock_timestamp()
    FROM chosen WHERE tasks.id = chosen.id
    RETURNING tasks.*
""").bindparams(
    bindparam("task_types", type_=ARRAY(String)),
    bindparam("rooms", type_=ARRAY(Integer)),
    bindparam("caps", type_=ARRAY(Integer)),
    bindparam("projects", type_=ARRAY(Uuid)),
    bindparam("shares", type_=ARRAY(Float)),
)

# A row that is locked at this moment is not waited for, and counts as ours: while its holder ends it in a long
# transaction nobody else can lease it, and the leases on the others must not run out meanwhile.
RENEW = text("""
    WITH held AS (
        SELECT tasks.id, tasks.cancel_requested
        FROM tasks JOIN unnest(:task_ids, :fences) AS ours (task_id, fence)
            ON tasks.id = ours.task_id AND tasks.fence = ours.fence AND tasks.status = 'running'
    ), free AS (
        SELECT id FROM tasks WHERE id IN (SELECT id FROM held) FOR NO KEY UPDATE SKIP LOCKED
    ), renewed AS (
        UPDATE tasks SET leased_until = clock_timestamp() + :lease WHERE id IN (SELECT id FROM free)
    )
    SELECT id, cancel_requested FROM held
""").bindparams(bindparam("task_ids", type_=ARRAY(Uuid)), bindparam("fences", type_=ARRAY(Integer)))

# Locked in the order of their ids, as everywhere that several are changed at once.
SUCCEED = text("""
    WITH ours AS (
        SELECT * FROM unnest(:task_ids, :fences, :results) AS ours (task_id, fence, result)
    ), held AS (
        SELECT tasks.id, ours.result
        FROM tasks JOIN ours ON tasks.id = ours.task_id AND tasks.fence = ours.fence AND tasks.status = 'running'
        ORDER BY tasks.id FOR UPDATE OF tasks
    )
    UPDATE tasks SET
        status = 'succeeded', result = held.result::jsonb, progress = 1, message = '', steps = '{}',
        leased_until = NULL, finished_at = clock_timestamp(), updated_at = clock_timestamp()
    FROM held WHERE tasks.id = held.id
    RETURNING tasks.*
""").bindparams(
    bindparam("task_ids", type_=ARRAY(Uuid)),
    bindparam("fences", type_=ARRAY(Integer)),
    bindparam("results", type_=ARRAY(Text)),
)


@dataclass(frozen=True, slots=True)
class Report:
    """How far a task is: `progress` from 0 to 1, and what goes on in words."""

    progress: float
    message: str
    preview_url: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How many more tasks of a type could start at a worker, and how many may run in all (None: any number)."""

    free: int
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """A task that has done its work; `result` is a JSON text."""

    task_id: UUID
    fence: int
    result: str


class TaskQueue:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lease(
        self, rooms: Mapping[str, Room], lease: timedelta, *, most: int, shares: Mapping[UUID, float]
    ) -> Sequence[Task]:
        """Take up to `most` tasks of the types `rooms` for `lease`; a worker that dies gives them back by then.

        The most urgent `priority` first, then what a dead worker left, then projects of which the least runs and ran
        (`shares`: how much lately), then the oldest. Of tasks with the same `serial_key` only the oldest may run.

        Raises:
            sqlalchemy.exc.IntegrityError: another worker took a task with the same `serial_key`, or the same place
                among those of a type with a cap, at this very moment.
        """
        values = {
            "task_types": list(rooms),
            "rooms": [room.free for room in rooms.values()],
            "caps": [room.cap for room in rooms.values()],
            "projects": list(shares),
            "shares": list(shares.values()),
            "lease": lease,
            "most": most,
            "candidates": CANDIDATES + most,
        }
        leased = select(Task).from_statement(LEASE)
        rows = await self._session.scalars(leased, values, execution_options={"populate_existing": True})
        return rows.all()

    async def renew(self, held: Mapping[UUID, int], lease: timedelta) -> dict[UUID, bool]:
        """Renew the leases on `held` (fence by task); those that are still ours, and whether a stop is wanted."""
        values = {"task_ids": list(held), "fences": list(held.values()), "lease": lease}
        return {row.id: row.cancel_requested for row in await self._session.execute(RENEW, values)}

    async def hold(self, task_id: UUID, fence: int) -> bool:
        """Whether the task is still this holder's; if so, it stays that until this transaction ends."""
        query = select(Task.id).where(*_held(task_id, fence)).with_for_update(read=True)
        return (await self._session.scalars(query)).one_or_none() is not None

    async def set_progress(self, task_id: UUID, fence: int, report: Report) -> bool:
        """Whether the task is still this holder's."""
        values = {"progress": report.progress, "message": report.message, "preview_url": report.preview_url}
        return await self._update(*_held(task_id, fence), **values) is not None

    async def finish_step(self, task_id: UUID, fence: int, step: str, result: Any) -> bool:
        """Keep what a step came to, for the next attempt. Whether the task is still this holder's."""
        finished = func.jsonb_build_object(bindparam("step", step, String), bindparam("result", result, JSONB))
        return await self._update(*_held(task_id, fence), steps=Task.steps.op("||")(finished)) is not None

    async def succeed(self, endings: Sequence[Ending]) -> Sequence[Task]:
        """The tasks that have ended; what is no longer its holder's is not among them."""
        values = {
            "task_ids": [ending.task_id for ending in endings],
            "fences": [ending.fence for ending in endings],
            "results": [ending.result for ending in endings],
        }
        ended = select(Task).from_statement(SUCCEED)
        rows = await self._session.scalars(ended, values, execution_options={"populate_existing": True})
        return rows.all()

    async def fail(self, task_id: UUID, fence: int, error: Mapping[str, Any]) -> Task | None:
        """The task, failed or, if that was asked for, cancelled; None when it is no longer this holder's."""
        status = case((Task.cancel_requested, TaskStatus.CANCELLED), else_=TaskStatus.FAILED)
        values = {"status": status, "error": dict(error), "leased_until": None, "finished_at": CLOCK}
        return await self._update(*_held(task_id, fence), **values)

    async def retry(
        self, task_id: UUID, fence: int, *, after: timedelta, message: str, failure: Mapping[str, Any]
    ) -> Task | None:
        """Queue it again for a later time; None when it is no longer this holder's."""
        values = {"status": TaskStatus.QUEUED, "leased_until": None, "run_after": CLOCK + after, "message": message}
        return await self._update(*_held(task_id, fence), failures=_with_failure(failure), **values)

    async def hand_back(self, task_id: UUID, fence: int) -> Task | None:
        """Queue it again at once and forget this attempt; only for a holder that has stopped working on it."""
        values = {"status": TaskStatus.QUEUED, "leased_until": None, "attempts": Task.attempts - 1}
        return await self._update(*_held(task_id, fence), **values)

    async def _update(self, *where: ColumnElement[bool], **values: Any) -> Task | None:
        statement = update(Task).where(*where).values(**values).returning(Task)
        options = {"synchronize_session": False, "populate_existing": True}
        return (await self._session.scalars(statement, execution_options=options)).one_or_none()


def _held(task_id: UUID, fence: int) -> tuple[ColumnElement[bool], ...]:
    return Task.id == task_id, Task.fence == fence, Task.status == TaskStatus.RUNNING


def _with_failure(failure: Mapping[str, Any]) -> ColumnElement[Any]:
    """The last few failures; the oldest makes room."""
    is_full = func.jsonb_array_length(Task.failures) >= REMEMBERED_FAILURES
    kept = case((is_full, Task.failures.op("-")(0)), else_=Task.failures)
    return kept.op("||")(bindparam("failure", dict(failure), JSONB))
