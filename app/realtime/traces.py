"""What Redis still knows of somebody who is gone."""

import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from redis.asyncio import Redis

from app.errors import ServiceUnavailable
from app.realtime.outages import REDIS_FAILURES

SCAN_COUNT: Final = 1000
_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_PATTERN_CHARACTER: Final = re.compile(r"([\\*?\[\]])")


class Traces:
    """Keys are called by the ids of what they are about (`session:{id}:answer`), and so they are found."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._pattern = _PATTERN_CHARACTER.sub(r"\\\1", prefix) + "*"

    async def forget(self, ids: Iterable[UUID]) -> None:
        """Delete every key with one of these ids in its name. Looks at all keys once: for work behind the scenes.

        Raises:
            ServiceUnavailable: Redis is away.
        """
        wanted = {str(id_) for id_ in ids}
        try:
            keys = self._redis.scan_iter(match=self._pattern, count=SCAN_COUNT)
            found = [key async for key in keys if not wanted.isdisjoint(_ID.findall(key))]
            for first in range(0, len(found), SCAN_COUNT):
                await self._redis.unlink(*found[first : first + SCAN_COUNT])
        except REDIS_FAILURES as error:
            raise ServiceUnavailable("Redis does not answer.") from error
