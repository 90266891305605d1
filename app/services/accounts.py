"""Making accounts."""

from typing import Final

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.errors import Conflict, InvalidInput, PermissionDenied
from app.models import AuditAction, Project, User
from app.permissions import Role
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.auth import UserCreate
from app.security import Passwords
from app.services.audit import record
from app.services.projects import add_project
from app.settings import Settings

DEFAULT_PROJECT: Final = "My project"


class AccountService:
    def __init__(self, uow: OpenUnitOfWork, settings: Settings, *, passwords: Passwords) -> None:
        self._uow = uow
        self._settings = settings
        self._passwords = passwords

    async def register(self, data: UserCreate) -> User:
        """Make an account with its default project; the first one ever is the admin's.

        Raises:
            PermissionDenied: registration is not open.
            Conflict: the address has an account.
            InvalidInput: the password is too short.
        """
        password = data.password.get_secret_value()
        if len(password) < self._settings.password.min_length:
            raise InvalidInput(f"Needs {self._settings.password.min_length} characters at least.", field="password")
        async with self._uow() as uow:
            self._require_open_registration(is_first=not await uow.users.has_accounts())
        password_hash = await self._passwords.hash(password)
        user = User(id=uuid7(), email=data.email, name=data.name, password_hash=password_hash)
        try:
            async with self._uow() as uow:
                await self._add_account(uow, user)
        except IntegrityError as error:
            raise Conflict("This e-mail address has an account already.", email=data.email) from error
        return user

    def _require_open_registration(self, *, is_first: bool) -> None:
        if self._settings.registration != "open" and not is_first:
            raise PermissionDenied("Registration is not open here.", registration=self._settings.registration)

    async def _add_account(self, uow: UnitOfWork, user: User) -> None:
        if not await uow.users.has_accounts():
            await uow.users.lock_registration()
            is_first = not await uow.users.has_accounts()  # somebody else may have been the first while we waited
            self._require_open_registration(is_first=is_first)
            user.role = Role.ADMIN if is_first else Role.USER
        uow.users.add(user)
        await uow.flush()
        uow.events.open(user.id)
        await add_project(uow, Project(owner_id=user.id, name=DEFAULT_PROJECT, is_default=True))
        record(uow, AuditAction.USER_CREATED, actor_id=user.id, target_type="user", target_id=user.id, role=user.role)
