"""Invites for making an account: each good for one, shown once, stored as a digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.letters import Letter
from app.errors import NotFound, PermissionDenied
from app.events import utc_now
from app.models import AuditAction, RegistrationInvite
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.admin import RegistrationInviteCreate
from app.security import SecretKind, digest_of, is_secret, make_secret
from app.services.administration import require_admin_now
from app.services.audit import record_by, record_read
from app.services.mails import MailService, Order

EXPIRED_INVITES_KEPT: Final = timedelta(days=30)  # who was invited by whom is still listed so long


@dataclass(frozen=True, slots=True)
class NewRegistrationInvite:
    """`invite` is the secret; nobody can find it out again."""

    row: RegistrationInvite
    invite: str


class RegistrationService:
    def __init__(self, uow: OpenUnitOfWork, mails: MailService) -> None:
        self._uow = uow
        self._mails = mails

    async def sweep(self) -> None:
        """Remove invites, of rooms too, that ran out long ago."""
        async with self._uow() as uow:
            await uow.registration.delete_expired(expired_for=EXPIRED_INVITES_KEPT)

    async def invite(self, actor: Principal, data: RegistrationInviteCreate) -> NewRegistrationInvite:
        """Mailed, too, where it names an address and mail is sent at all.

        Raises:
            PermissionDenied: the actor was an admin until a moment ago.
        """
        secret = make_secret(SecretKind.REGISTRATION_INVITE)
        row = RegistrationInvite(
            id=uuid7(),
            created_by=actor.user_id,
            email=data.email,
            role=data.role,
            digest=digest_of(secret),
            expires_at=utc_now() + timedelta(seconds=data.expires_in),
        )
        order = Order(letter=Letter.INVITED, email=data.email, secret=secret) if data.email else None
        may_write = order is not None and await self._mails.admits(order.email)
        async with self._uow() as uow:
            await require_admin_now(uow, actor)
            uow.registration.add(row)
            if order is not None and may_write:
                self._mails.queue(uow, order)
            record_by(
                uow,
                actor,
                AuditAction.REGISTRATION_INVITED,
                target_type="registration_invite",
                target_id=row.id,
                role=row.role,
            )
            await uow.flush()
        return NewRegistrationInvite(row, secret)

    async def list(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[RegistrationInvite]:
        """The newest first; used and expired ones too."""
        async with self._uow() as uow:
            invites = await uow.registration.list(before=before, limit=limit)
            record_read(uow, actor, "registration_invite")
            return invites

    async def revoke(self, actor: Principal, invite_id: UUID) -> None:
        """It lets nobody in any more. Raises NotFound."""
        async with self._uow() as uow:
            if not await uow.registration.delete(invite_id):
                raise NotFound("Invite not found", invite_id=str(invite_id))
            record_by(
                uow,
                actor,
                AuditAction.REGISTRATION_INVITE_REVOKED,
                target_type="registration_invite",
                target_id=invite_id,
            )


async def lock_invite(uow: UnitOfWork, invite: str, email: str) -> RegistrationInvite:
    """The invite, kept for this transaction, which makes the account or leaves the invite unused.

    Raises:
        PermissionDenied: unknown, used, expired, somebody else's, or by somebody who is no admin any more.
    """
    row = None
    if is_secret(SecretKind.REGISTRATION_INVITE, invite):
        row = await uow.registration.lock_good(digest_of(invite), email)
    if row is None:
        raise PermissionDenied("This invite is not valid, or not any more.")
    return row
