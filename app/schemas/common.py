"""What all resources share on the wire: pages, errors, times, ids as cursors."""

import base64
import re
from collections.abc import Sequence
from typing import Any, Final, Generic, Self, TypeVar
from uuid import UUID

from pydantic import ConfigDict, Field

from app.events import Timestamp
from app.schemas.base import Schema

__all__ = [
    "CURSOR_PATTERN",
    "ErrorBody",
    "ErrorResponse",
    "Page",
    "Read",
    "Timestamp",
    "decode_cursor",
    "encode_cursor",
]

CURSOR_PATTERN: Final = "^[A-Za-z0-9_-]{21}[AQgw]$"
Item = TypeVar("Item")


class Read(Schema):
    """A resource as clients see it, read from a row. No field has a default, so generated clients have no surprises."""

    model_config = ConfigDict(from_attributes=True)


class Page(Schema, Generic[Item]):
    """Part of a list. `next_cursor` goes into `?cursor=` for what follows; null at the end."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Item]
    next_cursor: str | None

    @classmethod
    def of(cls, rows: Sequence[Any], limit: int) -> Self:
        """A page of at most `limit` rows out of `limit + 1` that were asked for; their `id` is the cursor.

        Rows are entities, or columns by name.
        """
        shown = rows[:limit]
        following = None
        if len(rows) > limit:
            last = shown[-1]
            following = encode_cursor(last["id"] if isinstance(last, dict) else last.id)
        return cls.model_validate({"items": shown, "next_cursor": following})


class ErrorBody(Schema):
    code: str = Field(examples=["RESOURCE_NOT_FOUND"])
    message: str = Field(examples=["Session not found"])
    details: dict[str, Any]


class ErrorResponse(Schema):
    """The form of every error."""

    error: ErrorBody
    request_id: str
    timestamp: Timestamp


def encode_cursor(row_id: UUID) -> str:
    """An opaque cursor: URL-safe base64 of the last id shown."""
    return base64.urlsafe_b64encode(row_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """The id in `cursor`.

    Raises:
        ValueError: not a cursor of ours.
    """
    if not re.fullmatch(CURSOR_PATTERN, cursor):
        raise ValueError("not a cursor of this list")
    return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
