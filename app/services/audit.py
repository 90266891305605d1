"""The audit log: who did what, on what, from where."""

from uuid import UUID

from app.models import AuditAction, AuditEntry
from app.observability import origin, request_id
from app.repositories import UnitOfWork


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
            address=origin.get().address,
            request_id=request_id.get(),
            details=details,
        )
    )
