"""Projects, and with whom they are shared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from app.errors import Conflict, NotFound, PermissionDenied
from app.events import ProjectUpdated, utc_now
from app.models import AuditAction, Project, Session, User
from app.permissions import Action, Principal, ProjectRole, may
from app.realtime.project_state import ProjectStates
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.engine import is_deadlock
from app.repositories.projects import MemberRow
from app.repositories.statistics import ProjectCounts
from app.schemas.projects import MemberPut, ProjectCreate, ProjectUpdate
from app.services.audit import record_by
from app.services.sessions import session_updated
from app.services.versions import Versions, require_version

ATTEMPTS: Final = 3  # to delete what others are at work on


@dataclass(frozen=True, slots=True)
class Membership:
    """`is_new`: added by this very call."""

    user_id: UUID
    name: str
    email: str | None
    role: ProjectRole
    is_new: bool


async def add_project(uow: UnitOfWork, project: Project) -> None:
    """Store a new project with its log; its maker is its owner."""
    uow.projects.add(project)
    await uow.flush()
    uow.events.open(project.id)
    await uow.projects.set_member(project.id, project.owner_id, ProjectRole.OWNER)


class ProjectService:
    def __init__(self, uow: OpenUnitOfWork, states: ProjectStates) -> None:
        self._uow = uow
        self._states = states

    async def create(self, actor: Principal, data: ProjectCreate) -> Project:
        project = Project(owner_id=actor.user_id, name=data.name, description=data.description)
        async with self._uow() as uow:
            await add_project(uow, project)
            return await visible_project(uow, actor, project.id)

    async def get(self, actor: Principal, project_id: UUID) -> Project:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await visible_project(uow, actor, project_id)

    async def list(
        self, actor: Principal, *, is_archived: bool | None = None, before: UUID | None, limit: int
    ) -> Sequence[Project]:
        """The actor's own and those shared with it, the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.projects.list_visible(actor, is_archived=is_archived, before=before, limit=limit)

    async def update(
        self, actor: Principal, project_id: UUID, changes: ProjectUpdate, *, expected: Versions | None
    ) -> Project:
        """Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            project = await _owned(uow, actor, project_id)
            require_version(project, expected)
            if changes.name is not None:
                project.name = changes.name
            if changes.description is not None:
                project.description = changes.description
            await self._tell(uow, project, ())
            return await visible_project(uow, actor, project_id)  # a flush forgets the role, which is no column

    async def archive(self, actor: Principal, project_id: UUID) -> Project:
        """Let nothing in the project change any more, and close its rooms; what runs already goes on to its end.

        Raises:
            NotFound, PermissionDenied
            Conflict: it is somebody's default project.
        """
        async with self._uow() as uow:
            project = await _owned(uow, actor, project_id)
            if project.is_default:
                raise Conflict("The default project cannot be archived.", project_id=str(project_id))
            if project.archived_at is None:
                project.archived_at = utc_now()
                rooms = await uow.sessions.set_open(project_id, None, is_open=False)
                project.closed_rooms = [room.id for room in rooms]
                await self._tell(uow, project, rooms)
                _record(uow, actor, AuditAction.PROJECT_ARCHIVED, project_id)
            return await visible_project(uow, actor, project_id)

    async def unarchive(self, actor: Principal, project_id: UUID) -> Project:
        """Let it be worked in again; the rooms that were closed with it are open. Raises NotFound, PermissionDenied."""
        async with self._uow() as uow:
            project = await _owned(uow, actor, project_id)
            if project.archived_at is not None:
                rooms = await uow.sessions.set_open(project_id, project.closed_rooms, is_open=True)
                project.archived_at, project.closed_rooms = None, []
                await self._tell(uow, project, rooms)
                _record(uow, actor, AuditAction.PROJECT_UNARCHIVED, project_id)
            return await visible_project(uow, actor, project_id)

    async def count(self, actor: Principal, project_id: UUID) -> ProjectCounts:
        """How much there is in it. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_project(uow, actor, project_id)
            return await uow.statistics.count_project(project_id)

    async def delete(self, actor: Principal, project_id: UUID, *, expected: Versions | None) -> None:
        """Delete a project with all that belongs to it.

        Raises:
            NotFound, PermissionDenied, PreconditionFailed
            Conflict: it is somebody's default project.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._delete(actor, project_id, expected)
                break
            except DBAPIError as error:  # a worker may have taken the same rows in another order
                if not is_deadlock(error) or attempt == ATTEMPTS:
                    raise
        await self._states.forget(project_id)

    async def _delete(self, actor: Principal, project_id: UUID, expected: Versions | None) -> None:
        async with self._uow() as uow:
            project = await _owned(uow, actor, project_id)
            require_version(project, expected)
            if project.is_default:
                raise Conflict("The default project stays.", project_id=str(project_id))
            await uow.projects.delete(project)
            _record(uow, actor, AuditAction.PROJECT_DELETED, project_id)

    async def _tell(self, uow: UnitOfWork, project: Project, rooms: Sequence[Session]) -> None:
        """Rooms before the project, as everywhere that both are told something."""
        about = {"name": project.name, "description": project.description, "archived_at": project.archived_at}
        project_id = project.id
        await uow.flush()
        for room in rooms:
            await uow.events.append(room.id, session_updated(room))
        await uow.events.append(project_id, ProjectUpdated(project_id=project_id, **about))

    async def list_members(
        self, actor: Principal, project_id: UUID, *, before: UUID | None, limit: int
    ) -> Sequence[MemberRow]:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_project(uow, actor, project_id)
            return await uow.projects.list_members(project_id, before=before, limit=limit)

    async def set_member(self, actor: Principal, project_id: UUID, data: MemberPut) -> Membership:
        """Share the project with an account, or change its role.

        Raises:
            NotFound: the project is not visible, or nobody has this address.
            PermissionDenied: the actor is not an owner.
            Conflict: the project would be left without its owner.
        """
        async with self._uow() as uow:
            project = await _owned(uow, actor, project_id)
            user = await uow.users.get_by_email(data.email)
            if user is None:
                raise NotFound("Nobody with this e-mail address has an account here.", email=data.email)
            before = await uow.projects.get_role(user.id, project_id)
            if before is ProjectRole.OWNER and data.role is not ProjectRole.OWNER:
                await _replace_owner(uow, project, user.id)
            await uow.projects.set_member(project_id, user.id, data.role)
            changes = {"user_id": str(user.id), "role": data.role, "before": before}
            _record(uow, actor, AuditAction.MEMBER_SET, project_id, **changes)
            return _membership(user, data.role, is_new=before is None)

    async def remove_member(self, actor: Principal, project_id: UUID, user_id: UUID) -> None:
        """Owners remove anybody; everybody may leave.

        Raises:
            NotFound: the project is not visible, or has no such member.
            PermissionDenied: the actor is not an owner.
            Conflict: the project would be left without its owner.
        """
        async with self._uow() as uow:
            lock = _locked if user_id == actor.user_id else _owned
            project = await lock(uow, actor, project_id)
            role = await uow.projects.get_role(user_id, project_id)
            if role is None:
                raise NotFound("Member not found", user_id=str(user_id))
            if role is ProjectRole.OWNER:
                await _replace_owner(uow, project, user_id)
            await uow.projects.remove_member(project_id, user_id)
            _record(uow, actor, AuditAction.MEMBER_REMOVED, project_id, user_id=str(user_id), before=role)


async def visible_project(uow: UnitOfWork, actor: Principal, project_id: UUID) -> Project:
    """Raises NotFound."""
    return _there(await uow.projects.get_visible(actor, project_id), project_id)


async def require_editor(uow: UnitOfWork, actor: Principal, project_id: UUID) -> None:
    """Raises NotFound, PermissionDenied, ProjectArchived: the actor may not change what is in the project."""
    role = await uow.projects.get_editing_role(actor.user_id, project_id)
    if role is None:
        raise NotFound("Project not found", project_id=str(project_id))
    if not may(actor, Action.EDIT, role):
        raise PermissionDenied("Viewers of a project cannot change it.", project_id=str(project_id))


async def require_owner(uow: UnitOfWork, actor: Principal, project_id: UUID, action: Action) -> Project:
    """Raises NotFound, PermissionDenied."""
    project = await visible_project(uow, actor, project_id)
    if not may(actor, action, ProjectRole(project.role) if project.role else None):
        raise PermissionDenied("Only owners of a project may do this.", project_id=str(project_id))
    return project


async def _replace_owner(uow: UnitOfWork, project: Project, leaving: UUID) -> None:
    """Make sure that somebody owns the project once `leaving` does not; the project is locked."""
    other = await uow.projects.get_other_owner(project.id, leaving)
    if project.is_default and project.owner_id == leaving:
        raise Conflict("This is the default project of its owner.", project_id=str(project.id))
    if other is None:
        raise Conflict("A project needs an owner: make somebody else one first.", project_id=str(project.id))
    if project.owner_id == leaving:
        project.owner_id = other


def _record(uow: UnitOfWork, actor: Principal, action: AuditAction, project_id: UUID, **details: object) -> None:
    record_by(uow, actor, action, target_type="project", target_id=project_id, **details)


def _membership(user: User, role: ProjectRole, *, is_new: bool) -> Membership:
    return Membership(user.id, user.name, user.email, role, is_new)


async def _locked(uow: UnitOfWork, actor: Principal, project_id: UUID) -> Project:
    return _there(await uow.projects.lock_visible(actor, project_id), project_id)


async def _owned(uow: UnitOfWork, actor: Principal, project_id: UUID) -> Project:
    """The project, locked, if the actor is an owner of it."""
    project = await _locked(uow, actor, project_id)
    if not may(actor, Action.MANAGE_PROJECT, ProjectRole(project.role) if project.role else None):
        raise PermissionDenied("Only owners of a project may do this.", project_id=str(project_id))
    return project


def _there(project: Project | None, project_id: UUID) -> Project:
    if project is None:
        raise NotFound("Project not found", project_id=str(project_id))
    return project
