"""Searching and asking over HTTP."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import Reader, ServicesDep
from app.api.streams import Events, event_stream
from app.permissions import Principal
from app.schemas.query import CitationsEvent, QueryRequest, QueryResult, RetrievedEvent, TokenEvent
from app.schemas.search import SearchRequest, SearchResult
from app.services import Services
from app.services.answers import AnswerPart

router = APIRouter(tags=["query"])

EVENTS: Final[Mapping[type[BaseModel], str]] = {
    RetrievedEvent: "retrieved",
    TokenEvent: "token",
    CitationsEvent: "citations",
    QueryResult: "done",
}
STREAM_DESCRIPTION = """The answer, or with `stream: true` Server-Sent Events: `retrieved` {items: [{marker,
document_id, title, page, score}]}, `token` {delta} for each piece of the answer, `citations` {citations}, and last
`done` (the same object as without streaming) or `error` {code, message}. Comments (`: ping`) keep the connection
open."""
STREAM_EXAMPLE = """event: retrieved
data: {"items": [{"marker": 1, "document_id": "0198…", "title": "Annual report", "page": 3, "score": 0.93}]}

event: token
data: {"delta": "Net income was 2.1 million [1]."}

event: citations
data: {"citations": [{"marker": 1, "document_id": "0198…", "title": "Annual report", "page": 3, …}]}

event: done
data: {"id": "0198…", "answer": "Net income was 2.1 million [1].", "grounded": true, …}

"""
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": STREAM_DESCRIPTION,
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}},
    }
}


@router.post("/search")
async def search(actor: Reader, services: ServicesDep, data: SearchRequest) -> SearchResult:
    """Find passages by meaning and by words at once, in all projects of yours or some of them.

    So far documents can be searched: asking for other sources alone finds nothing.
    """
    return await services.retrieval.search(actor, data)


@router.post("/query", response_model=QueryResult, responses=RESPONSES)
async def answer_question(actor: Reader, services: ServicesDep, data: QueryRequest) -> QueryResult | Response:
    """Answer a question from your documents, with quotations that stand there word for word.

    Without a language model the answer is made of the sentences that fit best. What the documents do not answer is said
    to be not found (`grounded: false`).
    """
    return await _answer(actor, services, data)


async def _answer(actor: Principal, services: Services, data: QueryRequest) -> QueryResult | Response:
    if data.stream:
        return event_stream(_named(await services.answers.stream(actor, data)))
    return await services.answers.answer(actor, data)


async def _named(parts: AsyncGenerator[AnswerPart, None]) -> Events:
    async with contextlib.aclosing(parts):
        async for part in parts:
            yield EVENTS[type(part)], part
