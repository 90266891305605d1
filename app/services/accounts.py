"""Making accounts."""

import asyncio
import time
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.letters import Letter
from app.errors import Conflict, PermissionDenied
from app.events import utc_now
from app.models import AuditAction, Project, RegistrationInvite, User
from app.permissions import Role
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.auth import UserCreate
from app.security import PasswordPolicy, Passwords
from app.services.audit import record
from app.services.mails import MailService, Order
from app.services.projects import add_project
from app.services.registration import lock_invite
from app.settings import Settings

DEFAULT_PROJECT: Final = "My project"
HIDING_TAKES: Final = timedelta(milliseconds=500)  # longer than making an account does, and than not making one


class AccountService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: Settings,
        *,
        passwords: Passwords,
        policy: PasswordPolicy,
        mails: MailService,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._passwords = passwords
        self._policy = policy
        self._mails = mails

    async def register(self, data: UserCreate) -> User:
        """Make an account with its default project; the first one ever is the admin's.

        Where only confirmed addresses may sign in, the answer does not tell whether the address has an account: its
        owner gets a mail instead.

        Raises:
            PermissionDenied: registration is not open, or the invite is not good.
            Conflict: the address has an account.
            InvalidInput: the password is not good enough.
        """
        began = time.monotonic()
        password = data.password.get_secret_value()
        await self._policy.require(password, email=data.email, name=data.name, field="password")
        async with self._uow() as uow:
            if await uow.users.has_accounts():
                await self._admit(uow, data.email, data.invite)
        password_hash = await self._passwords.hash(password)
        user = User(id=uuid7(), email=data.email, name=data.name, password_hash=password_hash)
        may_write = await self._mails.admits(data.email)
        try:
            async with self._uow() as uow:
                await self._add_account(uow, user, data.invite)
                if may_write:
                    self._mails.queue_verification(uow, user.id, data.email)
        except IntegrityError as error:
            if not self._settings.require_verified_email:
                raise Conflict("This e-mail address has an account already.", email=data.email) from error
            user = await self._pretend(data, may_write=may_write)
        if self._settings.require_verified_email:
            await _sleep_until_multiple(began)
        return user

    async def _pretend(self, data: UserCreate, *, may_write: bool) -> User:
        """What a new account would look like, while the owner of the address is told of the one that is there."""
        if may_write:
            async with self._uow() as uow:
                self._mails.queue(uow, Order(letter=Letter.ACCOUNT_EXISTS, email=data.email))
        now = utc_now()
        return User(
            id=uuid7(),
            email=data.email,
            name=data.name,
            role=Role.USER,
            is_active=True,
            about="",
            settings={},
            preferences={},
            created_at=now,
            updated_at=now,
        )

    async def add(self, uow: UnitOfWork, user: User) -> None:
        """An account for somebody who has proved elsewhere who they are, in the transaction that takes note of it.

        Raises:
            PermissionDenied: registration is not open.
        """
        await self._add_account(uow, user, None)

    async def _admit(self, uow: UnitOfWork, email: str, invite: str | None) -> RegistrationInvite | None:
        """The invite by which somebody comes in, kept for this transaction; None where nobody needs one.

        Raises:
            PermissionDenied: registration is closed, or there is no invite where one is needed, or it is not good.
        """
        registration = self._settings.registration
        if registration == "closed" or (registration == "invite" and invite is None):
            raise PermissionDenied("Registration is not open here.", registration=registration)
        return None if invite is None else await lock_invite(uow, invite, email)

    async def _add_account(self, uow: UnitOfWork, user: User, invite: str | None) -> None:
        used = None
        if await _is_first(uow):
            user.role = Role.ADMIN
        else:
            used = await self._admit(uow, user.email or "", invite)
            user.role = used.role if used else Role.USER
        uow.users.add(user)
        await uow.flush()
        if used is not None:
            used.used_at, used.used_by = utc_now(), user.id
        uow.events.open(user.id)
        await add_project(uow, Project(owner_id=user.id, name=DEFAULT_PROJECT, is_default=True))
        record(uow, AuditAction.USER_CREATED, actor_id=user.id, target_type="user", target_id=user.id, role=user.role)


async def _is_first(uow: UnitOfWork) -> bool:
    """Whether nobody has an account; then nobody else makes one until this transaction ends."""
    if await uow.users.has_accounts():
        return False
    await uow.users.lock_registration()
    return not await uow.users.has_accounts()  # somebody else may have been the first while we waited


async def _sleep_until_multiple(began: float) -> None:
    """End at a whole number of steps after the beginning, so that what took a little longer does not show."""
    step = HIDING_TAKES.total_seconds()
    await asyncio.sleep(step - (time.monotonic() - began) % step)
