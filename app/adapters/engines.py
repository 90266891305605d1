"""What makes the answers: the language model with our own prompt, or a program of the operator's."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from app.adapters.llm import Delta, LanguageModel, TokenUsage, Turn
from app.settings.answers import AnswerSettings

LANGCHAIN = "app.adapters.langchain_engine"


class UnusableEngine(ValueError):
    """ANSWER_ENGINE names what is not there, or cannot answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that an answer may cite as `[marker]`. Of the two ids one is None."""

    marker: int
    text: str
    title: str
    page: int | None
    heading: str | None
    document_id: UUID | None
    memory_id: UUID | None
    score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A message that is to be answered, with what is known about it.

    `history` is what was said before, the oldest first; `instructions`: what the place where it is asked wants of an
    answer, often nothing. `turns` are all of it in the words that a language model is told.
    """

    question: str
    sources: Sequence[Source]
    history: Sequence[Turn]
    instructions: str
    turns: Sequence[Turn]


class AnswerEngine(Protocol):
    @property
    def name(self) -> str: ...

    def stream(self, asked: Asked) -> AsyncGenerator[Delta | TokenUsage, None]:
        """The answer, piece by piece. Closing the generator, or cancelling its reader, stops the engine.

        Raises:
            ServiceUnavailable: it cannot be reached, fails, falls silent or does not end.
        """
        ...


class PromptedModel:
    """The language model, told what `prompts.py` says."""

    def __init__(self, llm: LanguageModel) -> None:
        self._llm = llm

    @property
    def name(self) -> str:
        return self._llm.name

    def stream(self, asked: Asked) -> AsyncGenerator[Delta | TokenUsage, None]:
        return self._llm.stream(asked.turns)


@contextlib.asynccontextmanager
async def open_answer_engine(settings: AnswerSettings) -> AsyncIterator[AnswerEngine | None]:
    """The operator's engine; None where answers are made by the house itself.

    LangChain is loaded only where it is used, and in a thread: it takes a second or two.

    Raises:
        UnusableEngine: LangChain is not installed, or what the settings name is none of its Runnables.
    """
    if not settings.langchain:
        yield None
        return
    try:
        langchain = await asyncio.to_thread(importlib.import_module, LANGCHAIN)
    except ImportError as error:
        raise UnusableEngine(
            f"ANSWER_ENGINE needs LangChain, which cannot be loaded ({error}): install langchain-core"
        ) from error
    async with langchain.connect(settings) as engine:
        yield engine
