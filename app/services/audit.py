"""The audit log: who did what, on what, from where."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.models import AuditAction, AuditEntry
from app.observability import origin, request_id
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.audit import AuditFilter

EXPORT_BATCH: Final = 200  # written in one go, which takes the event loop a few milliseconds
LONGEST_ADDRESS: Final = 64
WITHHELD: Final = frozenset({"words", "address"})  # filters that may themselves hold somebody's address


def record(
    uow: UnitOfWork,
    action: AuditAction,
    *,
    actor_id: UUID | None,
    key_id: UUID | None = None,
    target_type: str | None = None,
    target_id: UUID | None = None,
    **details: object,
) -> None:
    """Note what is done, in the transaction that does it. `details` are JSON values, without names or addresses."""
    uow.audit.add(
        AuditEntry(
            actor_id=actor_id,
            key_id=key_id,
            action=action,
            target_type=target_type,
            target_id=target_id,
            address=origin.get().address[:LONGEST_ADDRESS],
            request_id=request_id.get(),
            details=details,
        )
    )


def record_by(
    uow: UnitOfWork,
    actor: Principal,
    action: AuditAction,
    *,
    target_type: str | None = None,
    target_id: UUID | None = None,
    **details: object,
) -> None:
    """The same, for somebody who is signed in."""
    record(
        uow,
        action,
        actor_id=actor.user_id,
        key_id=actor.key_id,
        target_type=target_type,
        target_id=target_id,
        **details,
    )


def record_read(
    uow: UnitOfWork,
    actor: Principal,
    what: str,
    *,
    target_id: UUID | None = None,
    filters: Mapping[str, object] | None = None,
) -> None:
    """Note that an admin saw data of persons; of a filter that may hold an address only that it was there."""
    given = {name: value for name, value in (filters or {}).items() if value is not None}
    told = {name: "withheld" if name in WITHHELD else _plain(value) for name, value in given.items()}
    record_by(uow, actor, AuditAction.ADMIN_READ, target_type=what, target_id=target_id, filters=told)


def actions_like(wanted: str | None) -> Collection[str] | None:
    """The action of this name, or all of a group: `login` and `login.` stand for whatever begins with `login.`."""
    if wanted is None:
        return None
    group = wanted.removesuffix(".") + "."
    return {wanted, *(action for action in AuditAction if action.startswith(group))}


class AuditService:
    def __init__(self, uow: OpenUnitOfWork, retention: timedelta) -> None:
        self._uow = uow
        self._retention = retention

    async def list(
        self, actor: Principal, narrowing: AuditFilter, *, before: UUID | None, limit: int
    ) -> Sequence[AuditEntry]:
        """The newest first; that somebody looked is an entry, too."""
        async with self._uow() as uow:
            entries = await uow.audit.list(narrowing, before=before, limit=limit)
            record_read(uow, actor, "audit", filters=_filters_of(narrowing))
            return entries

    async def export(self, actor: Principal, narrowing: AuditFilter) -> AsyncIterator[Sequence[AuditEntry]]:
        """Everything that matches, the newest first, in batches; what is added meanwhile is not part of it."""
        async with self._uow() as uow:
            first = await uow.audit.list(narrowing, before=None, limit=EXPORT_BATCH)
            record_read(uow, actor, "audit", filters=_filters_of(narrowing) | {"export": True})
        return self._batches(narrowing, first)

    async def sweep(self) -> None:
        """Remove what is older than the retention, a part at a time."""
        while True:
            async with self._uow() as uow:
                if not await uow.audit.delete_older_than(self._retention):
                    return

    async def _batches(
        self, narrowing: AuditFilter, batch: Sequence[AuditEntry]
    ) -> AsyncIterator[Sequence[AuditEntry]]:
        while batch:
            yield batch
            async with self._uow() as uow:
                batch = await uow.audit.list(narrowing, before=batch[-1].id, limit=EXPORT_BATCH)


def _filters_of(narrowing: AuditFilter) -> dict[str, object]:
    return {name: getattr(narrowing, name) for name in narrowing.__slots__}


def _plain(value: object) -> object:
    """As JSON has it."""
    if isinstance(value, bool | int):
        return value
    return sorted(map(str, value)) if isinstance(value, set) else str(value)
