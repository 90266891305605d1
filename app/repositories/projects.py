"""Projects and their members. A project is visible to its members, and to nobody else."""

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Row, Select, delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_expression

from app.errors import ProjectArchived
from app.models import Channel, Member, Project, Session, User
from app.permissions import Principal, ProjectRole
from app.repositories.pages import newest_first

MemberRow: TypeAlias = Row[UUID, UUID, str, str | None, str]
"""`id`, `user_id` (the same), `name`, `email`, `role`."""


class ProjectRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, project: Project) -> None:
        self._session.add(project)

    async def get_visible(self, actor: Principal, project_id: UUID) -> Project | None:
        """With the actor's `role`."""
        return await self._session.scalar(_visible_to(actor.user_id).where(Project.id == project_id))

    async def lock_visible(self, actor: Principal, project_id: UUID) -> Project | None:
        """The same, kept from changing until the transaction ends; its members change under this lock only."""
        await self._session.execute(select(Project.id).where(Project.id == project_id).with_for_update())
        return await self.get_visible(actor, project_id)  # asked again, so that the role is the one after the wait

    async def list_visible(
        self, actor: Principal, *, is_archived: bool | None = None, before: UUID | None, limit: int
    ) -> Sequence[Project]:
        query = _visible_to(actor.user_id)
        if is_archived is not None:
            query = query.where(Project.archived_at.is_not(None) if is_archived else Project.archived_at.is_(None))
        return await newest_first(self._session, query, Project, before=before, limit=limit)

    async def list_visible_named(self, actor: Principal, name: str, *, limit: int) -> Sequence[Project]:
        """Those with just this name, the newest first."""
        named = _visible_to(actor.user_id).where(Project.name == name)
        return (await self._session.scalars(named.order_by(Project.id.desc()).limit(limit))).all()

    async def get_visible_or_default(self, actor: Principal, project_id: UUID | None) -> Project | None:
        """The project, or without an id the actor's own default project; with the actor's `role`."""
        if project_id is not None:
            return await self.get_visible(actor, project_id)
        default = Project.is_default & (Project.owner_id == actor.user_id)
        return await self._session.scalar(_visible_to(actor.user_id).where(default))

    async def get_default(self, user_id: UUID) -> Project:
        """Every account has one; guests have none."""
        query = select(Project).where(Project.owner_id == user_id, Project.is_default)
        return (await self._session.scalars(query)).one()

    async def get_role(self, user_id: UUID, project_id: UUID) -> ProjectRole | None:
        query = select(Member.role).where(Member.project_id == project_id, Member.user_id == user_id)
        role = await self._session.scalar(query)
        return None if role is None else ProjectRole(role)

    async def get_editing_role(self, user_id: UUID, project_id: UUID) -> ProjectRole | None:
        """The same, before something in the project is changed. Raises ProjectArchived: nothing is."""
        query = select(Member.role, Project.archived_at).join(Project, Project.id == Member.project_id)
        found = await self._session.execute(query.where(Project.id == project_id, Member.user_id == user_id))
        row = found.one_or_none()
        if row is not None and row.archived_at is not None:
            raise ProjectArchived(project_id)
        return None if row is None else ProjectRole(row.role)

    async def delete(self, project: Project) -> None:
        """With all that belongs to it, the logs of its rooms included."""
        rooms = select(Session.id).where(Session.project_id == project.id)
        await self._session.execute(
            delete(Channel)
            .where(or_(Channel.id == project.id, Channel.id.in_(rooms)))
            .execution_options(synchronize_session=False)
        )
        await self._session.delete(project)

    async def set_member(self, project_id: UUID, user_id: UUID, role: ProjectRole) -> None:
        """Add somebody, or change their role."""
        query = insert(Member).values(project_id=project_id, user_id=user_id, role=role)
        await self._session.execute(
            query.on_conflict_do_update(index_elements=["project_id", "user_id"], set_={"role": role})
        )

    async def remove_member(self, project_id: UUID, user_id: UUID) -> None:
        await self._session.execute(delete(Member).where(Member.project_id == project_id, Member.user_id == user_id))

    async def list_members(self, project_id: UUID, *, before: UUID | None, limit: int) -> Sequence[MemberRow]:
        """The newest account first."""
        query = (
            select(User.id, User.id.label("user_id"), User.name, User.email, Member.role)
            .join(Member, Member.user_id == User.id)
            .where(Member.project_id == project_id)
            .order_by(User.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(User.id < before)
        return (await self._session.execute(query)).all()

    async def get_member_id(self, project_id: UUID) -> UUID | None:
        """Somebody who may see the project."""
        query = select(Member.user_id).where(Member.project_id == project_id)
        return await self._session.scalar(query.order_by(Member.user_id).limit(1))

    async def get_other_owner(self, project_id: UUID, user_id: UUID) -> UUID | None:
        """An owner who is not `user_id`."""
        query = select(Member.user_id).where(
            Member.project_id == project_id, Member.user_id != user_id, Member.role == ProjectRole.OWNER
        )
        return await self._session.scalar(query.order_by(Member.user_id).limit(1))


def _visible_to(user_id: UUID) -> Select[Project]:
    membership = (Member.project_id == Project.id) & (Member.user_id == user_id)
    return select(Project).join(Member, membership).options(with_expression(Project.role, Member.role))
