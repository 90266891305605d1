"""Conversations that other applications lead: answered from the caller's documents, or by the language model alone.

Messages, tools and pieces of answers have OpenAI's form, which is what both sides speak.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.engines import Asked
from app.adapters.llm import LanguageModel, RelayingModel, Turn
from app.errors import AppError, InvalidInput
from app.events import Citation
from app.models import Message
from app.permissions import Principal
from app.schemas.query import QueryResult, TokenEvent, UsageRead
from app.schemas.search import MAX_QUESTION_LENGTH, SearchFields
from app.schemas.texts import is_visible
from app.services.answers import AnswerService, Inquiry
from app.services.evidence import Passage
from app.services.limits import LimitService
from app.services.metering import CHARACTERS_PER_TOKEN
from app.services.model_names import Answerer, ModelNames
from app.services.prompts import beside, help_with

MOST_TURNS: Final = 20  # of the conversation so far, that the language model is told
LONGEST_TURN: Final = 4_000  # characters
FINISHED: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
TEXTS: Final = frozenset({"text", "input_text", "output_text"})
SYSTEM: Final = frozenset({"system", "developer"})

OpenAIMessage = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """`options` are for the language model: tools, sampling. `search` narrows what is looked up."""

    model: str
    messages: Sequence[OpenAIMessage]
    options: Mapping[str, Any] = field(default_factory=dict)
    search: SearchFields = field(default_factory=lambda: SearchFields(sources=["documents", "memories"]))

    @property
    def has_tools(self) -> bool:
        """Whether it is the application that decides what an answer looks like."""
        wanted = any(self.options.get(name) for name in ("tools", "response_format"))
        return wanted or any(message["role"] == "tool" or message.get("tool_calls") for message in self.messages)


@dataclass(frozen=True, slots=True)
class Piece:
    """The next piece of the answer: what OpenAI calls a delta."""

    delta: Mapping[str, Any]
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Last. `text` is the whole answer where it was checked against the documents, with what bears it out."""

    finish_reason: str
    usage: UsageRead
    text: str | None = None
    citations: Sequence[Citation] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer that can begin; `passages` are what it is made from. Whoever takes `parts` closes them."""

    id: UUID
    model: str
    parts: AsyncGenerator[Piece | Ending, None]
    question: str = ""
    passages: Sequence[Passage] = ()


class CompletionService:
    """`llm` is None where no language model is configured: then the documents are quoted."""

    def __init__(
        self, answers: AnswerService, names: ModelNames, llm: LanguageModel | None, limits: LimitService
    ) -> None:
        self._answers = answers
        self._names = names
        self._relay = llm if isinstance(llm, RelayingModel) else None
        self._limits = limits

    async def begin(self, actor: Principal, asked: Conversation) -> Completion:
        """Look up what the answer is made from. Closing its parts stops the language model.

        Raises:
            ModelNotFound: nobody answers by this name.
            InvalidInput: nobody asks anything.
            RateLimited: the actor has no tokens of the language model left.
            ServiceUnavailable: the embedding model does not answer.
        """
        answerer = await self._names.choose(actor, asked.model)
        if answerer.is_raw:
            await self._answers.require_tokens(actor)
            return Completion(uuid7(), asked.model, self._pass_on(actor, asked.messages, asked.options))
        number, question = _last_question(asked.messages)
        inquiry = await self._look_up(actor, answerer, asked, number, question)
        if asked.has_tools and self._relay is not None:
            await self._answers.require_tokens(actor)
            parts = self._pass_on(actor, _with_passages(asked.messages, number, inquiry.passages), asked.options)
        else:
            parts = self._tell(actor, inquiry, await self._asked(actor, asked, number, question, inquiry))
        return Completion(inquiry.id, asked.model, parts, inquiry.question, inquiry.passages)

    async def _look_up(
        self, actor: Principal, answerer: Answerer, asked: Conversation, number: int, question: str
    ) -> Inquiry:
        search = asked.search
        if answerer.project_ids is not None:
            both = [one for one in answerer.project_ids if search.project_ids is None or one in search.project_ids]
            search = search.model_copy(update={"project_ids": both})
        said = [
            Message(text=turn.text, user_name="Person", is_spirit=turn.speaker == "assistant")
            for turn in _turns_before(asked.messages, number)
        ]
        return await self._answers.look_up(
            actor.user_id, question[:MAX_QUESTION_LENGTH], search, said=said, asker=actor
        )

    async def _asked(
        self, actor: Principal, asked: Conversation, number: int, question: str, inquiry: Inquiry
    ) -> Asked | None:
        """None without a language model. Raises RateLimited."""
        if not self._answers.converses:
            return None
        await self._answers.require_tokens(actor)
        instructions = "\n\n".join(text_of(message) for message in asked.messages if message["role"] in SYSTEM)
        return help_with(inquiry.passages, question, _turns_before(asked.messages, number), instructions)

    async def _tell(
        self, actor: Principal, inquiry: Inquiry, asked: Asked | None
    ) -> AsyncGenerator[Piece | Ending, None]:
        async with contextlib.aclosing(self._answers.tell(actor, inquiry, asked)) as parts:
            async for part in parts:
                if isinstance(part, TokenEvent):
                    yield Piece({"content": part.delta})
                elif isinstance(part, QueryResult):
                    yield Ending("stop", part.usage, part.answer, part.citations)

    async def _pass_on(
        self, actor: Principal, messages: Sequence[OpenAIMessage], options: Mapping[str, Any]
    ) -> AsyncGenerator[Piece | Ending, None]:
        """What the language model streams, charged to the actor also where nobody listens to the end."""
        assert self._relay is not None
        heard = _Heard(sum(len(text_of(message)) for message in messages))
        try:
            async with contextlib.aclosing(self._relay.relay({**options, "messages": messages})) as chunks:
                async for chunk in chunks:
                    for piece in heard.take(chunk):
                        yield piece
        except AppError:
            heard.has_failed = True
            raise
        finally:
            if heard.tokens:
                await asyncio.shield(asyncio.ensure_future(self._limits.charge_tokens(actor, heard.tokens)))
        yield Ending(heard.finish_reason, heard.usage)


class _Heard:
    """What came of an answer so far; `asked` is the number of characters that went in."""

    def __init__(self, asked: int) -> None:
        self.finish_reason = "stop"
        self.usage = UsageRead(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        self.has_failed = False
        self._asked = asked
        self._characters = 0

    @property
    def tokens(self) -> int:
        """As the server counts them, or about; none where it failed before it said anything."""
        if self.usage.total_tokens:
            return self.usage.total_tokens
        is_free = self.has_failed and not self._characters
        return 0 if is_free else (self._asked + self._characters) // CHARACTERS_PER_TOKEN + 1

    def take(self, chunk: Mapping[str, Any]) -> Sequence[Piece]:
        if counted := chunk.get("usage"):
            self.usage = _usage(counted)
        return [self._piece(choice) for choice in (chunk.get("choices") or ())[:1] if choice.get("delta") is not None]

    def _piece(self, choice: Mapping[str, Any]) -> Piece:
        delta = {name: value for name, value in choice["delta"].items() if value is not None and name != "role"}
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        self._characters += len(str(delta.get("content") or "")) + len(str(delta.get("tool_calls") or ""))
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason if reason in FINISHED else "stop"
        return Piece(delta, choice.get("logprobs"))


@dataclass(slots=True)
class Collected:
    """The whole of an answer that came in pieces."""

    ending: Ending
    text: str = ""
    refusal: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: dict[str, Any] | None = None

    @classmethod
    async def of(cls, parts: AsyncGenerator[Piece | Ending, None]) -> "Collected":
        collected = cls(Ending("stop", UsageRead(prompt_tokens=0, completion_tokens=0, total_tokens=0)))
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, Ending):
                    collected.ending = part
                else:
                    collected._add(part)
        if collected.ending.text is not None:
            collected.text = collected.ending.text
        return collected

    def _add(self, piece: Piece) -> None:
        self.text += piece.delta.get("content") or ""
        self.refusal += piece.delta.get("refusal") or ""
        for call in piece.delta.get("tool_calls") or ():
            add_call(self.tool_calls, call)
        for name, values in (piece.logprobs or {}).items():
            if values:
                self.logprobs = self.logprobs or {}
                self.logprobs[name] = [*self.logprobs.get(name, ()), *values]


def add_call(calls: list[dict[str, Any]], delta: Mapping[str, Any]) -> int:
    """Put a piece of a call to a tool where it belongs; which call that is, is returned."""
    known = {call["index"]: number for number, call in enumerate(calls)}
    number = known.get(delta["index"], len(calls))
    if number == len(calls):
        calls.append({"index": delta["index"], "id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[number], delta.get("function") or {}
    call["id"] = call["id"] or delta.get("id") or f"call_{uuid7().hex}"
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
    return number


def text_of(message: OpenAIMessage) -> str:
    """What is said in it, in whatever parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = (part["text"] for part in content or () if part.get("type") in TEXTS and isinstance(part.get("text"), str))
    return "\n".join(parts)


