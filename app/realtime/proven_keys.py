"""API keys that were good lately: while somebody guesses keys, those who share the address go on with theirs."""

import time
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis

from app.realtime.outages import REDIS_FAILURES

log = structlog.get_logger(__name__)

REMEMBERED_FOR: Final = timedelta(days=30)
NOTED_EVERY: Final = 3600.0  # seconds
MOST_NOTED: Final = 10_000


class ProvenKeys:
    """By digest; best effort, since a key that is not remembered is only looked up less readily."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._noted: dict[bytes, float] = {}

    async def add(self, digest: bytes) -> None:
        now = time.monotonic()
        if now - self._noted.get(digest, -NOTED_EVERY) < NOTED_EVERY:
            return
        self._noted.pop(digest, None)
        self._noted[digest] = now
        if len(self._noted) > MOST_NOTED:
            del self._noted[next(iter(self._noted))]
        try:
            await self._redis.set(self._key(digest), "1", ex=REMEMBERED_FOR)
        except REDIS_FAILURES as error:
            log.warning("proven_keys.not_kept", error=repr(error))

    async def has(self, digest: bytes) -> bool:
        if digest in self._noted:
            return True
        try:
            return bool(await self._redis.exists(self._key(digest)))
        except REDIS_FAILURES:
            return False

    def _key(self, digest: bytes) -> str:
        return f"{self._prefix}proven-key:{digest.hex()}"
