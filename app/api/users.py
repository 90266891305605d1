"""The caller's own account."""

from fastapi import APIRouter

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, ServicesDep
from app.models import User
from app.schemas.users import UserRead, UserUpdate

router = APIRouter(prefix="/users/me", tags=["accounts"])


@router.get("", response_model=UserRead)
async def get_me(actor: Actor, services: ServicesDep, conditional: ConditionalDep) -> User:
    return conditional.tag(await services.users.get(actor))


@router.patch("", response_model=UserRead)
async def update_me(
    actor: Actor, services: ServicesDep, changes: UserUpdate, expected: IfMatch, conditional: ConditionalDep
) -> User:
    """Change your profile, your settings or your preferences; address, password and role are changed elsewhere."""
    return conditional.tag(await services.users.update(actor, changes, expected=expected))