def _last_question(messages: Sequence[OpenAIMessage]) -> tuple[int, str]:
    """The number of the last message in which the person says something, and what that is. Raises InvalidInput."""
    for number in reversed(range(len(messages))):
        text = text_of(messages[number])
        if messages[number]["role"] == "user" and is_visible(text):
            return number, text.replace("\0", " ").strip()
    raise InvalidInput("There is no message of the user that says anything.", field="messages")


def _turns_before(messages: Sequence[OpenAIMessage], number: int) -> Sequence[Turn]:
    """What both sides said before the message with this number."""
    said: list[Turn] = []
    for message in messages[:number]:
        text = text_of(message)[:LONGEST_TURN]
        if text and message["role"] == "user":
            said.append(Turn("user", text))
        elif text and message["role"] == "assistant":
            said.append(Turn("assistant", text))
    return said[-MOST_TURNS:]


def _with_passages(
    messages: Sequence[OpenAIMessage], number: int, passages: Sequence[Passage]
) -> Sequence[OpenAIMessage]:
    """The same conversation, with the passages before the question."""
    if not passages:
        return messages
    told = {"role": "system", "content": beside(passages)}
    return [*messages[:number], told, *messages[number:]]


def _usage(counted: Mapping[str, Any]) -> UsageRead:
    prompt, completion = counted.get("prompt_tokens") or 0, counted.get("completion_tokens") or 0
    return UsageRead(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
