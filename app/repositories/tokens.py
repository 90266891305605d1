"""Refresh tokens, found by digest."""

from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import RefreshToken


class RefreshTokenRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, token: RefreshToken) -> None:
        self._session.add(token)

    async def get(self, digest: bytes) -> RefreshToken | None:
        return await self._session.scalar(select(RefreshToken).where(RefreshToken.digest == digest))

    async def use(self, digest: bytes) -> RefreshToken | None:
        """Use a token up; None when it is unknown, used, revoked or expired. Of two at once one succeeds."""
        now = func.clock_timestamp()
        good = update(RefreshToken).where(
            RefreshToken.digest == digest,
            RefreshToken.used_at.is_(None),
            RefreshToken.revoked_at.is_(None),
            RefreshToken.expires_at > now,
        )
        return await self._session.scalar(good.values(used_at=now).returning(RefreshToken))

    async def revoke_family(self, family_id: UUID) -> None:
        family = update(RefreshToken).where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
        await self._session.execute(family.values(revoked_at=func.clock_timestamp()))
