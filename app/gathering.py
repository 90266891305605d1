"""Calls that come at the same time are answered together, in one transaction or one question."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """A call alone is answered at once. What comes while others are being answered waits, and goes next, together.

    `answer_all` gets up to `most` questions and answers each. Where it raises, each of them raises that, and so do
    those that were waiting: what has failed them would make them wait as long for the same.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        at_once: int = 1,
    ) -> None:
        self._answer_all = answer_all
        self._most = most
        self._at_once = at_once
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """The answer. Whoever stops waiting for it does not keep the others from theirs."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if len(self._under_way) < self._at_once:
            # Nobody's request id, for it is everybody's work.
            task = asyncio.create_task(self._answer_waiting(), context=contextvars.Context())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await future

    async def _answer_waiting(self) -> None:
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


def _fail(future: "asyncio.Future[Answer]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
