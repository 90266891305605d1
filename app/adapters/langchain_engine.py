"""Any Runnable of LangChain's as what answers questions.

It is a program of the operator's, which may block, never end, or use up its threads. So it lives on an event loop of
its own, in a thread of its own: whatever it does there holds up nobody but those who wait for its answers, and these
wait no longer than `ANSWER_ENGINE_TIMEOUT` for a sign of life.
"""

import asyncio
import contextlib
import importlib
import itertools
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final

import structlog
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig

from app.adapters.engines import AnswerEngine, Asked, Source, UnusableEngine
from app.adapters.llm import Delta, Speaker, TokenUsage, Turn
from app.errors import ServiceUnavailable
from app.settings.answers import AnswerSettings

log = structlog.get_logger(__name__)

THREADS: Final = 16  # for the parts of chains that block
MOST_WAITING: Final = 32  # pieces that are said; then the chain waits until they are taken
LONGEST_ANSWER: Final = 200_000  # characters
CLOSING_PATIENCE: Final = 3.0  # seconds for chains to end with the process
MESSAGES: Final[Mapping[Speaker, Callable[[str], BaseMessage]]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}

Chain = Runnable[dict[str, Any], Any]
Piece = Delta | TokenUsage | Exception | None  # None: everything was said
Tell = Callable[[Piece], Awaitable[None]]


class NoText(Exception):
    """The chain streams something that cannot be shown."""


class TooLong(Exception):
    """The answer does not end."""


