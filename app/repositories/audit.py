"""The audit log."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import AuditEntry


class AuditRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, entry: AuditEntry) -> None:
        self._session.add(entry)
