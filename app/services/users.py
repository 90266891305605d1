"""What people say about themselves."""

from app.errors import NotFound
from app.models import User
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.schemas.users import UserUpdate
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
            if changes.name is not None:
                user.name = changes.name
            if changes.preferences is not None:
                user.preferences = changes.preferences
            await uow.flush()
        self._known.forget_user(user.id)
        return user


def _there(user: User | None) -> User:
    if user is None:
        raise NotFound("User not found")
    return user
