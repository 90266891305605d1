"""The state of a project: a JSON text with a version and an end, which many processes change at the same time."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from redis.asyncio import Redis

from app.errors import Conflict, ServiceUnavailable
from app.realtime.outages import REDIS_FAILURES
from app.realtime.scripts import DELETE_STATE, PUT_STATE

log = structlog.get_logger(__name__)

MOST_TRIES: Final = 200  # at a state that others change at the same time; one of them succeeds with every round
LONGEST_PAUSE: Final = 0.02  # seconds between two of them


@dataclass(frozen=True, slots=True)
class StoredState:
    """`number` 0: there is none. `text` is a JSON object; `life`: until it is forgotten."""

    number: int = 0
    text: str = "{}"
    life: timedelta = timedelta(0)

    @property
    def version(self) -> str:
        return str(self.number)


@dataclass(frozen=True, slots=True)
class Change:
    before: int
    after: StoredState


class ProjectStates:
    """All methods raise ServiceUnavailable: Redis does not answer."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._put = redis.register_script(PUT_STATE)
        self._delete = redis.register_script(DELETE_STATE)
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def get(self, project_id: UUID) -> StoredState:
        async with _reaching(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(self._key(project_id), ["version", "text"])
            pipeline.pttl(self._key(project_id))
            (version, text), life = await pipeline.execute()
        if version is None:
            return StoredState()
        return StoredState(int(version), str(text), timedelta(milliseconds=max(0, int(life))))

    async def change(self, project_id: UUID, make: Callable[[StoredState], str], life: timedelta) -> Change:
        """Put what `make` makes of the state in its place; asked again when somebody else was faster.

        Raises:
            Conflict: others change it without a pause.
            Whatever `make` raises; nothing is changed then.
        """
        async with self._turn(project_id):  # so that only processes compete, and not all callers
            for _ in range(MOST_TRIES):
                before = await self.get(project_id)
                change = await self._try(project_id, before.version, make(before), life)
                if change is not None:
                    return change
                await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311 - out of step with the others
        raise Conflict("Too many change this state at the same time. Please try again.", project_id=str(project_id))

    async def delete(self, project_id: UUID, judge: Callable[[StoredState], None]) -> int:
        """Forget it, unless `judge` raises; returns the version that it had, 0 if there was none."""
        async with self._turn(project_id):
            for _ in range(MOST_TRIES):
                before = await self.get(project_id)
                judge(before)
                async with _reaching():
                    done = await self._delete(keys=[self._key(project_id)], args=[before.version])
                if done:
                    return before.number
        raise Conflict("Too many change this state at the same time. Please try again.", project_id=str(project_id))

    async def forget(self, project_id: UUID) -> None:
        """After the project itself is gone; what stays here ends by itself."""
        try:
            await self._redis.delete(self._key(project_id))
        except REDIS_FAILURES as error:
            log.warning("project_state.not_forgotten", project_id=str(project_id), error=repr(error))

    async def _try(self, project_id: UUID, version: str, text: str, life: timedelta) -> Change | None:
        milliseconds = str(int(life.total_seconds() * 1000))
        async with _reaching():
            numbers = await self._put(keys=[self._key(project_id)], args=[version, text, milliseconds])
        return Change(int(numbers[0]), StoredState(int(numbers[1]), text, life)) if numbers else None

    @contextlib.asynccontextmanager
    async def _turn(self, project_id: UUID) -> AsyncIterator[None]:
        lock = self._turns.setdefault(project_id, asyncio.Lock())
        async with lock:
            yield

    def _key(self, project_id: UUID) -> str:
        return f"{self._prefix}project:{project_id}:state"


@contextlib.asynccontextmanager
async def _reaching() -> AsyncIterator[None]:
    try:
        yield
    except REDIS_FAILURES as error:
        log.warning("project_state.redis_lost", error=repr(error))
        raise ServiceUnavailable("The state of projects cannot be reached at the moment. Please try again.") from error
