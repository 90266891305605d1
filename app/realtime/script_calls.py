"""Calls of Lua scripts that come at the same time, in one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from app.gathering import Gathering
from app.realtime.patience import patience

MOST_TOGETHER: Final = 100
AT_ONCE: Final = 2  # round trips under way; each takes a connection


@dataclass(frozen=True, slots=True)
class ScriptCall:
    script: AsyncScript
    keys: tuple[str, ...]
    values: tuple[str, ...]


class ScriptCalls:
    """Raises for all calls of a round trip when it is not back within `patience` seconds."""

    def __init__(self, redis: Redis, *, patience: float) -> None:
        self._redis = redis
        self._patience = patience
        self._gathering = Gathering(self._run_in_time, most=MOST_TOGETHER, at_once=AT_ONCE)

    async def run(self, call: ScriptCall) -> Any:
        """Raises one of REDIS_FAILURES."""
        outcome = await self._gathering.ask(call)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _run_in_time(self, calls: Sequence[ScriptCall]) -> Sequence[Any]:
        async with patience(self._patience):
            outcomes = await self._run(calls)
            unknown = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, NoScriptError)]
            if unknown:  # Redis was started anew
                for source in {calls[index].script.script for index in unknown}:
                    await self._redis.script_load(source)
                again = await self._run([calls[index] for index in unknown])
                for index, outcome in zip(unknown, again, strict=True):
                    outcomes[index] = outcome
            return outcomes

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.values)
            outcomes: list[Any] = await pipeline.execute(raise_on_error=False)
        return outcomes
