"""Calls that come at the same time are answered together, in one transaction or one question."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

FEW: Final = 8  # at once; more are a storm
PAUSE: Final = 0.05  # seconds for each of them
LONGEST_PAUSE: Final = 1.0

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """A call alone is answered at once. What comes while others are being answered waits, and goes next, together.

    `answer_all` gets up to `most` questions and answers each. Where it raises, each of them raises that, and so do
    those that were waiting: what has failed them would make them wait as long for the same. After so and so many
    questions there is a `pause`, in seconds, in which more of them gather.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        at_once: int = 1,
        pause: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self._pause = pause
        self._answer_all = answer_all
        self._most = most
        self._at_once = at_once
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """The answer. Whoever stops waiting for it does not keep the others from theirs."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
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
        await asyncio.sleep(0)  # others may be about to ask in this very turn of the event loop
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            try:
                answers = await self._answer_all([question for question, _ in batch])
            except BaseException as error:
                waiting, self._waiting = self._waiting, deque()
                for _, future in (*batch, *waiting):
                    _fail(future, error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
            await asyncio.sleep(self._pause(len(batch)))


def pause_in_storms(count: int) -> float:
    """When many come at once, some more are on their way: they are asked about together, however fast answers are."""
    return 0.0 if count < FEW else min(PAUSE * count, LONGEST_PAUSE)


def _fail(future: "asyncio.Future[Answer]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
