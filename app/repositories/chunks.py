"""Passages, and the search over them."""

from sqlalchemy.ext.asyncio import AsyncSession


class ChunkRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
