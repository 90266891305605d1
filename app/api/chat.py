"""What is said in rooms, over HTTP: the same service as the WebSocket's."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Response, status
from fastapi.responses import StreamingResponse

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Cursor, Limit, RoomActor, ServicesDep
from app.api.routing import Router
from app.commands import Emoji
from app.models import Message
from app.schemas.common import Page
from app.schemas.messages import MessageCreate, MessageRead, MessageUpdate, ReadMarkerPut, ReadMarkersRead

router = Router(prefix="/chat/{session_id}", tags=["rooms"])

LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
EmojiPath = Annotated[Emoji, Path(description="Percent-encoded, such as `%F0%9F%91%8D`.")]
Seq = Annotated[int | None, Query(ge=0, le=2**62)]


@router.post("/messages", status_code=status.HTTP_201_CREATED, response_model=MessageRead)
async def post_message(
    actor: RoomActor, services: ServicesDep, session_id: UUID, data: MessageCreate, response: Response
) -> Message:
    """Say something; everybody in the room hears it."""
    message = await services.chat.post(actor, session_id, data.text, client_id=data.client_id, reply_to=data.reply_to)
    response.headers["Location"] = f"/api/v1/chat/{session_id}/messages/{message.id}"
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


@router.get("/messages/{message_id}", response_model=MessageRead)
async def get_message(
    actor: RoomActor, services: ServicesDep, session_id: UUID, message_id: UUID, conditional: ConditionalDep
) -> Message:
    """One message, with what people think of it."""
    return conditional.tag(await services.messages.get(actor, session_id, message_id))


@router.patch("/messages/{message_id}", response_model=MessageRead)
async def edit_message(
    actor: RoomActor,
    services: ServicesDep,
    session_id: UUID,
    message_id: UUID,
    data: MessageUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> Message:
    """Say it differently: your own message."""
    message = await services.messages.edit(actor, session_id, message_id, data.text, expected=expected)
    return conditional.tag(message)


@router.delete("/messages/{message_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_message(
    actor: RoomActor, services: ServicesDep, session_id: UUID, message_id: UUID, expected: IfMatch
) -> None:
    """Take back your own message; hosts delete anybody's. Its text is gone, its place in the history stays."""
    await services.messages.delete(actor, session_id, message_id, expected=expected)


@router.put("/messages/{message_id}/reactions/{emoji}", response_model=MessageRead)
async def add_reaction(
    actor: RoomActor, services: ServicesDep, session_id: UUID, message_id: UUID, emoji: EmojiPath
) -> Message:
    """React to a message; twice is once."""
    return await services.messages.add_reaction(actor, session_id, message_id, emoji)


@router.delete("/messages/{message_id}/reactions/{emoji}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_reaction(
    actor: RoomActor, services: ServicesDep, session_id: UUID, message_id: UUID, emoji: EmojiPath
) -> None:
    """Take your reaction back."""
    await services.messages.remove_reaction(actor, session_id, message_id, emoji)


@router.get("/read")
async def list_read_markers(actor: RoomActor, services: ServicesDep, session_id: UUID) -> ReadMarkersRead:
    """How far everybody has read."""
    return ReadMarkersRead.model_validate({"items": await services.messages.list_markers(actor, session_id)})


@router.put("/read", status_code=status.HTTP_204_NO_CONTENT)
async def mark_read(actor: RoomActor, services: ServicesDep, session_id: UUID, data: ReadMarkerPut) -> None:
    """Say how far you have read; a marker never moves back."""
    await services.messages.mark_read(actor, session_id, data.seq)


@router.post("/stop", status_code=status.HTTP_204_NO_CONTENT)
async def stop_spirit(actor: RoomActor, services: ServicesDep, session_id: UUID) -> None:
    """End the spirit's answer, and drop the messages that wait for one; what was said so far stays."""
    await services.chat.stop(actor, session_id)


@router.get("/export", response_class=StreamingResponse, responses=LINES)
async def export_chat(actor: RoomActor, services: ServicesDep, session_id: UUID) -> StreamingResponse:
    """Everything that was said, one JSON message a line (`application/x-ndjson`)."""
    batches = await services.chat.export(actor, session_id)
    headers = {"Content-Disposition": f'attachment; filename="session-{session_id}.jsonl"'}
    return StreamingResponse(_lines(batches), media_type="application/x-ndjson", headers=headers)


async def _lines(batches: AsyncIterator[Sequence[Message]]) -> AsyncIterator[str]:
    async for batch in batches:
        yield "".join(MessageRead.model_validate(message).model_dump_json() + "\n" for message in batch)
