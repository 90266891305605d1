"""What is said in rooms, on the wire."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, BeforeValidator, Field

from app.commands import ClientId, MessageNumber
from app.events import Citation
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.texts import NO_NUL_NOR_BLANK, shown_as

MessageText = Annotated[str, Field(max_length=100_000, examples=["Good evening"]), shown_as(NO_NUL_NOR_BLANK)]


class MessageCreate(Schema):
    """`client_id`: the same one sent again makes no second message. `reply_to`: a message of the same room."""

    text: MessageText
    client_id: ClientId | None = None
    reply_to: UUID | None = None


class MessageUpdate(Schema):
    text: MessageText


class ReactionRead(Read):
    """Who reacted so, the first one first."""

    emoji: str
    user_ids: list[UUID]


def _by_emoji(pairs: Any) -> Any:
    """Of pairs of emoji and user, as they are stored; what has that form already stays as it is."""
    if pairs and not all(isinstance(pair, Mapping) and "user_id" in pair for pair in pairs):
        return pairs
    people: dict[str, list[str]] = {}
    for pair in pairs or ():
        people.setdefault(pair["emoji"], []).append(pair["user_id"])
    return [{"emoji": emoji, "user_ids": user_ids} for emoji, user_ids in people.items()]


class MessageRead(Read):
    """`seq` is the message's number in the room; `citations` are the spirit's. A deleted message has no text."""

    id: UUID
    session_id: UUID
    seq: int
    user_id: UUID | None
    user_name: str
    text: str
    is_spirit: bool
    is_partial: bool = Field(description="An answer that was stopped, or whose end was lost.")
    citations: list[Citation]
    client_id: str | None
    in_reply_to: UUID | None = Field(description="The message that the spirit answers.")
    reply_to: UUID | None = Field(description="The message that a person replies to; it may be deleted by now.")
    reactions: Annotated[list[ReactionRead], BeforeValidator(_by_emoji)]
    timestamp: Timestamp = Field(validation_alias=AliasChoices("timestamp", "created_at"))
    edited_at: Timestamp | None
    deleted_at: Timestamp | None


class ReadMarkerPut(Schema):
    """The number of the last message that was read, or one behind it."""

    seq: MessageNumber


class ReadMarkerRead(Read):
    user_id: UUID
    last_read_seq: int


class ReadMarkersRead(Read):
    items: list[ReadMarkerRead]
