"""Calls that come at the same time are answered together, in one transaction or one question."""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from app.telemetry.spans import Nothing, Span, adopted, current

FEW: Final = 8  # at once; more are a storm
PAUSE: Final = 0.05  # seconds for each of them
STORM: Final = 1.0  # seconds for which it goes on, once many have come at once
AT_THE_DOOR: Final = 1.25  # seconds in which people gather who come in at once
LINGER: Final = 0.005
BEHIND_THE_DOOR: Final = 0.4  # they come from there together, and only have to be waited for until all have caught up

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """A call alone is answered at once. What comes while others are being answered waits, and goes next, together.

    `answer_all` gets up to `most` questions and answers each. Where it raises, each of them raises that, and so do
    those that were waiting: what has failed them would make them wait as long for the same. When many have just come at
    once, more are on their way: before each question there is a pause of `longest_pause` seconds at most, in which they
    gather. The first of all waits `linger` seconds for those who were let go together with it.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        at_once: int = 1,
        longest_pause: float = 0.0,
        linger: float = 0.0,
    ) -> None:
        self._linger = linger
        self._longest_pause = longest_pause
        self._many = 0  # that came at once in the last storm
        self._storm_ends_at = 0.0
        self._answer_all = answer_all
        self._most = most
        self._at_once = at_once
        self._waiting: deque[tuple[Question, asyncio.Future[Answer], Span | Nothing]] = deque()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """The answer. Whoever stops waiting for it does not keep the others from theirs."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future, current()))
        if self._under_way < self._at_once:
            self._under_way += 1
            # Nobody's request id, for it is everybody's work.
            task = asyncio.create_task(self._answer_waiting(), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _answer_waiting(self) -> None:
        try:
            await self._answer_batches()
        finally:
            self._under_way -= 1  # with no await since the last look at who waits, so nobody waits for ever

    async def _answer_batches(self) -> None:
        await asyncio.sleep(
            max(self._pause(), self._linger)
        )  # be it none: others may ask in this very turn of the loop
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            self._look_for_storm(len(batch))
            try:
                with adopted([span for *_, span in batch]):
                    answers = await self._answer_all([question for question, *_ in batch])
            except BaseException as error:
                waiting, self._waiting = self._waiting, deque()
                for _, future, _ in (*batch, *waiting):
                    _fail(future, error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future, _), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
            await asyncio.sleep(self._pause())

    def _look_for_storm(self, count: int) -> None:
        now = time.monotonic()
        if count >= FEW and (count >= self._many or now >= self._storm_ends_at):
            self._many, self._storm_ends_at = count, now + STORM

    def _pause(self) -> float:
        is_stormy = time.monotonic() < self._storm_ends_at
        return min(PAUSE * self._many, self._longest_pause) if is_stormy else 0.0


def _fail(future: "asyncio.Future[Answer]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
