"""Refresh tokens, found by digest."""

from sqlalchemy.ext.asyncio import AsyncSession


class RefreshTokenRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
