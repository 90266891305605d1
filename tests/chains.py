"""Chains that answer questions, well and badly: what ANSWER_ENGINE may name."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnablePassthrough

NO_CHAIN = "a text"
given: list[dict[str, Any]] = []  # to `keeper`, the last call last
events: list[str] = []  # of `silent`


async def _keep(asked: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for one in asked:
        given.append(one)
        if not one["passages"]:
            yield "I only know lighthouses."
            return
        yield "The lighthouse was built "
        yield "by Ada Thorne ["
        yield f"{one['passages'][0].metadata['marker']}]. It can fly [99]."


async def _say_nothing(asked: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for _ in asked:
        try:
            yield "Well"
            events.append("waits")
            await asyncio.sleep(3600)
        finally:
            events.append("stopped")


async def _block(asked: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for _ in asked:
        time.sleep(0.5)  # noqa: ASYNC251 - what this is about
        yield "late"


async def _go_on(asked: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for _ in asked:
        while True:
            yield "and " * 10_000


async def _cancel_itself(_: object) -> str:
    raise asyncio.CancelledError


def _fail(_: object) -> str:
    raise LookupError("no such index")


class Model(BaseChatModel):
    """Says one sentence, and what it has cost."""

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages))

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        counted = UsageMetadata(input_tokens=11, output_tokens=5, total_tokens=16)
        for piece in ("By Ada ", "Thorne ", "[1]."):
            yield ChatGenerationChunk(message=AIMessageChunk(piece))
        last = AIMessageChunk("", usage_metadata=counted, response_metadata={"model_name": "fake"})
        yield ChatGenerationChunk(message=last)


keeper = RunnableGenerator(_keep)
silent = RunnableGenerator(_say_nothing)
blocking = RunnableGenerator(_block)
endless = RunnableGenerator(_go_on)
cancelled = RunnableLambda(_cancel_itself)
failing = RunnableLambda(_fail)
leaving = RunnableLambda(lambda _: sys.exit(3))
numbers = RunnableLambda(lambda _: 43)
model = (
    ChatPromptTemplate([("system", "{instructions}"), MessagesPlaceholder("history"), ("user", "{question}")]) | Model()
)
dictionaries = RunnablePassthrough.assign(answer=model | StrOutputParser())
