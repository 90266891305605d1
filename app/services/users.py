"""What people say about themselves."""

from collections.abc import Mapping
from typing import Any

from app.errors import NotFound
from app.models import User
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.schemas.users import UserSettingsUpdate, UserUpdate
from app.services.known_callers import KnownCallers
from app.services.versions import Versions, require_version


class UserService:
    def __init__(self, uow: OpenUnitOfWork, known: KnownCallers) -> None:
        self._uow = uow
        self._known = known

    async def get(self, actor: Principal) -> User:
        """The actor's own account. Raises NotFound."""
        async with self._uow() as uow:
            return _there(await uow.users.get(actor.user_id))

    async def update(self, actor: Principal, changes: UserUpdate, *, expected: Versions | None) -> User:
        """Raises NotFound, PreconditionFailed."""
        async with self._uow() as uow:
            user = _there(await uow.users.lock(actor.user_id))
            require_version(user, expected)
            for name in ("name", "about", "preferences"):
                value = getattr(changes, name)
                setattr(user, name, getattr(user, name) if value is None else value)
            if changes.settings is not None:
                user.settings = _merged(user.settings, changes.settings)
            await uow.flush()
        self._known.forget_user(user.id)
        return user


def _merged(settings: Mapping[str, Any], changes: UserSettingsUpdate) -> dict[str, Any]:
    """Only what is set is kept, so that defaults of later versions reach those who chose nothing."""
    merged = {**settings, **changes.model_dump(exclude_unset=True)}
    return {name: value for name, value in merged.items() if value is not None}


def _there(user: User | None) -> User:
    if user is None:
        raise NotFound("User not found")
    return user
