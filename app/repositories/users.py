"""Accounts."""

from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import User
from app.permissions import Role

REGISTRATION_LOCK = 0x46495253  # any number, the same in every process: the first account is made alone


class UserRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, user: User) -> None:
        self._session.add(user)

    async def get(self, user_id: UUID) -> User | None:
        return await self._session.get(User, user_id)

    async def lock(self, user_id: UUID) -> User | None:
        """The row, kept from changing until the transaction ends."""
        return await self._session.scalar(select(User).where(User.id == user_id).with_for_update())

    async def get_by_email(self, email: str) -> User | None:
        """`email` is in lower case, as it is stored."""
        return await self._session.scalar(select(User).where(User.email == email))

    async def has_accounts(self) -> bool:
        """Whether anybody has registered; guests have not."""
        return bool(await self._session.scalar(select(exists().where(User.role != Role.GUEST))))

    async def lock_registration(self) -> None:
        """Others who want to be the first account wait until this transaction ends."""
        await self._session.execute(select(func.pg_advisory_xact_lock(REGISTRATION_LOCK)))

    async def set_password_hash(self, user_id: UUID, *, old: str | None, new: str) -> None:
        """Replace a hash, unless the password was changed meanwhile."""
        same = update(User).where(User.id == user_id, User.password_hash == old)
        await self._session.execute(same.values(password_hash=new))
