"""Cookie sessions: which log-in a cookie stands for, while it is used now and then."""

import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from redis.asyncio import Redis

from app.security import digest_of

LONGEST_COOKIE: Final = 128  # bytes


class CookieSessions:
    """A cookie is `<log-in id>.<secret>`; Redis keeps the secret's digest, until nobody has used it for `ttl`."""

    def __init__(self, redis: Redis, *, ttl: timedelta, prefix: str) -> None:
        self._redis = redis
        self._ttl = ttl
        self._prefix = prefix

    async def begin(self, login_id: UUID) -> str:
        """The cookie's value."""
        cookie = f"{login_id.hex}.{secrets.token_urlsafe(32)}"
        await self._redis.set(self._key(login_id), digest_of(cookie).hex(), ex=self._ttl)
        return cookie

    async def find(self, cookie: str) -> UUID | None:
        """The log-in of a cookie that is good, which is good for another `ttl` now."""
        login_id = _login_id(cookie)
        if login_id is None:
            return None
        kept = await self._redis.get(self._key(login_id))
        if kept is None or not hmac.compare_digest(str(kept), digest_of(cookie).hex()):
            return None
        await self._redis.expire(self._key(login_id), self._ttl)
        return login_id

    async def end(self, login_ids: Sequence[UUID]) -> None:
        if login_ids:
            await self._redis.delete(*map(self._key, login_ids))

    def _key(self, login_id: UUID) -> str:
        return f"{self._prefix}login:{login_id}"


def _login_id(cookie: str) -> UUID | None:
    head, dot, secret = cookie.partition(".")
    if not dot or not secret or len(cookie) > LONGEST_COOKIE or not cookie.isascii() or len(head) != 32:
        return None
    try:
        return UUID(hex=head)
    except ValueError:
        return None
