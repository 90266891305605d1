"""Accounts on the wire."""

import unicodedata
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from app.permissions import Role
from app.schemas.common import Read, Timestamp
from app.schemas.documents import Metadata

LONGEST_NAME: Final = 100
CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
TEXT_DIRECTION: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _one_visible_line(value: str) -> str:
    """The text in its composed form; characters that break, hide or reorder what stands around it are refused."""
    text = unicodedata.normalize("NFC", value)
    if len(text) > LONGEST_NAME:  # the composed form of some characters is longer
        raise ValueError(f"must have at most {LONGEST_NAME} characters")
    categories = [unicodedata.category(character) for character in text]
    if not CONTROL_CATEGORIES.isdisjoint(categories) or not TEXT_DIRECTION.isdisjoint(text):
        raise ValueError("must not contain control characters")
    if all(category[0] in "CZ" for category in categories):
        raise ValueError("must contain a visible character")
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME),
    AfterValidator(_one_visible_line),
]
"""Of a person, a project, a key: 1 to 100 characters on one line."""


class UserRead(Read):
    """An account, as its owner sees it."""

    id: UUID
    email: str | None
    name: str
    role: Role
    preferences: dict[str, Any]
    created_at: Timestamp
    updated_at: Timestamp


class UserUpdate(BaseModel):
    """What is left out stays as it is; `preferences` replace those that were there."""

    name: Name | None = None
    preferences: Metadata | None = Field(None, description="Any JSON object of at most 16 KB; Hearth only keeps it.")
