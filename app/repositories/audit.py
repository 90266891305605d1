"""The audit log: rows are added and read, and go when the retention is over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import AuditEntry
from app.repositories.pages import newest_first
from app.repositories.taking import taken

SWEPT_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What a list is narrowed to by whatever is not None. `until` is not part of it any more."""

    actor_id: UUID | None = None
    actions: Collection[str] | None = None
    target_type: str | None = None
    target_id: UUID | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        same = {
            AuditEntry.actor_id: self.actor_id,
            AuditEntry.target_type: self.target_type,
            AuditEntry.target_id: self.target_id,
            AuditEntry.address: self.address,
        }
        conditions = [column == value for column, value in same.items() if value is not None]
        if self.actions is not None:
            conditions.append(AuditEntry.action.in_(self.actions))
        if self.since is not None:
            conditions.append(AuditEntry.created_at >= self.since)
        if self.until is not None:
            conditions.append(AuditEntry.created_at < self.until)
        return conditions


class AuditRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, entry: AuditEntry) -> None:
        self._session.add(entry)

    async def list(self, narrowing: AuditFilter, *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        """The newest first."""
        query = select(AuditEntry).where(*narrowing.conditions())
        return await newest_first(self._session, query, AuditEntry, before=before, limit=limit)

    async def delete_older_than(self, retention: timedelta) -> bool:
        """Delete some of what is older than the retention; whether there may be more. A trigger refuses the rest."""
        allowed = f"{retention.total_seconds():.0f} seconds"
        await self._session.execute(select(func.set_config("hearth.audit_retention", allowed, True)))
        old = select(AuditEntry.id).where(AuditEntry.created_at < func.clock_timestamp() - retention)
        some = old.order_by(AuditEntry.created_at).limit(SWEPT_AT_ONCE)
        deleted = await self._session.execute(
            delete(AuditEntry).where(AuditEntry.id.in_(taken(some))).returning(AuditEntry.id),
            execution_options={"synchronize_session": False},
        )
        return len(deleted.all()) == SWEPT_AT_ONCE
