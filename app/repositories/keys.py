"""API keys, found by digest."""

from sqlalchemy.ext.asyncio import AsyncSession


class APIKeyRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
