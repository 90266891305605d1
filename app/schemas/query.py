"""Questions and their cited answers on the wire, whole or as Server-Sent Events."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.events import Citation
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.search import Explanation, Question, SearchFields
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


class SentenceRead(Read):
    """A sentence of the answer, at `char_start`:`char_end` (code points) of `answer`, and what bears it out."""

    char_start: int
    char_end: int
    citations: list[int] = Field(description="Markers of its citations, also where the text shows none.")
    supported: bool = Field(description="Whether what it cites says so; a sentence that is not is the model's own.")


class QueryResult(Read):
    """`answer` holds markers `[n]`, one citation for each. Not `grounded`: nothing in the documents bears it out."""

    id: UUID
    status: Literal["complete", "stopped"] = Field(description="`stopped`: what was said until then.")
    answer: str
    citations: list[Citation]
    sentences: list[SentenceRead]
    grounded: bool
    model: str = Field(description="Who answered; `hearth-extractive` quotes the documents without a language model.")
    usage: UsageRead
    timings_ms: dict[str, float]
    explanation: Explanation | None = Field(None, description="With `explain: true`; it is not kept.")


class AnswerRead(Read):
    """An answer that was kept: as `QueryResult`, also while it is `running`, or when it has `failed`."""

    id: UUID
    question: str
    status: Literal["running", "complete", "stopped", "failed"]
    answer: str
    citations: list[Citation]
    sentences: list[SentenceRead]
    grounded: bool
    model: str
    usage: UsageRead
    timings_ms: dict[str, float]
    error: "ErrorEvent | None"
    created_at: Timestamp


class RetrievedHit(Schema):
    """A passage that the answer may cite as `[marker]`."""

    marker: int
    document_id: UUID | None
    memory_id: UUID | None
    title: str
    page: int | None
    score: float


class RetrievedEvent(Schema):
    """First: what the answer will be made from, and its id."""

    id: UUID
    items: list[RetrievedHit]


class TokenEvent(Schema):
    """The next piece of the answer."""

    delta: str


class CitationsEvent(Schema):
    """What bears the answer out, once it is complete."""

    citations: list[Citation]
    sentences: list[SentenceRead]


class ErrorEvent(Schema):
    """Last, instead of `done`: why the answer ends here."""

    code: str
    message: str
