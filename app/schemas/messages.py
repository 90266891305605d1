"""What is said in rooms, on the wire."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

from app.events import Citation, ClientId
from app.schemas.common import Read, Timestamp
from app.schemas.texts import NO_NUL_NOR_BLANK, shown_as


class MessageCreate(BaseModel):
    """`client_id`: the same one sent again makes no second message."""

    text: Annotated[str, shown_as(NO_NUL_NOR_BLANK)] = Field(max_length=100_000, examples=["Good evening"])
    client_id: ClientId | None = None


class MessageRead(Read):
    """`seq` is the message's number in the room; `citations` are the spirit's."""

    id: UUID
    session_id: UUID
    seq: int
    user_id: UUID | None
    user_name: str
    text: str
    is_spirit: bool
    citations: Sequence[Citation]
    client_id: str | None
    in_reply_to: UUID | None
    timestamp: Timestamp = Field(validation_alias=AliasChoices("timestamp", "created_at"))
