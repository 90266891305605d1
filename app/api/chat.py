"""What is said in rooms, over HTTP: the same service as the WebSocket's."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response, status
from fastapi.responses import StreamingResponse

from app.api.deps import Cursor, Limit, RoomActor, ServicesDep
from app.models import Message
from app.schemas.common import Page
from app.schemas.messages import MessageCreate, MessageRead

router = APIRouter(prefix="/chat/{session_id}", tags=["rooms"])

LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
Seq = Annotated[int | None, Query(ge=0, le=2**62)]


@router.post("/messages", status_code=status.HTTP_201_CREATED, response_model=MessageRead)
async def post_message(
    actor: RoomActor, services: ServicesDep, session_id: UUID, data: MessageCreate, response: Response
) -> Message:
    """Say something; everybody in the room hears it."""
    message = await services.chat.post(actor, session_id, data.text, client_id=data.client_id)
    response.headers["Location"] = f"/api/v1/chat/{session_id}/messages?after_seq={message.seq - 1}&limit=1"
    return message


@router.get("/messages")
async def list_messages(
    actor: RoomActor,
    services: ServicesDep,
    session_id: UUID,
    after_seq: Seq = None,
    before_seq: Seq = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[MessageRead]:
    """The newest first; with `after_seq` the oldest first, for catching up."""
    rows = await services.chat.list(
        actor, session_id, after_seq=after_seq, before_seq=before_seq, cursor=cursor, limit=limit + 1
    )
    return Page[MessageRead].of(rows, limit)


@router.get("/export", response_class=StreamingResponse, responses=LINES)
async def export_chat(actor: RoomActor, services: ServicesDep, session_id: UUID) -> StreamingResponse:
    """Everything that was said, one JSON message a line (`application/x-ndjson`)."""
    batches = await services.chat.export(actor, session_id)
    headers = {"Content-Disposition": f'attachment; filename="session-{session_id}.jsonl"'}
    return StreamingResponse(_lines(batches), media_type="application/x-ndjson", headers=headers)


async def _lines(batches: AsyncIterator[Sequence[Message]]) -> AsyncIterator[str]:
    async for batch in batches:
        yield "".join(MessageRead.model_validate(message).model_dump_json() + "\n" for message in batch)