class RunnableEngine:
    def __init__(self, chain: Chain, loop: asyncio.AbstractEventLoop, settings: AnswerSettings) -> None:
        self._chain = chain
        self._loop = loop
        self._settings = settings

    @property
    def name(self) -> str:
        return self._settings.engine

    async def stream(self, asked: Asked) -> AsyncGenerator[Delta | TokenUsage, None]:
        """See `AnswerEngine.stream`. Nothing is tried again: who made the chain knows whether that is of use."""
        pieces: asyncio.Queue[Piece] = asyncio.Queue()
        here, numbers = asyncio.get_running_loop(), itertools.count(1)

        async def tell(piece: Piece) -> None:
            here.call_soon_threadsafe(pieces.put_nowait, piece)
            if next(numbers) % MOST_WAITING == 0:  # not each time: to hear from another thread takes a while
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pieces.join(), here))

        running = asyncio.run_coroutine_threadsafe(self._run(asked, tell), self._loop)
        try:
            while (piece := await self._next_of(pieces)) is not None:
                yield piece
        except Exception as error:
            raise _explained(error) from error
        finally:
            running.cancel()

    async def _next_of(self, pieces: "asyncio.Queue[Piece]") -> Delta | TokenUsage | None:
        async with asyncio.timeout(self._settings.engine_timeout.total_seconds()):
            piece = await pieces.get()
        pieces.task_done()
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def _run(self, asked: Asked, tell: Tell) -> None:
        """The whole answer, on the loop of the chains, as one task: that is what they are used to."""
        try:
            await self._say(asked, tell)
        except BaseException as error:  # also SystemExit, and a task that cancels itself
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            await tell(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _say(self, asked: Asked, tell: Tell) -> None:
        counting, length = UsageMetadataCallbackHandler(), 0
        config = RunnableConfig(run_name="hearth", callbacks=[counting])
        async with _closing(self._chain.astream(_given(asked), config)) as parts:
            async for part in parts:
                text = _text_of(part)
                length += len(text)
                if length > LONGEST_ANSWER:
                    raise TooLong
                if text:
                    await tell(Delta(text))
        await tell(_usage(counting))
        await tell(None)


@contextlib.asynccontextmanager
async def connect(settings: AnswerSettings) -> AsyncIterator[AnswerEngine]:
    """The chain that `settings` name, ready to answer.

    Raises:
        UnusableEngine: it cannot be imported, or is no Runnable.
    """
    chain = await asyncio.to_thread(load, settings.langchain)
    async with _loop_of_its_own() as loop:
        yield RunnableEngine(chain, loop, settings)


def load(path: str) -> Chain:
    """`package.module:chain`, or what it is a part of: `package.module:object.chain`.

    Raises:
        UnusableEngine: it cannot be imported, or is no Runnable.
    """
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        hint = "install it, or put the folder that it lies in into PYTHONPATH"
        raise UnusableEngine(f"ANSWER_ENGINE: {path} cannot be imported ({error}): {hint}") from error
    except Exception as error:
        raise UnusableEngine(f"ANSWER_ENGINE: {path} cannot be loaded: {error!r}") from error
    if not isinstance(found, Runnable):
        raise UnusableEngine(f"ANSWER_ENGINE: {path} is no Runnable of LangChain's, it is of {type(found)}")
    return found


@contextlib.asynccontextmanager
async def _loop_of_its_own() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """An event loop with threads of its own. What hangs there does not keep the process from closing it."""
    loop = asyncio.new_event_loop()
    threads = ThreadPoolExecutor(THREADS, "answer-engine")
    loop.set_default_executor(threads)
    thread = threading.Thread(target=_run, args=(loop,), name="answer-engine", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        ending = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_end_tasks(loop), loop))
        await asyncio.wait({ending}, timeout=CLOSING_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(thread.join, CLOSING_PATIENCE)
        if not thread.is_alive():
            loop.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            return loop.run_forever()
        except SystemExit as error:  # of a chain that wants to leave: whoever awaits it hears of that, too
            log.warning("answer_engine.exit", error=repr(error))


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()


@contextlib.asynccontextmanager
async def _closing(parts: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    """At once, if it can be closed: whoever streams from a model then hangs up."""
    try:
        yield parts
    finally:
        close: Callable[[], Coroutine[Any, Any, None]] | None = getattr(parts, "aclose", None)
        if close is not None:
            await close()


def _given(asked: Asked) -> dict[str, Any]:
    """What a chain is invoked with."""
    return {
        "question": asked.question,
        "passages": [_document(source) for source in asked.sources],
        "history": [_message(turn) for turn in asked.history],
        "instructions": asked.instructions,
    }


def _document(source: Source) -> Document:
    metadata = {name: value for name, value in asdict(source).items() if name != "text" and value is not None}
    ids = {name: str(metadata[name]) for name in ("document_id", "memory_id") if name in metadata}
    return Document(page_content=source.text, metadata={**metadata, **ids})


def _message(turn: Turn) -> BaseMessage:
    return MESSAGES[turn.speaker](turn.text)


def _text_of(part: object) -> str:
    """Of what a chain streams: text, messages, or dictionaries with an `answer`. Raises NoText."""
    if isinstance(part, dict):
        part = part.get("answer", "")  # beside it stand parts of what went in
    if isinstance(part, BaseMessage):
        part = part.text
    if not isinstance(part, str):
        raise NoText(f"a chain streams text, messages, or dictionaries with an answer, and not {type(part)}")
    return part.replace("\0", "").encode(errors="replace").decode()


def _usage(counting: UsageMetadataCallbackHandler) -> TokenUsage:
    """Of all models that the chain has asked; zero where they do not count."""
    used = counting.usage_metadata.values()
    return TokenUsage(sum(one["input_tokens"] for one in used), sum(one["output_tokens"] for one in used))


def _explained(error: Exception) -> ServiceUnavailable:
    """In words for the person who asked; what the chain said stays in the log."""
    log.warning("answer_engine.failed", error=repr(error), exception="".join(traceback.format_exception(error)))
    match error:
        case TimeoutError():
            return ServiceUnavailable("The answer engine does not answer in time.")
        case TooLong():
            return ServiceUnavailable("The answer engine does not end its answer.")
        case NoText():
            return ServiceUnavailable("The answer engine gave an answer that cannot be read.")
        case _:
            return ServiceUnavailable("The answer engine failed.")
