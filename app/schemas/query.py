"""Questions and their cited answers on the wire, whole or as Server-Sent Events."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, Field

from app.events import Citation
from app.schemas.common import Read
from app.schemas.search import Question, SearchFields
from app.schemas.texts import Truth


class QueryRequest(SearchFields):
    question: Question = Field(examples=["What was the net income in 2022?"])
    session_id: UUID | None = Field(
        None, description="A room: its project is searched, and its last messages are the conversation so far."
    )
    stream: Truth = Field(False, description="Answer with Server-Sent Events instead of one JSON object.")


class UsageRead(Read):
    """Tokens of the language model; 0 where none was asked, or it does not count."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class QueryResult(Read):
    """`answer` holds markers `[n]`, one citation for each. Not `grounded`: nothing in the documents bears it out."""

    id: UUID
    answer: str
    citations: Sequence[Citation]
    grounded: bool
    model: str = Field(description="Who answered; `hearth-extractive` quotes the documents without a language model.")
    usage: UsageRead
    timings_ms: dict[str, float]


class RetrievedHit(BaseModel):
    """A passage that the answer may cite as `[marker]`."""

    marker: int
    document_id: UUID
    title: str
    page: int | None
    score: float


class RetrievedEvent(BaseModel):
    """First: what the answer will be made from."""

    items: Sequence[RetrievedHit]


class TokenEvent(BaseModel):
    """The next piece of the answer."""

    delta: str


class CitationsEvent(BaseModel):
    """What bears the answer out, once it is complete."""

    citations: Sequence[Citation]


class ErrorEvent(BaseModel):
    """Last, instead of `done`: why the answer ends here."""

    code: str
    message: str
