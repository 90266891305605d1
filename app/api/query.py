"""Searching and asking over HTTP."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Request, Response, status

from app.api.deps import Reader, ServicesDep
from app.api.routing import Router
from app.api.streams import Events, ServerSentEvent, event_stream, unless_gone
from app.models import Answer
from app.permissions import Principal
from app.realtime.answers import Piece
from app.schemas.query import AnswerRead, QueryRequest, QueryResult
from app.schemas.search import SearchRequest, SearchResult
from app.services import Services
from app.services.replies import EVENTS

router = Router(tags=["query"])

STREAM_DESCRIPTION = """The answer, or with `stream: true` Server-Sent Events: `retrieved` {id, items: [{marker,
document_id, title, page, score}]}, `token` {delta} for each piece of the answer, `citations` {citations, sentences},
and last `done` (the same object as without streaming) or `error` {code, message}. Comments (`: ping`) keep the
connection open. Each event has an `id`: a client that lost the connection sends the last one as `Last-Event-ID`, here
or to `GET /query/{id}/events`, and gets what it missed and then what comes. An answer that nobody follows is stopped
after a while."""
STREAM_EXAMPLE = {
    "event": "token",
    "data": '{"delta": "Net income was 2.1 million [1]."}',
    "id": "0198c7a4-6f10-7c3e-9d2a-5b1e8f4a7c60:2",
}
STREAM_EVENT = {  # one of them: so OpenAPI up to 3.1 is read
    "type": "object",
    "required": ["event", "data", "id"],
    "properties": {
        "event": {"enum": list(EVENTS.values())},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
    },
}
STREAM = {"text/event-stream": {"schema": STREAM_EVENT, "example": STREAM_EXAMPLE}}
RESPONSES: dict[int | str, dict[str, Any]] = {200: {"description": STREAM_DESCRIPTION, "content": STREAM}}

LastEventId = Annotated[
    str | None,
    Header(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:\d{1,9}$",
        description="Of the stream that is to go on: the `id` of the last event that arrived.",
    ),
]


@router.post("/search")
async def search(actor: Reader, services: ServicesDep, data: SearchRequest) -> SearchResult:
    """Find passages by meaning and by words at once, in all projects of yours or some of them.

    `sources` says among what: documents, memories, or both in one list, best first. Messages are not searched yet.
    """
    return await services.retrieval.search(actor, data)


@router.post("/query", response_model=QueryResult, responses=RESPONSES)
async def answer_question(
    request: Request, actor: Reader, services: ServicesDep, data: QueryRequest, last_event_id: LastEventId = None
) -> QueryResult | Response:
    """Answer a question from your documents, with quotations that stand there word for word.

    Without a language model the answer is made of the sentences that fit best. What the documents do not answer is said
    to be not found (`grounded: false`). `sentences` says of each sentence what bears it out, or that nothing does.
    """
    return await _answer(request, actor, services, data, last_event_id)


@router.get("/query/{answer_id}", response_model=AnswerRead)
async def get_answer(actor: Reader, services: ServicesDep, answer_id: UUID) -> Answer:
    """What you were told. Answers are kept for some weeks, for those who asked alone."""
    return await services.replies.get(actor, answer_id)


@router.get("/query/{answer_id}/events", responses={200: {"description": STREAM_DESCRIPTION, "content": STREAM}})
async def follow_answer(
    actor: Reader, services: ServicesDep, answer_id: UUID, last_event_id: LastEventId = None
) -> Response:
    """Follow a streamed answer of yours again: all of it, or what comes behind `Last-Event-ID`."""
    after = _place(last_event_id)[1] if last_event_id else 0
    return event_stream(_events(*await services.replies.resume(actor, answer_id, after=after)))


@router.delete("/query/{answer_id}", status_code=status.HTTP_202_ACCEPTED, response_model=AnswerRead)
async def stop_answer(actor: Reader, services: ServicesDep, answer_id: UUID) -> Answer:
    """Stop a streamed answer, within a second. What was said so far is kept, as `stopped`."""
    return await services.replies.stop(actor, answer_id)


async def _answer(
    request: Request, actor: Principal, services: Services, data: QueryRequest, last_event_id: str | None
) -> QueryResult | Response:
    if not data.stream:
        return await unless_gone(request, services.replies.ask(actor, data))
    if last_event_id is None:
        return event_stream(_events(*await services.replies.begin(actor, data)))
    answer_id, after = _place(last_event_id)
    return event_stream(_events(*await services.replies.resume(actor, answer_id, after=after)))


def _place(last_event_id: str) -> tuple[UUID, int]:
    answer_id, number = last_event_id.split(":")
    return UUID(answer_id), int(number)


async def _events(answer_id: UUID, pieces: AsyncGenerator[Piece, None]) -> Events:
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            yield ServerSentEvent(piece.name, piece.data, f"{answer_id}:{piece.number}")
