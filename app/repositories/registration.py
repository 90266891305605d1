"""Invites for making an account, found by digest."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Invite, RegistrationInvite, User
from app.permissions import Role
from app.repositories.pages import newest_first


class RegistrationRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, invite: RegistrationInvite) -> None:
        self._session.add(invite)

    async def list(self, *, before: UUID | None, limit: int) -> Sequence[RegistrationInvite]:
        query = select(RegistrationInvite)
        return await newest_first(self._session, query, RegistrationInvite, before=before, limit=limit)

    async def delete(self, invite_id: UUID) -> bool:
        """Whether it was there."""
        chosen = delete(RegistrationInvite).where(RegistrationInvite.id == invite_id)
        return await self._session.scalar(chosen.returning(RegistrationInvite.id)) is not None

    async def lock_good(self, digest: bytes, email: str) -> RegistrationInvite | None:
        """The invite, if this address may use it now; of two who want to, one waits, and then finds it used.

        It is as good as who made it: an admin's, as long as that is one.
        """
        admins = select(User.id).where(User.role == Role.ADMIN, User.is_active)
        query = select(RegistrationInvite).where(
            RegistrationInvite.digest == digest,
            RegistrationInvite.used_at.is_(None),
            RegistrationInvite.expires_at > func.clock_timestamp(),
            or_(RegistrationInvite.email.is_(None), RegistrationInvite.email == email),
            RegistrationInvite.created_by.in_(admins),
        )
        return await self._session.scalar(query.with_for_update())

    async def delete_expired(self, *, expired_for: timedelta) -> None:
        """Invites for an account or a room that nobody could use for so long."""
        for invite in (RegistrationInvite, Invite):
            long_ago = invite.expires_at < func.clock_timestamp() - expired_for
            options = {"synchronize_session": False}
            await self._session.execute(delete(invite).where(long_ago), execution_options=options)
