"""Files of projects by their paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Member, ProjectFile
from app.permissions import Principal


@dataclass(frozen=True, slots=True)
class Usage:
    count: int
    bytes: int


class FileRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, file: ProjectFile) -> None:
        self._session.add(file)

    async def get(self, project_id: UUID, path: str) -> ProjectFile | None:
        query = select(ProjectFile).where(ProjectFile.project_id == project_id, ProjectFile.path == path)
        return await self._session.scalar(query)

    async def get_visible(self, actor: Principal, project_id: UUID, path: str) -> ProjectFile | None:
        query = select(ProjectFile).join(Member, Member.project_id == ProjectFile.project_id)
        one = query.where(ProjectFile.project_id == project_id, ProjectFile.path == path)
        return await self._session.scalar(one.where(Member.user_id == actor.user_id))

    async def list(
        self, project_id: UUID, *, prefix: str = "", after: str | None = None, limit: int
    ) -> Sequence[ProjectFile]:
        """In the order of the paths' bytes."""
        query = select(ProjectFile).where(ProjectFile.project_id == project_id)
        if prefix:
            query = query.where(ProjectFile.path.startswith(prefix, autoescape=True))
        if after is not None:
            query = query.where(ProjectFile.path > after)
        return (await self._session.scalars(query.order_by(ProjectFile.path).limit(limit))).all()

    async def get_usage(self, project_id: UUID) -> Usage:
        query = select(func.count(), func.coalesce(func.sum(ProjectFile.size), 0))
        count, size = (await self._session.execute(query.where(ProjectFile.project_id == project_id))).one()
        return Usage(count, int(size))

    async def find_obstacle(self, project_id: UUID, path: str) -> str | None:
        """A file where `path` has a folder, or one in a folder that is called `path`: no system can have both."""
        names = path.split("/")
        folders = ["/".join(names[:depth]) for depth in range(1, len(names))]
        inside = ProjectFile.path.startswith(f"{path}/", autoescape=True)
        query = select(ProjectFile.path).where(ProjectFile.project_id == project_id)
        return await self._session.scalar(query.where(or_(ProjectFile.path.in_(folders), inside)).limit(1))

    async def delete(self, file: ProjectFile) -> None:
        await self._session.delete(file)

    async def delete_some(self, project_id: UUID, *, limit: int) -> Sequence[str]:
        """Of a project that goes as a whole; what their bytes are called."""
        some = select(ProjectFile.id).where(ProjectFile.project_id == project_id).limit(limit)
        gone = delete(ProjectFile).where(ProjectFile.id.in_(some)).returning(ProjectFile.sha256)
        return (await self._session.scalars(gone, execution_options={"synchronize_session": False})).all()
