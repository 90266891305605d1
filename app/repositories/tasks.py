"""The queue of long-running work."""

from sqlalchemy.ext.asyncio import AsyncSession


class TaskRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
