"""Log-ins and their refresh tokens, found by digest."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Uuid,
    bindparam,
    column,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Login, RefreshToken, User
from app.repositories.pages import newest_first


class LoginRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, login: Login) -> None:
        self._session.add(login)

    async def get_open_with_user(self, login_id: UUID) -> tuple[Login, User] | None:
        """None when it is unknown, revoked or expired, or the account is disabled."""
        query = select(Login, User).join(User, User.id == Login.user_id).where(Login.id == login_id, *_open())
        row = (await self._session.execute(query.where(User.is_active))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def list_open_with_users(self, login_ids: Collection[UUID]) -> Sequence[tuple[Login, User]]:
        """Those that are neither revoked nor expired, of accounts that are not disabled."""
        query = select(Login, User).join(User, User.id == Login.user_id).where(Login.id.in_(login_ids), *_open())
        return [(login, user) for login, user in await self._session.execute(query.where(User.is_active))]

    async def list_open(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Login]:
        query = select(Login).where(Login.user_id == user_id, *_open())
        return await newest_first(self._session, query, Login, before=before, limit=limit)

    async def revoke(self, user_id: UUID, *, only: UUID | None = None, besides: UUID | None = None) -> Sequence[UUID]:
        """End log-ins of a user: one, or all, or all `besides` one. Returns those that were open."""
        chosen = update(Login).where(Login.user_id == user_id, *_open())
        if only is not None:
            chosen = chosen.where(Login.id == only)
        if besides is not None:
            chosen = chosen.where(Login.id != besides)
        return (await self._session.scalars(chosen.values(revoked_at=_now()).returning(Login.id))).all()

    async def revoke_any(self, login_id: UUID) -> None:
        """For whoever holds its secret."""
        await self._session.execute(update(Login).where(Login.id == login_id).values(revoked_at=_now()))

    async def touch(self, logins: Mapping[UUID, datetime], *, at_most_every: timedelta) -> None:
        """Note that log-ins are in use, and their ends; waits neither for others who do the same nor for the disk."""
        free = select(Login.id).where(Login.id.in_(logins), Login.last_used_at < _now() - at_most_every)
        ends = (
            func.unnest(
                bindparam("ids", list(logins), ARRAY(Uuid())),
                bindparam("ends", list(logins.values()), ARRAY(DateTime(timezone=True))),
            )
            .table_valued(column("id", Uuid()), column("expires_at", DateTime(timezone=True)))
            .render_derived("ends")
        )
        await self._session.execute(
            update(Login)
            .where(Login.id == ends.c.id, Login.id.in_(free.with_for_update(skip_locked=True)))
            .where(func.set_config("synchronous_commit", "off", True) == "off")  # for this transaction
            .values(
                last_used_at=_now(),
                expires_at=func.greatest(Login.expires_at, ends.c.expires_at),  # a refresh may have come in between
                updated_at=Login.updated_at,
            )
            .execution_options(synchronize_session=False)
        )

    def add_refresh_token(self, token: RefreshToken) -> None:
        self._session.add(token)

    async def get_by_refresh_token(self, digest: bytes) -> tuple[RefreshToken, Login] | None:
        query = select(RefreshToken, Login).join(Login, Login.id == RefreshToken.login_id)
        row = (await self._session.execute(query.where(RefreshToken.digest == digest))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def use_refresh_token(self, digest: bytes) -> tuple[Login, User] | None:
        """Use a token up; None when it is unknown, used or expired, or its log-in has ended. Of two at once one wins.

        The log-in lives on as long as the token that follows will.
        """
        open_logins = select(Login.id).where(*_open())
        good = update(RefreshToken).where(
            RefreshToken.digest == digest,
            RefreshToken.used_at.is_(None),
            RefreshToken.expires_at > _now(),
            RefreshToken.login_id.in_(open_logins),
        )
        login_id = await self._session.scalar(good.values(used_at=_now()).returning(RefreshToken.login_id))
        return None if login_id is None else await self.get_open_with_user(login_id)

    async def delete_ended(self, *, ended_for: timedelta) -> None:
        """Log-ins that ended that long ago, with their tokens; tokens whose time is over."""
        long_ago = _now() - ended_for
        await self._session.execute(delete(Login).where(or_(Login.expires_at < long_ago, Login.revoked_at < long_ago)))
        await self._session.execute(delete(RefreshToken).where(RefreshToken.expires_at < long_ago))


def _now() -> ColumnElement[datetime]:
    return func.clock_timestamp()


def _open() -> tuple[ColumnElement[bool], ...]:
    return (Login.revoked_at.is_(None), Login.expires_at > _now())
