"""What is told of a response as it comes into being: the events that OpenAI's clients know, in their order."""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from app.errors import AppError
from app.events import Citation
from app.schemas.openai_common import file_id
from app.schemas.openai_responses import ResponseError, ResponseRead, ResponseRequest, ResponseUsage
from app.services.completions import Completion, Ending, Piece, add_call

RESULTS = "file_search_call.results"
Event = dict[str, Any]


class ResponseEvents:
    """`began` is the response before anything of it is there; each event tells a number that rises by one."""

    def __init__(self, asked: ResponseRequest, completion: Completion) -> None:
        self._completion = completion
        self._with_results = RESULTS in (asked.include or ())
        self._number = -1
        self._output: list[dict[str, Any]] = []
        self._text = ""
        self._calls: list[dict[str, Any]] = []
        self._message_id = f"msg_{completion.id.hex}"
        self._response = ResponseRead(
            id=f"resp_{completion.id.hex}",
            created_at=int(time.time()),
            status="in_progress",
            instructions=asked.instructions,
            model=asked.model,
            output=[],
            parallel_tool_calls=asked.parallel_tool_calls is not False,
            temperature=asked.temperature,
            top_p=asked.top_p,
            tool_choice=asked.tool_choice or "auto",
            tools=[tool.model_dump(mode="json") for tool in asked.tools or ()],
            max_output_tokens=asked.max_output_tokens,
            metadata={},
        )

    async def whole(self) -> ResponseRead:
        """The response when all of it is there. Raises what its parts raise."""
        async for _ in self._come():
            pass
        return self._response

    async def events(self) -> AsyncGenerator[Event, None]:
        """A failure on the way is the last one."""
        yield self._of_response("response.created")
        yield self._of_response("response.in_progress")
        try:
            async with aclosing(self._come()) as events:
                async for event in events:
                    yield event
        except AppError as error:
            code = "rate_limit_exceeded" if error.status == 429 else "server_error"
            failed = ResponseError(code=code, message=error.message)
            self._response = self._response.model_copy(update={"status": "failed", "error": failed})
        yield self._of_response(f"response.{self._response.status}")

    async def _come(self) -> AsyncGenerator[Event, None]:
        if self._completion.question:
            for event in self._search():
                yield event
        async with aclosing(self._completion.parts):
            async for part in self._completion.parts:
                for event in self._said(part) if isinstance(part, Piece) else self._end(part):
                    yield event

    def _search(self) -> Iterator[Event]:
        passages = [passage.match for passage in self._completion.passages if not passage.match.memory_id]
        results = [
            {"file_id": file_id(one.document_id), "filename": one.title, "score": round(one.score, 6), "text": one.text}
            for one in passages
        ]
        call = {
            "id": f"fs_{self._completion.id.hex}",
            "type": "file_search_call",
            "status": "completed",
            "queries": [self._completion.question],
            "results": results if self._with_results else None,
        }
        place = {"output_index": 0, "item_id": call["id"]}
        yield self._event(
            "response.output_item.added", output_index=0, item={**call, "status": "in_progress", "results": None}
        )
        for stage in ("in_progress", "searching", "completed"):
            yield self._event(f"response.file_search_call.{stage}", **place)
        yield self._done(call)

    def _said(self, piece: Piece) -> Iterator[Event]:
        for call in piece.delta.get("tool_calls") or ():
            add_call(self._calls, call)
        if text := piece.delta.get("content"):
            if not self._text:
                yield from self._begin_message()
            self._text += text
            yield self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])

    def _end(self, ending: Ending) -> Iterator[Event]:
        if self._text or not self._calls:
            yield from self._end_message(ending)
        for call in self._calls:
            yield from self._call(call)
        is_cut = ending.finish_reason == "length"
        self._response = self._response.model_copy(
            update={
                "status": "incomplete" if is_cut else "completed",
                "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
                "output": self._output,
                "usage": ResponseUsage(
                    input_tokens=ending.usage.prompt_tokens,
                    output_tokens=ending.usage.completion_tokens,
                    total_tokens=ending.usage.total_tokens,
                ),
            }
        )

    def _begin_message(self) -> Iterator[Event]:
        item = self._message("in_progress", [])
        yield self._event("response.output_item.added", output_index=len(self._output), item=item)
        yield self._event("response.content_part.added", **self._place(), part=_part("", []))

    def _end_message(self, ending: Ending) -> Iterator[Event]:
        if not self._text:
            yield from self._begin_message()
        text = self._text if ending.text is None else ending.text
        annotations = [found for citation in ending.citations for found in _annotations(citation, text)]
        for number, annotation in enumerate(annotations):
            yield self._event(
                "response.output_text.annotation.added",
                **self._place(),
                annotation_index=number,
                annotation=annotation,
            )
        part = _part(text, annotations)
        yield self._event("response.output_text.done", **self._place(), text=text, logprobs=[])
        yield self._event("response.content_part.done", **self._place(), part=part)
        yield self._done(self._message("completed", [part]))

    def _call(self, call: Mapping[str, Any]) -> Iterator[Event]:
        function = call["function"]
        item = {
            "id": f"fc_{call['id']}",
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }
        place = {"output_index": len(self._output), "item_id": item["id"]}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=place["output_index"], item=begun)
        yield self._event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        yield self._event(
            "response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"]
        )
        yield self._done(item)

    def _message(self, status: str, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": list(content),
        }

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._message_id, "output_index": len(self._output), "content_index": 0}

    def _done(self, item: dict[str, Any]) -> Event:
        event = self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return event

    def _of_response(self, kind: str) -> Event:
        return self._event(kind, response=self._response.model_dump(mode="json"))

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}


def _part(text: str, annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def _annotations(citation: Citation, text: str) -> Iterator[dict[str, Any]]:
    """One for each place of its marker, or at the end of a text that does not show it."""
    marker, places = f"[{citation.marker}]", []
    start = text.find(marker)
    while start >= 0:
        places.append(start)
        start = text.find(marker, start + 1)
    about = f"memory-{citation.memory_id.hex}" if citation.memory_id else ""
    for place in places or [len(text)]:
        yield {
            "type": "file_citation",
            "index": place,
            "file_id": file_id(citation.document_id) if citation.document_id else about,
            "filename": citation.title,
            "quote": citation.quote,
            "page": citation.page,
        }
