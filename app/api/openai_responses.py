"""Responses, as OpenAI's clients ask for them."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from fastapi import Request, Response

from app.api.deps import Reader, ServicesDep
from app.api.openai_response_events import Event, ResponseEvents
from app.api.routing import Router
from app.api.streams import Events, ServerSentEvent, event_stream, unless_gone
from app.errors import InvalidInput
from app.permissions import Principal
from app.schemas.openai_common import uuid_of
from app.schemas.openai_files import condition_of
from app.schemas.openai_responses import FileSearchTool, FunctionTool, ResponseRead, ResponseRequest
from app.schemas.search import SearchFields, SearchFilters
from app.services import Services
from app.services.completions import Conversation

router = Router(tags=["openai"])

EVENT_SCHEMA = {"type": "string", "contentMediaType": "application/json", "description": "`data:` of each event."}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The response, or with `stream: true` Server-Sent Events from `response.created` to "
        "`response.completed`",
        "content": {"text/event-stream": {"schema": EVENT_SCHEMA}},
    }
}
ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
TEXTS: Final = frozenset({"input_text", "output_text", "text"})
LEFT_OUT: Final = frozenset({"file_search_call", "reasoning"})
"""Parts of earlier responses that clients send back, and that are of no use any more."""


@router.post("/responses", response_model=ResponseRead, responses=ANSWERS)
async def create_response(
    request: Request, actor: Reader, services: ServicesDep, data: ResponseRequest
) -> ResponseRead | Response:
    """Answer from the caller's documents, with a `file_citation` for each marker `[n]` of the answer.

    The tool `file_search` narrows where is looked; other models, and tools of the kind `function`, are as in
    `/v1/chat/completions`. Responses are not kept.
    """
    return await _respond(request, actor, services, data)


async def _respond(
    request: Request, actor: Principal, services: Services, data: ResponseRequest
) -> ResponseRead | Response:
    if not data.stream:
        return await unless_gone(request, _whole(actor, services, data))
    begun = await unless_gone(request, services.compatibility.completions.begin(actor, _conversation(data)))
    return begun if isinstance(begun, Response) else event_stream(_told(ResponseEvents(data, begun).events()))


async def _whole(actor: Principal, services: Services, data: ResponseRequest) -> ResponseRead:
    return await ResponseEvents(
        data, await services.compatibility.completions.begin(actor, _conversation(data))
    ).whole()


async def _told(events: AsyncGenerator[Event, None]) -> Events:
    async with aclosing(events):
        async for event in events:
            yield ServerSentEvent(event["type"], json.dumps(event, ensure_ascii=False))


def _conversation(data: ResponseRequest) -> Conversation:
    given = [{"role": "user", "content": data.input}] if isinstance(data.input, str) else data.input
    messages = [message for number, item in enumerate(given) for message in _messages(item, f"input.{number}")]
    if data.instructions:
        messages.insert(0, {"role": "system", "content": data.instructions})
    return Conversation(data.model, messages, _options(data), _search(data))


def _options(data: ResponseRequest) -> dict[str, Any]:
    """What the language model is passed."""
    options = data.model_dump(include={"temperature", "top_p", "parallel_tool_calls"}, exclude_none=True)
    if data.max_output_tokens is not None:
        options["max_tokens"] = data.max_output_tokens
    functions = [tool for tool in data.tools or () if isinstance(tool, FunctionTool)]
    if functions:
        fields = [tool.model_dump(exclude={"type"}, exclude_none=True) for tool in functions]
        options["tools"] = [{"type": "function", "function": function} for function in fields]
        options["tool_choice"] = _choice(data.tool_choice)
    wanted = dict(data.text.format) if data.text and data.text.format else {"type": "text"}
    if wanted.get("type") == "json_schema":
        options["response_format"] = {"type": wanted.pop("type"), "json_schema": wanted}
    elif wanted.get("type") == "json_object":
        options["response_format"] = wanted
    return options


def _choice(given: str | dict[str, Any] | None) -> str | dict[str, Any]:
    if isinstance(given, dict):
        return {"type": "function", "function": {"name": given.get("name")}} if given.get("name") else "auto"
    return given or "auto"


def _search(data: ResponseRequest) -> SearchFields:
    """In everything, unless `file_search` names some stores: then in their documents."""
    tools = [tool for tool in data.tools or () if isinstance(tool, FileSearchTool)]
    if not tools:
        return SearchFields(sources=["documents", "memories"])
    filters = [condition_of(tool.filters) for tool in tools if tool.filters is not None]
    return SearchFields(
        project_ids=[uuid_of(given) for tool in tools for given in tool.vector_store_ids],
        filters=SearchFilters(where={"$and": filters} if filters else None),
        top_k=max(tool.max_num_results or 10 for tool in tools),
    )


def _messages(item: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """An item of the input in the form of a chat. Raises InvalidInput."""
    match item.get("type", "message"):
        case "message" if item.get("role") in ROLES:
            yield {"role": item["role"], "content": _content(item.get("content"), f"{where}.content")}
        case "function_call":
            function = {"name": str(item.get("name", "")), "arguments": str(item.get("arguments", ""))}
            call = {"id": str(item.get("call_id", "")), "type": "function", "function": function}
            yield {"role": "assistant", "tool_calls": [call]}
        case "function_call_output":
            output = item.get("output")
            said = output if isinstance(output, str) else json.dumps(output)
            yield {"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": said}
        case kind if kind not in LEFT_OUT:
            raise InvalidInput("There is no such item here: messages, and calls of functions.", field=where)


def _content(content: Any, where: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise InvalidInput("It is a text, or a list of parts.", field=where)
    return [_part(part, where) for part in content]


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    if part.get("type") in TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    raise InvalidInput("Parts are texts, or pictures with their `image_url`.", field=where)
