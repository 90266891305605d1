"""What may become memories, on the wire."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from app.models import CandidateStatus, Precision
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.documents import Title
from app.schemas.memories import MOST_PEOPLE, Content, SourceRead
from app.schemas.moments import When
from app.schemas.texts import Truth
from app.schemas.users import Name


class CandidateRead(Read):
    """What somebody asked to remember, or the language model proposed; nothing finds it until it is accepted.

    `duplicate_of`: a memory that says the same of the same time. `memory_id`: what it became, or was merged into.
    """

    id: UUID
    status: CandidateStatus
    title: str
    content: str
    occurred_at: Timestamp
    occurred_end: Timestamp | None
    occurred_local: str
    precision: Precision
    people: list[str]
    source: SourceRead
    duplicate_of: UUID | None
    memory_id: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class CandidateUpdate(Schema):
    """What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    content: Content | None = None
    occurred_at: When | None = None
    people: Annotated[list[Name], Field(max_length=MOST_PEOPLE)] | None = None


class CandidateAccept(Schema):
    """`merge`: into the memory that says the same, if there is one; else it becomes a memory of its own."""

    model_config = ConfigDict(extra="forbid")

    merge: Truth = True
