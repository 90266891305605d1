"""Cookie sessions: which log-in a cookie stands for, while it is used now and then."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from redis.asyncio import Redis

from app.security import digest_of

LONGEST_COOKIE: Final = 128  # bytes

# KEYS[1]: the log-in. ARGV: the digest of the cookie, and the life of a good one in milliseconds.
# Digests of random secrets: how long it takes to compare them tells nothing that could be used.
USE_COOKIE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""


class CookieSessions:
    """A cookie is `<log-in id>.<secret>`; Redis keeps the secret's digest, until nobody has used it for `ttl`."""

    def __init__(self, redis: Redis, *, ttl: timedelta, prefix: str) -> None:
        self._redis = redis
        self._ttl = ttl
        self._prefix = prefix
        self._use = redis.register_script(USE_COOKIE)

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
        life = int(self._ttl.total_seconds() * 1000)
        is_good = await self._use(keys=[self._key(login_id)], args=[digest_of(cookie).hex(), life])
        return login_id if is_good else None

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
