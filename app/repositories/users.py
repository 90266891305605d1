"""Accounts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Base, Project, User
from app.permissions import Role
from app.repositories.pages import newest_first

REGISTRATION_LOCK = 0x46495253  # any number, the same in every process: the first account is made alone
ADMINS_LOCK = 0x41444D4E


@dataclass(frozen=True, slots=True)
class UserFilter:
    """What a list is narrowed to by whatever is not None; `words` stand somewhere in the name or the address.

    Guests are listed for their role alone.
    """

    words: str | None = None
    role: Role | None = None
    is_active: bool | None = None


class UserRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, user: User) -> None:
        self._session.add(user)

    async def get(self, user_id: UUID) -> User | None:
        return await self._session.get(User, user_id)

    async def get_timezone(self, user_id: UUID) -> str | None:
        """The one that they have set."""
        return await self._session.scalar(_timezone, {"of_user": user_id})

    async def list_active(self, user_ids: Collection[UUID]) -> Sequence[User]:
        return (await self._session.scalars(select(User).where(User.id.in_(user_ids), User.is_active))).all()

    async def lock(self, user_id: UUID) -> User | None:
        """The row, kept from changing until the transaction ends."""
        return await self._session.scalar(select(User).where(User.id == user_id).with_for_update())

    async def get_by_email(self, email: str) -> User | None:
        """`email` is in lower case, as it is stored."""
        return await self._session.scalar(select(User).where(User.email == email))

    async def get_owner(self, project_id: UUID) -> User | None:
        """Of a project."""
        return await self._session.scalar(
            select(User).join(Project, Project.owner_id == User.id).where(Project.id == project_id)
        )

    async def list(self, narrowing: UserFilter, *, before: UUID | None, limit: int) -> Sequence[User]:
        """For admins; the newest first."""
        query = select(User).where(User.role != Role.GUEST if narrowing.role is None else User.role == narrowing.role)
        if narrowing.is_active is not None:
            query = query.where(User.is_active == narrowing.is_active)
        if narrowing.words:
            found = (column.icontains(narrowing.words, autoescape=True) for column in (User.name, User.email))
            query = query.where(or_(*found))
        return await newest_first(self._session, query, User, before=before, limit=limit)

    async def lock_admins(self) -> None:
        """Until this transaction ends, nobody else makes or unmakes an admin; taken before any row is locked."""
        await self._session.execute(select(func.pg_advisory_xact_lock(ADMINS_LOCK)))

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Whether an active admin is there who is not `user_id`; the admins are locked."""
        others = exists().where(User.role == Role.ADMIN, User.is_active, User.id != user_id)
        return bool(await self._session.scalar(select(others)))

    async def is_admin(self, user_id: UUID) -> bool:
        """Now, whatever is remembered of the account elsewhere."""
        this = exists().where(User.role == Role.ADMIN, User.is_active, User.id == user_id)
        return bool(await self._session.scalar(select(this)))

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


# Built once: every memory is dated by the clock of whoever writes it.
_users = Base.metadata.tables["users"].c
_timezone = select(_users.settings["timezone"].astext).where(_users.id == bindparam("of_user"))
