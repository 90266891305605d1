"""For admins: accounts, invites for registration, numbers and tasks."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Admin, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import Task, TaskStatus, User
from app.permissions import Role
from app.repositories.users import UserFilter
from app.schemas.admin import (
    AdminTaskRead,
    AdminUserRead,
    AdminUserUpdate,
    RegistrationInviteCreate,
    RegistrationInviteCreated,
    RegistrationInviteRead,
    StatisticsRead,
)
from app.schemas.common import ErrorResponse, Page
from app.schemas.users import AccountDeletion
from app.services.administration import Statistics

router = Router(prefix="/admin", tags=["administration"])

NO_NUL: Final = r"^[^\x00]*$"  # PostgreSQL cannot hold it, so it is in nobody's name
LAST_ADMIN: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorResponse, "description": "The last admin stays"}
}


# --- accounts -------------------------------------------------------------------------------------------------------


@router.get("/users")
async def list_users(
    actor: Admin,
    services: ServicesDep,
    q: Annotated[
        str | None, Query(max_length=320, pattern=NO_NUL, description="Stands in the name or the address.")
    ] = None,
    role: Annotated[Role | None, Query(description="Guests are listed only by `guest`.")] = None,
    is_active: bool | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[AdminUserRead]:
    """Accounts, the newest first."""
    narrowing = UserFilter(words=q, role=role, is_active=is_active)
    rows = await services.administration.list_users(actor, narrowing, before=cursor, limit=limit + 1)
    return Page[AdminUserRead].of(rows, limit)


@router.get("/users/{user_id}", response_model=AdminUserRead)
async def get_user(actor: Admin, services: ServicesDep, conditional: ConditionalDep, user_id: UUID) -> User:
    """An account, as admins see it."""
    return conditional.tag(await services.administration.get_user(actor, user_id))


@router.patch("/users/{user_id}", response_model=AdminUserRead, responses=LAST_ADMIN)
async def update_user(
    actor: Admin,
    services: ServicesDep,
    user_id: UUID,
    changes: AdminUserUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> User:
    """Change a name or a role, disable an account or open it again."""
    return conditional.tag(await services.administration.update_user(actor, user_id, changes, expected=expected))


@router.delete("/users/{user_id}", status_code=status.HTTP_204_NO_CONTENT, responses=LAST_ADMIN)
async def delete_user(
    actor: Admin, services: ServicesDep, user_id: UUID, expected: IfMatch, wishes: AccountDeletion | None = None
) -> None:
    """Delete an account and everything that it alone owns; one's own needs the password."""
    await services.users.delete(actor, user_id, wishes or AccountDeletion(), expected=expected)


# --- invites --------------------------------------------------------------------------------------------------------


@router.post("/invites", status_code=status.HTTP_201_CREATED, response_model=RegistrationInviteCreated)
async def create_registration_invite(
    actor: Admin, services: ServicesDep, data: RegistrationInviteCreate, response: Response
) -> RegistrationInviteCreated:
    """Let somebody make an account where registration is not open. This is the only time the invite is shown.

    Where it names an address, it is mailed there, too, if this server sends mails.
    """
    made = await services.registration.invite(actor, data)
    response.headers["Location"] = f"/api/v1/admin/invites/{made.row.id}"
    response.headers["Cache-Control"] = "no-store"
    return RegistrationInviteCreated.of(made.row, made.invite)


@router.get("/invites")
async def list_registration_invites(
    actor: Admin, services: ServicesDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[RegistrationInviteRead]:
    """Invites for registration, the newest first; used and expired ones, too."""
    rows = await services.registration.list(actor, before=cursor, limit=limit + 1)
    return Page[RegistrationInviteRead].of(rows, limit)


@router.delete("/invites/{invite_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_registration_invite(actor: Admin, services: ServicesDep, invite_id: UUID) -> None:
    """It lets nobody in any more; who came by it stays."""
    await services.registration.revoke(actor, invite_id)


# --- numbers and tasks ----------------------------------------------------------------------------------------------


@router.get("/stats", response_model=StatisticsRead)
async def get_statistics(_: Admin, services: ServicesDep) -> Statistics:
    """How much there is of everything, and how long the queue is."""
    return await services.administration.statistics()


@router.get("/tasks")
async def list_all_tasks(
    actor: Admin,
    services: ServicesDep,
    project_id: UUID | None = None,
    status: TaskStatus | None = None,
    task_type: Annotated[str | None, Query(max_length=100, pattern=r"^\w*$")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[AdminTaskRead]:
    """Work in all projects, the newest first; without what it works on."""
    rows = await services.administration.list_tasks(
        actor, project_id=project_id, status=status, task_type=task_type, before=cursor, limit=limit + 1
    )
    return Page[AdminTaskRead].of(rows, limit)


@router.delete("/tasks/{task_id}", status_code=status.HTTP_202_ACCEPTED, response_model=AdminTaskRead)
async def cancel_any_task(actor: Admin, services: ServicesDep, task_id: UUID) -> Task:
    """Stop it: at once when it still waits, within a second when somebody works on it."""
    return await services.administration.cancel_task(actor, task_id)
