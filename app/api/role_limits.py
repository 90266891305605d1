"""Rates of roles over HTTP, for admins."""

from app.api.deps import Admin, ServicesDep
from app.api.routing import Router
from app.schemas.limits import LimitsRead, RoleLimitUpdate

router = Router(prefix="/admin/limits", tags=["admin"])


@router.get("")
async def list_limits(_: Admin, services: ServicesDep) -> LimitsRead:
    """What the settings allow, and roles that have other rates."""
    return await services.limits.list()


@router.put("")
async def set_role_limit(actor: Admin, services: ServicesDep, data: RoleLimitUpdate) -> LimitsRead:
    """Give everybody of a role another rate. All processes go by it within two seconds."""
    return await services.limits.set(actor, data.role, data.budget, data.rate)
