"""What admins see and do: accounts, numbers and tasks; what people keep is not shown to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.errors import Conflict, NotFound, PermissionDenied
from app.models import AuditAction, Task, TaskStatus, User
from app.permissions import Principal, Role
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.statistics import DocumentCount, Queue, TaskCount, UserCount
from app.repositories.users import UserFilter
from app.schemas.admin import AdminUserUpdate
from app.services.audit import record_by, record_read
from app.services.last_admin import require_another_admin
from app.services.logins import LoginService
from app.services.tasks import TaskService
from app.services.versions import Versions, require_version

LOGINS_COUNTED_FOR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QueueState:
    waiting: int
    running: int
    oldest_age_seconds: float | None

    @classmethod
    def of(cls, queue: Queue) -> "QueueState":
        age = queue.oldest_age
        return cls(queue.waiting, queue.running, None if age is None else round(age.total_seconds(), 3))


@dataclass(frozen=True, slots=True)
class Statistics:
    users: Sequence[UserCount]
    documents: Sequence[DocumentCount]
    tasks: Sequence[TaskCount]
    projects: int
    rooms: int
    passages: int
    messages: int
    queue: QueueState
    logins_last_day: int


class AdministrationService:
    def __init__(self, uow: OpenUnitOfWork, logins: LoginService, tasks: TaskService) -> None:
        self._uow = uow
        self._logins = logins
        self._tasks = tasks

    # --- accounts ---------------------------------------------------------------------------------------------------

    async def list_users(
        self, actor: Principal, narrowing: UserFilter, *, before: UUID | None, limit: int
    ) -> Sequence[User]:
        """The newest first; guests only where they are asked for."""
        filters = {"words": narrowing.words, "role": narrowing.role, "is_active": narrowing.is_active}
        async with self._uow() as uow:
            users = await uow.users.list(narrowing, before=before, limit=limit)
            record_read(uow, actor, "user", filters=filters)
            return users

    async def get_user(self, actor: Principal, user_id: UUID) -> User:
        """Raises NotFound."""
        async with self._uow() as uow:
            user = _there(await uow.users.get(user_id), user_id)
            record_read(uow, actor, "user", target_id=user_id)
            return user

    async def update_user(
        self, actor: Principal, user_id: UUID, changes: AdminUserUpdate, *, expected: Versions | None
    ) -> User:
        """Change a name or a role, disable an account or open it again.

        Raises:
            NotFound, PreconditionFailed
            PermissionDenied: the actor was an admin until a moment ago.
            Conflict: the last admin stays one; guests have no role to change.
        """
        async with self._uow() as uow:
            await _check_powers(uow, actor, user_id, changes)
            user = _there(await uow.users.lock(user_id), user_id)
            require_version(user, expected)
            if await uow.erasure.is_leaving(user_id):
                raise NotFound("User not found", user_id=str(user_id))
            if user.role == Role.GUEST and changes.role is not None:
                raise Conflict("A guest has no account, and so no role.", user_id=str(user_id))
            told = _apply(user, changes)
            ended = [] if user.is_active else await self._logins.end_all(uow, user_id)
            if told:
                record_by(uow, actor, AuditAction.USER_CHANGED, target_type="user", target_id=user_id, changes=told)
            await uow.flush()
        await self._logins.forget(user_id, ended)
        return user

    # --- numbers ----------------------------------------------------------------------------------------------------

    async def statistics(self) -> Statistics:
        async with self._uow(is_reading=True) as uow:
            sizes = await uow.statistics.count_large()
            return Statistics(
                users=await uow.statistics.count_users(),
                documents=await uow.statistics.count_documents(),
                tasks=await uow.statistics.count_tasks(),
                projects=sizes.projects,
                rooms=sizes.rooms,
                passages=sizes.passages,
                messages=sizes.messages,
                queue=QueueState.of(await uow.statistics.get_queue()),
                logins_last_day=await uow.statistics.count_logins(LOGINS_COUNTED_FOR),
            )

    # --- tasks ------------------------------------------------------------------------------------------------------

    async def list_tasks(
        self,
        actor: Principal,
        *,
        project_id: UUID | None,
        status: TaskStatus | None,
        task_type: str | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[Task]:
        """Of all projects, the newest first."""
        filters = {"project_id": project_id, "status": status, "task_type": task_type}
        async with self._uow() as uow:
            tasks = await uow.tasks.list_all(
                project_id=project_id, status=status, task_type=task_type, before=before, limit=limit
            )
            record_read(uow, actor, "task", filters=filters)
            return tasks

    async def cancel_task(self, actor: Principal, task_id: UUID) -> Task:
        """Raises NotFound. Conflict: it has ended otherwise."""
        return await self._tasks.cancel_for(actor, task_id)


async def _check_powers(uow: UnitOfWork, actor: Principal, user_id: UUID, changes: AdminUserUpdate) -> None:
    """Before any row is locked: what is remembered of the actor is up to two seconds old, which is too long here."""
    if changes.role is None and changes.is_active is None:
        return
    if changes.is_active is False or changes.role is Role.USER:
        await require_another_admin(uow, user_id)
    else:
        await uow.users.lock_admins()
    await require_admin_now(uow, actor)


async def require_admin_now(uow: UnitOfWork, actor: Principal) -> None:
    """Raises PermissionDenied: the actor has just been demoted or disabled."""
    if not await uow.users.is_admin(actor.user_id):
        raise PermissionDenied("Only admins may do this.")


def _apply(user: User, changes: AdminUserUpdate) -> dict[str, object]:
    """Change the row; what changed from what to what, but of the name only that it did."""
    told: dict[str, object] = {}
    for name, value in changes.model_dump(exclude_none=True).items():
        before = getattr(user, name)
        if before != value:
            told[name] = True if name == "name" else [before, value]
            setattr(user, name, value)
    return told


def _there(user: User | None, user_id: UUID) -> User:
    if user is None:
        raise NotFound("User not found", user_id=str(user_id))
    return user
