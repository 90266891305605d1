"""Chat completions, as OpenAI's clients ask for them."""

import time
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response

from app.api.deps import Reader, ServicesDep
from app.api.openai_errors import openai_error, openai_status
from app.api.routing import Router
from app.api.streams import Events, ServerSentEvent, event_stream, unless_gone
from app.schemas.common import ErrorBody
from app.schemas.openai_chat import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    Sampling,
)
from app.schemas.query import ErrorEvent
from app.services.completions import Collected, Completion, Conversation, Ending, Piece

router = Router(tags=["openai"])

FOR_THE_MODEL = {*Sampling.model_fields, "max_tokens"}
CHUNK_SCHEMA = {"type": "string", "contentMediaType": "application/json", "description": "`data:` of each event."}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or with `stream: true` Server-Sent Events with a chunk each, and last `[DONE]`",
        "content": {"text/event-stream": {"schema": CHUNK_SCHEMA}},
    }
}
DONE = ServerSentEvent(None, "[DONE]")


@router.post("/chat/completions", response_model=ChatCompletion, responses=ANSWERS)
async def create_chat_completion(
    request: Request, actor: Reader, services: ServicesDep, data: ChatRequest
) -> ChatCompletion | Response:
    """Answer the last message of a conversation, by default from the caller's documents and with markers `[n]`.

    `hearth` looks in everything that the caller may see, `hearth/<id or name of a project>` in one project; the
    quotations stand in `citations`. `hearth-raw` is the configured language model as it is.
    """
    return await _answer(request, data, services.compatibility.completions.begin(actor, _conversation(data)))


async def _answer(request: Request, data: ChatRequest, beginning: Awaitable[Completion]) -> ChatCompletion | Response:
    if not data.stream:
        return await unless_gone(request, _whole(beginning))
    completion = await unless_gone(request, beginning)
    if isinstance(completion, Response):
        return completion
    wants_usage = bool(data.stream_options and data.stream_options.include_usage)
    return event_stream(_events(completion, wants_usage=wants_usage), as_event=failure_event)


def failure_event(event: ErrorEvent) -> ServerSentEvent:
    """In the middle of a stream, where there is no status any more."""
    told = openai_error(openai_status(500), ErrorBody(code=event.code, message=event.message, details={}))
    return ServerSentEvent(None, told.model_dump_json())


def _conversation(data: ChatRequest) -> Conversation:
    messages = [message.model_dump(exclude_none=True) for message in data.messages]
    options = data.model_dump(include=FOR_THE_MODEL, exclude_none=True)
    if data.max_completion_tokens is not None:
        options["max_tokens"] = data.max_completion_tokens
    return Conversation(data.model, messages, options)


async def _whole(beginning: Awaitable[Completion]) -> ChatCompletion:
    completion = await beginning
    collected = await Collected.of(completion.parts)
    calls = [{name: value for name, value in call.items() if name != "index"} for call in collected.tool_calls]
    message = AnswerMessage(
        content=collected.text if collected.text or not calls else None,
        refusal=collected.refusal or None,
        tool_calls=calls or None,
        citations=collected.ending.citations or None,
    )
    choice = ChatChoice(message=message, logprobs=collected.logprobs, finish_reason=collected.ending.finish_reason)
    return ChatCompletion(
        id=_id_of(completion),
        created=int(time.time()),
        model=completion.model,
        choices=[choice],
        usage=_usage(collected.ending),
    )


async def _events(completion: Completion, *, wants_usage: bool) -> Events:
    told = {"id": _id_of(completion), "created": int(time.time()), "model": completion.model}

    def event(*choices: ChunkChoice, **fields: Any) -> ServerSentEvent:
        chunk = ChatChunk(**told, choices=choices, **fields)
        left_out = {"citations"} if chunk.citations is None else set()
        return ServerSentEvent(None, chunk.model_dump_json(exclude=left_out if wants_usage else {*left_out, "usage"}))

    yield event(ChunkChoice(delta={"role": "assistant", "content": ""}))
    async with aclosing(completion.parts):
        async for part in completion.parts:
            if isinstance(part, Piece):
                logprobs = None if part.logprobs is None else dict(part.logprobs)
                yield event(ChunkChoice(delta=dict(part.delta), logprobs=logprobs))
                continue
            yield event(ChunkChoice(delta={}, finish_reason=part.finish_reason), citations=part.citations or None)
            if wants_usage:
                yield event(usage=_usage(part))
    yield DONE


def _id_of(completion: Completion) -> str:
    return f"chatcmpl-{completion.id.hex}"


def _usage(ending: Ending) -> ChatUsage:
    return ChatUsage.model_validate(ending.usage.model_dump())
