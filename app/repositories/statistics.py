"""How much there is: numbers, never what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Select, case, column, func, literal, select, table
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import UNFINISHED, Chunk, Document, Login, Message, Model, Project, Session, Task, TaskStatus, User

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

    async def count_large(self) -> Sizes:
        """Exactly as long as they are small."""
        counts = [_count_up_to(entity).scalar_subquery() for entity in (Project, Session, Chunk, Message)]
        return Sizes(*(await self._session.execute(select(*counts))).one())

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
