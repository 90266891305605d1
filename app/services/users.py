"""What people say about themselves, and how they leave."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.errors import NotFound, PermissionDenied
from app.models import AuditAction, User
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.users import AccountDeletion, UserSettingsUpdate, UserUpdate
from app.services.audit import record_by
from app.services.erasure import ErasureService
from app.services.known_callers import KnownCallers
from app.services.last_admin import require_another_admin
from app.services.logins import LoginService
from app.services.versions import Versions, require_version


class UserService:
    def __init__(
        self, uow: OpenUnitOfWork, known: KnownCallers, *, logins: LoginService, erasure: ErasureService
    ) -> None:
        self._uow = uow
        self._known = known
        self._logins = logins
        self._erasure = erasure

    async def get(self, actor: Principal) -> User:
        """The actor's own account. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
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

    async def delete(
        self, actor: Principal, user_id: UUID, wishes: AccountDeletion, *, expected: Versions | None = None
    ) -> None:
        """Delete the actor's own account or, as an admin, anybody's.

        When this returns, nobody can sign in, nothing of the account is seen any more, and its address is free; a
        worker removes the rest.

        Raises:
            NotFound, PreconditionFailed
            PermissionDenied: the password is wrong or, without one, the log-in too old; or no admin deletes another.
            Conflict: the last admin stays while there are others; or others work in projects without another owner.
        """
        if user_id == actor.user_id:
            await self._logins.confirm(actor, wishes.password.get_secret_value() if wishes.password else None)
        async with self._uow() as uow:
            await self._check_powers(uow, actor, user_id)
            user = _there(await uow.users.lock(user_id))
            if await uow.erasure.is_leaving(user_id):
                raise NotFound("User not found")
            require_version(user, expected)
            ended = await self._logins.end_all(uow, user_id)
            await self._erasure.begin(
                uow,
                user,
                erase_messages=wishes.erase_messages,
                delete_shared_projects=wishes.delete_shared_projects,
            )
            record_by(uow, actor, AuditAction.USER_DELETED, target_type="user", target_id=user_id)
        await self._logins.forget(user_id, ended)

    async def _check_powers(self, uow: UnitOfWork, actor: Principal, user_id: UUID) -> None:
        """Before any row is locked."""
        if await uow.erasure.has_other_accounts(user_id):
            await require_another_admin(uow, user_id)
        if user_id != actor.user_id and not await uow.users.is_admin(actor.user_id):
            raise PermissionDenied("Only admins may do this.")


def _merged(settings: Mapping[str, Any], changes: UserSettingsUpdate) -> dict[str, Any]:
    """Only what is set is kept, so that defaults of later versions reach those who chose nothing."""
    merged = {**settings, **changes.model_dump(exclude_unset=True)}
    return {name: value for name, value in merged.items() if value is not None}


def _there(user: User | None) -> User:
    if user is None:
        raise NotFound("User not found")
    return user
