"""Small pictures of what tasks are making: for an hour, in Redis, so that every server has them."""

import base64
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

KEPT_FOR: Final = timedelta(hours=1)


class TaskPreviews:
    """Best effort: who misses one sees the next, or the whole."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def put(self, task_id: UUID, picture: bytes) -> None:
        try:
            await self._redis.set(self._key(task_id), base64.b64encode(picture).decode(), ex=KEPT_FOR)
        except (RedisError, OSError) as error:
            log.warning("preview.not_kept", error=repr(error))

    async def get(self, task_id: UUID) -> bytes | None:
        try:
            found = await self._redis.get(self._key(task_id))
        except (RedisError, OSError):
            return None
        return base64.b64decode(found) if found else None

    def _key(self, task_id: UUID) -> str:
        return f"{self._prefix}preview:{task_id}"
