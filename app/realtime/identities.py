"""Sign-ins that are on their way to another provider and back."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.security import digest_of

TIME_TO_SIGN_IN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """`browser` is the digest of a cookie's value: whoever comes back has to be whoever left.

    `linking_login_id` is of the log-in whose account gets another way in; None for signing in.
    """

    nonce: str
    verifier: str
    redirect_uri: str
    redirect_to: str
    browser: str
    linking_login_id: UUID | None


_pending: TypeAdapter[PendingSignIn] = TypeAdapter(PendingSignIn)


class PendingSignIns:
    """By `state`; each is good for one return within ten minutes."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def put(self, state: str, pending: PendingSignIn) -> None:
        await self._redis.set(self._key(state), _pending.dump_json(pending).decode(), ex=TIME_TO_SIGN_IN)

    async def take(self, state: str) -> PendingSignIn | None:
        """None when it was taken before, has expired, or never was."""
        stored = await self._redis.getdel(self._key(state))
        return None if stored is None else _pending.validate_json(stored)

    def _key(self, state: str) -> str:
        return f"{self._prefix}sign_in:{digest_of(state).hex()}"
