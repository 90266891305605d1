"""Many callers, one model: what waits together is embedded together, and no question waits behind a document."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import ServiceUnavailable

FloatArray = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Awaitable[FloatArray]]  # (texts, dimensions), one vector per text

MAX_WAITING_QUERIES = 1024
PASSAGE_CALLS = 2  # whose passages lie in the queue: one is served, and one follows without a pause
REMEMBERED_QUERIES = 1024
REMEMBERED_CHARACTERS = 1000  # a longer query is not remembered


@dataclass(frozen=True, slots=True)
class _Waiting:
    text: str
    vector: asyncio.Future[FloatArray]


class Batcher:
    """Calls `encode` up to `concurrency` times at once, with as much as waits and the two limits allow.

    There is no delay to gather a batch: whoever comes to an idle model is served at once.
    """

    def __init__(
        self, encode: Encode, dimensions: int, *, concurrency: int, max_texts: int, max_characters: int
    ) -> None:
        self._encode = encode
        self._dimensions = dimensions
        self._idle = concurrency
        self._max_texts = max_texts
        self._max_characters = max_characters
        self._queries: deque[_Waiting] = deque()
        self._passages: deque[_Waiting] = deque()
        self._turn = asyncio.Semaphore(PASSAGE_CALLS)
        self._running: set[asyncio.Task[None]] = set()
        self._remembered: OrderedDict[str, FloatArray] = OrderedDict()
        self._is_closed = False

    async def query(self, text: str) -> FloatArray:
        """(dimensions,), read-only, since it is remembered for those who ask the same.

        Raises:
            ServiceUnavailable: too many wait already, or what `encode` raised.
        """
        if text in self._remembered:
            self._remembered.move_to_end(text)
            return self._remembered[text]
        if len(self._queries) >= MAX_WAITING_QUERIES:
            raise ServiceUnavailable("Too many questions are waiting. Please try again in a moment.")
        vector = (await self._enqueue(self._queries, text)).copy()  # the batch that it is a row of can go
        vector.flags.writeable = False
        if len(text) <= REMEMBERED_CHARACTERS:
            self._remembered[text] = vector
            if len(self._remembered) > REMEMBERED_QUERIES:
                self._remembered.popitem(last=False)
        return vector

    async def passages(self, texts: Sequence[str]) -> FloatArray:
        """(texts, dimensions). Neighbours in a batch are of similar length, so that little is padded."""
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        async with self._turn:
            waiting = [self._enqueue(self._passages, texts[index]) for index in by_length]
            try:
                vectors = await asyncio.gather(*waiting)
            finally:
                for future in waiting:
                    future.cancel()  # of no use to anybody once one has failed, or the caller has gone
        ordered = np.empty((len(texts), self._dimensions), np.float32)
        for index, vector in zip(by_length, vectors, strict=True):
            ordered[index] = vector
        return ordered

    async def aclose(self) -> None:
        self._is_closed = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        _fail([*self._queries, *self._passages], ServiceUnavailable("The embedder is shutting down."))

    def _enqueue(self, queue: deque[_Waiting], text: str) -> asyncio.Future[FloatArray]:
        if self._is_closed:
            raise ServiceUnavailable("The embedder is shutting down.")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(text, loop.create_future())
        queue.append(waiting)
        loop.call_soon(self._dispatch)  # not at once: what others ask in this moment comes along
        return waiting.vector

    def _dispatch(self) -> None:
        while self._idle and not self._is_closed:
            batch = self._take(self._queries) or self._take(self._passages)
            if not batch:
                return
            self._idle -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        batch: list[_Waiting] = []
        characters = 0
        while queue and len(batch) < self._max_texts:
            characters += len(queue[0].text)
            if batch and characters > self._max_characters:
                break
            waiting = queue.popleft()
            if not waiting.vector.done():  # nobody waits any more
                batch.append(waiting)
        return batch

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        try:
            vectors = await self._encode([waiting.text for waiting in batch])
            for waiting, vector in zip(batch, vectors, strict=True):
                if not waiting.vector.done():
                    waiting.vector.set_result(vector)
        except asyncio.CancelledError:
            _fail(batch, ServiceUnavailable("The embedder is shutting down."))
            raise
        except Exception as error:  # belongs to those who wait, whatever it is
            _fail(batch, error)
        finally:
            self._idle += 1
            self._dispatch()


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.vector.done():
            waiting.vector.set_exception(error)
