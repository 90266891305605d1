"""How much there is: numbers, never what it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, and_, case, column, func, literal, select, table
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import (
    UNFINISHED,
    Chunk,
    Document,
    Login,
    Member,
    Memory,
    Message,
    Model,
    Project,
    ProjectFile,
    Session,
    Task,
    TaskStatus,
    User,
    Webhook,
)

CLOCK = func.clock_timestamp()
COUNTED_EXACTLY = 10_000  # rows; of larger tables PostgreSQL's own estimate is taken


@dataclass(frozen=True, slots=True)
class UserCount:
    role: str
    is_active: bool
    count: int


@dataclass(frozen=True, slots=True)
class DocumentCount:
    """`bytes`: as they were uploaded."""

    status: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TasksInLine:
    """Of one type: how many could begin now, for how long the oldest of them could have, and how many run."""

    task_type: str
    waiting: int
    oldest_seconds: float
    running: int


@dataclass(frozen=True, slots=True)
class TaskCount:
    task_type: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of tables that grow large."""

    projects: int
    rooms: int
    passages: int
    messages: int


@dataclass(frozen=True, slots=True)
class Queue:
    """Tasks that wait and that are worked on; `oldest_age`: since the one that waits longest was queued."""

    waiting: int
    running: int
    oldest_age: timedelta | None


@dataclass(frozen=True, slots=True)
class ProjectCounts:
    """Of one project; numbers by status where there are such. `memories`: that are shared with it."""

    documents: Mapping[str, int]
    documents_bytes: int
    passages: int
    sessions: int
    messages: int
    tasks: Mapping[str, int]
    files: int
    files_bytes: int
    memories: int
    members: int
    webhooks: int


class StatisticsRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count_users(self) -> Sequence[UserCount]:
        query = select(User.role, User.is_active, func.count()).group_by(User.role, User.is_active)
        rows = await self._session.execute(query.order_by(User.role, User.is_active.desc()))
        return [UserCount(*row) for row in rows]

    async def count_documents(self) -> Sequence[DocumentCount]:
        query = select(Document.status, func.count(), func.sum(Document.size)).group_by(Document.status)
        rows = await self._session.execute(query.order_by(Document.status))
        return [DocumentCount(status, count, int(size)) for status, count, size in rows]

    async def count_tasks(self) -> Sequence[TaskCount]:
        query = select(Task.task_type, Task.status, func.count()).group_by(Task.task_type, Task.status)
        rows = await self._session.execute(query.order_by(Task.task_type, Task.status))
        return [TaskCount(*row) for row in rows]

    async def tasks_in_line(self) -> Sequence[TasksInLine]:
        """What has not ended, by type; tasks that wait for their time or for others are not counted."""
        is_waiting = and_(Task.status == TaskStatus.QUEUED, Task.run_after <= CLOCK)
        oldest = func.extract("epoch", CLOCK - func.min(Task.run_after).filter(is_waiting))
        counts = func.count().filter(is_waiting), func.count().filter(Task.status == TaskStatus.RUNNING)
        query = select(Task.task_type, oldest, *counts).where(Task.status.in_(UNFINISHED), ~Task.is_held)
        rows = await self._session.execute(query.group_by(Task.task_type))
        return [TasksInLine(name, waiting, float(age or 0), running) for name, age, waiting, running in rows]

    async def count_large(self) -> Sizes:
        """Exactly as long as they are small."""
        counts = [_count_up_to(entity).scalar_subquery() for entity in (Project, Session, Chunk, Message)]
        return Sizes(*(await self._session.execute(select(*counts))).one())

    async def count_project(self, project_id: UUID) -> ProjectCounts:
        """By the indexes over projects."""
        documents = select(Document.status, func.count(), func.coalesce(func.sum(Document.size), 0))
        rows = await self._session.execute(documents.where(Document.project_id == project_id).group_by(Document.status))
        by_status = {status: (count, int(size)) for status, count, size in rows}
        tasks = select(Task.status, func.count().label("number")).where(
            Task.project_id == project_id, ~Task.is_internal
        )
        grouped = await self._session.execute(tasks.group_by(Task.status))
        said = select(func.count()).select_from(Message).join(Session, Session.id == Message.session_id)
        counts = [
            said.where(Session.project_id == project_id, Message.deleted_at.is_(None)).scalar_subquery().label("said"),
            *(
                select(func.count())
                .where(entity.project_id == project_id)
                .scalar_subquery()
                .label(entity.__tablename__)
                for entity in (Chunk, Session, ProjectFile, Memory, Member, Webhook)
            ),
            select(func.coalesce(func.sum(ProjectFile.size), 0))
            .where(ProjectFile.project_id == project_id)
            .scalar_subquery()
            .label("files_bytes"),
        ]
        found = (await self._session.execute(select(*counts))).one()
        return ProjectCounts(
            documents={status: count for status, (count, _) in by_status.items()},
            documents_bytes=sum(size for _, size in by_status.values()),
            passages=found.chunks,
            sessions=found.sessions,
            messages=found.said,
            tasks={row.status: row.number for row in grouped},
            files=found.project_files,
            files_bytes=int(found.files_bytes),
            memories=found.memories,
            members=found.members,
            webhooks=found.webhooks,
        )

    async def get_queue(self) -> Queue:
        waiting = Task.status == TaskStatus.QUEUED
        oldest = func.clock_timestamp() - func.min(Task.created_at).filter(waiting)
        query = select(func.count().filter(waiting), func.count().filter(~waiting), oldest)
        return Queue(*(await self._session.execute(query.where(Task.status.in_(UNFINISHED)))).one())

    async def count_logins(self, within: timedelta) -> int:
        """Begun within this time; those that ended a week ago are forgotten."""
        query = select(func.count()).select_from(Login).where(Login.created_at > func.clock_timestamp() - within)
        return (await self._session.execute(query)).scalar_one()


def _count_up_to(entity: type[Model]) -> Select[int]:
    few = select(literal(1)).select_from(entity).limit(COUNTED_EXACTLY + 1).subquery()
    counted = select(func.count().label("rows")).select_from(few).subquery()
    classes = table("pg_class", column("oid"), column("reltuples"))
    name = func.to_regclass(entity.__tablename__)
    estimate = select(func.round(classes.c.reltuples)).where(classes.c.oid == name).scalar_subquery()
    exact = counted.c.rows <= COUNTED_EXACTLY
    return select(case((exact, counted.c.rows), else_=func.greatest(counted.c.rows, estimate)))
