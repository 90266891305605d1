"""Pieces of answers that are being given, where every process can read them: for readers who come back elsewhere.

Best effort: the process that gives an answer has all its pieces, and the row of the answer has its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from redis.asyncio import Redis

from app.realtime.outages import REDIS_FAILURES

log = structlog.get_logger(__name__)

SIGN_OF_LIFE: Final = timedelta(seconds=5)  # a process that gives an answer says so more often than this
BATCH: Final = 500  # pieces read at once


@dataclass(frozen=True, slots=True)
class Piece:
    """The event `name` of an answer's stream, the `number`th from 1, with its encoded data."""

    number: int
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Signals:
    """What other processes know of an answer: whether somebody wants it to end, and whether somebody follows it."""

    is_unwanted: bool = False
    is_followed: bool = False


class AnswerLog:
    """`life`: how long pieces are kept after the last one; `grace`: how long a reader counts after it was here."""

    def __init__(self, redis: Redis, *, prefix: str, life: timedelta, grace: timedelta) -> None:
        self._redis = redis
        self._prefix = prefix
        self._life = life
        self._grace = grace

    async def append(self, answer_id: UUID, pieces: Sequence[Piece]) -> None:
        key = self._key(answer_id, "pieces")
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for piece in pieces:
                    pipeline.xadd(key, {"name": piece.name, "data": piece.data}, id=f"{piece.number}-0")
                pipeline.pexpire(key, self._life)
                await pipeline.execute()
        except REDIS_FAILURES as error:
            log.warning("answer_log.not_kept", answer_id=str(answer_id), error=repr(error))

    async def read(self, answer_id: UUID, after: int) -> Sequence[Piece]:
        """The next pieces behind the number `after`, and a sign that somebody follows."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.xrange(self._key(answer_id, "pieces"), min=f"({after}-0", count=BATCH)
                pipeline.set(self._key(answer_id, "followed"), "1", px=self._grace)
                found, _ = await pipeline.execute()
        except REDIS_FAILURES as error:
            log.warning("answer_log.not_read", answer_id=str(answer_id), error=repr(error))
            return []
        return [Piece(int(number.split("-")[0]), fields["name"], fields["data"]) for number, fields in found]

    async def exchange_signals(self, answer_id: UUID) -> Signals:
        """Say that the answer is being given, and hear what others want of it."""
        keys = [self._key(answer_id, name) for name in ("unwanted", "followed")]
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(self._key(answer_id, "alive"), "1", px=SIGN_OF_LIFE)
                pipeline.mget(keys)
                _, (unwanted, followed) = await pipeline.execute()
        except REDIS_FAILURES as error:
            log.warning("answer_log.no_signals", answer_id=str(answer_id), error=repr(error))
            return Signals()
        return Signals(is_unwanted=unwanted is not None, is_followed=followed is not None)

    async def is_being_given(self, answer_id: UUID) -> bool:
        """Whether a process was at work on it a moment ago. Raises one of REDIS_FAILURES."""
        return bool(await self._redis.exists(self._key(answer_id, "alive")))

    async def ask_to_stop(self, answer_id: UUID) -> None:
        """Raises one of REDIS_FAILURES."""
        await self._redis.set(self._key(answer_id, "unwanted"), "1", px=self._life)

    def _key(self, answer_id: UUID, name: str) -> str:
        return f"{self._prefix}reply:{{{answer_id}}}:{name}"
