"""A language model behind any endpoint that speaks OpenAI's chat completions."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import openai
import structlog
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionUserMessageParam,
)

from app.adapters.llm import DEFAULT_SAMPLING, Delta, LanguageModel, Sampling, TokenUsage, Turn
from app.errors import BadRequest, ServiceUnavailable
from app.settings import LLMSettings
from app.telemetry.model_calls import ModelCall

log = structlog.get_logger(__name__)

ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds; doubled each time
LONGEST_PAUSE = 8.0  # seconds; a server that asks for more has to be asked again by the caller
LONGEST_REASON = 500  # characters of what a server says about a request that it does not accept
WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
NO_KEY = "none"  # servers of one's own rarely want a key, and the client insists on one


class BrokenOff(Exception):
    """The stream ended before the model said that it had finished."""


FAILURES = (openai.OpenAIError, BrokenOff, TimeoutError, ValueError)  # ValueError: what came is no JSON


class OpenAIModel:
    def __init__(self, client: openai.AsyncOpenAI, settings: LLMSettings) -> None:
        self._client = client
        self._settings = settings

    @property
    def name(self) -> str:
        return self._settings.model

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling = DEFAULT_SAMPLING
    ) -> AsyncGenerator[Delta | TokenUsage, None]:
        """See `LanguageModel.stream`. Tried again only while nothing has been said yet."""
        for attempt in range(1, ATTEMPTS + 1):
            begun = False
            try:
                async with contextlib.aclosing(self._stream_once(turns, sampling)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
            except FAILURES as error:
                pause = _pause_before(attempt, error)
                if begun or pause is None:
                    raise _explained(error) from error
                log.warning("llm.trying_again", attempt=attempt, error=repr(error))
                await asyncio.sleep(pause)
            else:
                return

    async def relay(self, request: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any], None]:
        """See `RelayingModel.relay`."""
        most = self._settings.max_tokens
        body = {
            "temperature": self._settings.temperature,
            **request,
            "model": self._settings.model,
            "max_tokens": min(request.get("max_tokens") or most, most),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            async with contextlib.aclosing(self._relay_once(body)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            log.warning("llm.refused", error=repr(error))
            reason = error.message[:LONGEST_REASON]
            raise BadRequest(f"The language model does not accept this request: {reason}") from error
        except FAILURES as error:
            raise _explained(error) from error

    async def _relay_once(self, body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any], None]:
        finished = False
        with ModelCall("chat", self._settings.model) as call:
            chunks = await self._client.post(
                "/chat/completions",
                cast_to=ChatCompletionChunk,
                body=body,
                options={"headers": call.headers},
                stream=True,
                stream_cls=openai.AsyncStream[ChatCompletionChunk],
            )
            async with chunks:
                while (chunk := await self._next_of(chunks)) is not None:
                    _note(call, chunk)
                    finished = finished or any(choice.finish_reason for choice in chunk.choices or ())
                    yield chunk.model_dump(mode="json", exclude_unset=True)
            if not finished:
                raise BrokenOff

    async def check(self) -> None:
        try:
            await self._client.models.list(timeout=self._settings.connect_timeout.total_seconds())
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.InternalServerError) as error:
            raise _explained(error) from error
        except openai.APIStatusError:
            return  # it answers, but keeps no list of models
        except FAILURES as error:
            raise _explained(error) from error

    async def _stream_once(self, turns: Sequence[Turn], sampling: Sampling) -> AsyncGenerator[Delta | TokenUsage, None]:
        warmth = sampling.temperature
        model = sampling.model or self._settings.model
        finished = False
        with ModelCall("chat", model) as call:
            chunks = await self._client.chat.completions.create(
                model=model,
                messages=[_message(turn) for turn in turns],
                temperature=self._settings.temperature if warmth is None else warmth,
                max_tokens=sampling.max_tokens or self._settings.max_tokens,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=call.headers,
            )
            async with chunks:
                while (chunk := await self._next_of(chunks)) is not None:
                    _note(call, chunk)
                    for choice in chunk.choices or ():
                        if text := choice.delta and choice.delta.content:  # the last one may come without a delta
                            yield Delta(_storable(text))
                        finished = finished or bool(choice.finish_reason)
                    if chunk.usage is not None:
                        yield TokenUsage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            if not finished:
                raise BrokenOff

    async def _next_of(self, chunks: openai.AsyncStream[ChatCompletionChunk]) -> ChatCompletionChunk | None:
        """The next chunk, None at the end. Keep-alive comments do not count as a word from the model."""
        async with asyncio.timeout(self._settings.token_timeout.total_seconds()):
            return await anext(chunks, None)


@contextlib.asynccontextmanager
async def connect(settings: LLMSettings) -> AsyncIterator[LanguageModel]:
    """The model at `settings.base_url`; nothing is asked of it yet."""
    patience, silence = settings.connect_timeout.total_seconds(), settings.token_timeout.total_seconds()
    client = openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key.get_secret_value() or NO_KEY,
        timeout=openai.Timeout(patience, read=silence),
        max_retries=0,  # ours know whether anything was said already
    )
    async with client:
        yield OpenAIModel(client, settings)


def _note(call: ModelCall, chunk: ChatCompletionChunk) -> None:
    if chunk.choices:
        call.hear()
    if chunk.usage is not None:
        call.use(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)


def _message(turn: Turn) -> ChatCompletionMessageParam:
    match turn.speaker:
        case "system":
            return ChatCompletionSystemMessageParam(role="system", content=turn.text)
        case "user":
            return ChatCompletionUserMessageParam(role="user", content=turn.text)
        case "assistant":
            return ChatCompletionAssistantMessageParam(role="assistant", content=turn.text)


def _storable(text: str) -> str:
    """Without what no database takes: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _pause_before(attempt: int, error: Exception) -> float | None:
    """Seconds to wait before the next try; None when another try is of no use, or there was the last one."""
    if attempt == ATTEMPTS or isinstance(error, TimeoutError | openai.APITimeoutError):
        return None  # who was silent for a minute is not asked for a second one
    pause = FIRST_PAUSE * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads, guards nothing
    if not isinstance(error, openai.APIStatusError):
        return pause
    if error.status_code not in WORTH_ANOTHER_TRY:
        return None
    asked = str(error.response.headers.get("retry-after", ""))
    wanted = float(asked) if asked.isdecimal() else pause
    return wanted if wanted <= LONGEST_PAUSE else None


def _explained(error: Exception) -> ServiceUnavailable:
    """In words for the person who asked; what the server said stays in the log."""
    log.warning("llm.failed", error=repr(error))
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ServiceUnavailable("The language model refuses the configured key.")
        case openai.NotFoundError():
            return ServiceUnavailable("The language model's address or name is not right.")
        case openai.RateLimitError():
            return ServiceUnavailable("The language model is busy. Please try again in a moment.")
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return ServiceUnavailable("The language model does not accept this request.")
        case TimeoutError() | openai.APITimeoutError():
            return ServiceUnavailable("The language model does not answer in time.")
        case BrokenOff():
            return ServiceUnavailable("The language model broke off in the middle of its answer.")
        case openai.APIConnectionError() | openai.InternalServerError():
            return ServiceUnavailable("The language model cannot be reached.")
        case _:
            return ServiceUnavailable("The language model gave an answer that cannot be read.")
