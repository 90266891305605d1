"""API keys: for scripts and other programs. Each is shown once, and stored as a digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import Conflict, NotFound, PermissionDenied
from app.models import APIKey, AuditAction
from app.permissions import Principal, may_grant
from app.repositories import OpenUnitOfWork
from app.schemas.api_keys import APIKeyCreate, APIKeyUpdate
from app.security import SecretKind, digest_of, make_secret
from app.services.audit import record_by
from app.services.known_callers import KnownCallers
from app.services.limits import LimitService
from app.services.versions import Versions, require_version

MOST_KEYS: Final = 50  # of one account
SHOWN_PREFIX: Final = len(SecretKind.API_KEY) + 6


@dataclass(frozen=True, slots=True)
class NewKey:
    """`key` is the secret; nobody can find it out again."""

    row: APIKey
    key: str


class APIKeyService:
    def __init__(self, uow: OpenUnitOfWork, known: KnownCallers, limits: LimitService) -> None:
        self._uow = uow
        self._known = known
        self._limits = limits

    async def create(self, actor: Principal, data: APIKeyCreate) -> NewKey:
        """Make a key.

        Raises:
            PermissionDenied: more scopes than the actor has, or the actor is a key with limits of its own.
            InvalidInput: higher limits than the actor's.
            Conflict: too many keys.
        """
        _require_no_own_limits(actor)
        if not may_grant(actor, data.scopes):
            raise PermissionDenied("A key cannot have more scopes than whoever makes it.", scopes=sorted(data.scopes))
        await self._limits.require_within(actor, data.limits)
        key = make_secret(SecretKind.API_KEY)
        row = APIKey(
            id=uuid7(),
            user_id=actor.user_id,
            name=data.name,
            prefix=key[:SHOWN_PREFIX],
            digest=digest_of(key),
            scopes=sorted(data.scopes),
            limits={budget.value: rate for budget, rate in data.limits.items()},
            expires_at=data.expires_at,
        )
        async with self._uow() as uow:
            await uow.users.lock(actor.user_id)  # two at once do not both take the last place
            if await uow.api_keys.count_own(actor.user_id) >= MOST_KEYS:
                raise Conflict(f"You have {MOST_KEYS} keys: delete one first.", limit=MOST_KEYS)
            uow.api_keys.add(row)
            scopes = {"scopes": row.scopes}
            record_by(uow, actor, AuditAction.KEY_CREATED, target_type="api_key", target_id=row.id, **scopes)
            await uow.flush()
        return NewKey(row, key)

    async def get(self, actor: Principal, key_id: UUID) -> APIKey:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            key = await uow.api_keys.get_own(actor.user_id, key_id)
        if key is None:
            raise NotFound("API key not found", key_id=str(key_id))
        return key

    async def list(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[APIKey]:
        """The actor's own, the newest first; expired ones too."""
        async with self._uow(is_reading=True) as uow:
            return await uow.api_keys.list_own(actor.user_id, before=before, limit=limit)

    async def update(
        self, actor: Principal, key_id: UUID, changes: APIKeyUpdate, *, expected: Versions | None
    ) -> APIKey:
        """Rename it, or replace its limits; they count here at once, in other processes within two seconds.

        Raises:
            NotFound, PreconditionFailed
            PermissionDenied: the actor is a key with limits of its own.
            InvalidInput: higher limits than the actor's.
        """
        _require_no_own_limits(actor)
        await self._limits.require_within(actor, changes.limits or {})
        async with self._uow() as uow:
            key = await uow.api_keys.get_own(actor.user_id, key_id)
            if key is None:
                raise NotFound("API key not found", key_id=str(key_id))
            require_version(key, expected)
            key.name = changes.name or key.name
            if changes.limits is not None:
                key.limits = {budget.value: rate for budget, rate in changes.limits.items()}
            await uow.flush()
        self._known.keys.forget(key.digest)
        return key

    async def delete(self, actor: Principal, key_id: UUID) -> None:
        """The key stops working: here at once, in other processes within two seconds. Raises NotFound."""
        async with self._uow() as uow:
            digest = await uow.api_keys.delete_own(actor.user_id, key_id)
            if digest is None:
                raise NotFound("API key not found", key_id=str(key_id))
            record_by(uow, actor, AuditAction.KEY_DELETED, target_type="api_key", target_id=key_id)
        self._known.keys.forget(digest)


def _require_no_own_limits(actor: Principal) -> None:
    """Raises PermissionDenied: by other keys a key could have more than its own limits allow."""
    if actor.limits:
        raise PermissionDenied("A key with limits of its own cannot make or change keys.")
