"""Searching on the wire."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.schemas.common import Read
from app.schemas.documents import Metadata
from app.schemas.tasks import Quality
from app.schemas.texts import VISIBLE, Whole, is_visible, require_visible, shown_as

MAX_QUESTION_LENGTH = 4000

Source = Literal["documents", "memories", "messages"]


def _speakable(value: str) -> str:
    """A question with signs that no text contains is still a question."""
    require_visible(value)
    return "".join(sign if sign.isspace() or is_visible(sign) else " " for sign in value).strip()


Question = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_LENGTH),
    AfterValidator(_speakable),
    shown_as(VISIBLE),
]
Names = Annotated[list[UUID], Field(max_length=1000)]


class SearchFilters(BaseModel):
    """Narrow the search to some documents; all that is given must hold."""

    model_config = ConfigDict(extra="forbid")

    document_ids: Names | None = None
    media_type: str | None = Field(None, max_length=127, pattern=r"^[\w.+-]+/[\w.+-]+$", examples=["application/pdf"])
    metadata: Metadata | None = Field(
        None, description="Keys that the documents' metadata must have, with equal values.", examples=[{"year": 2024}]
    )


class SearchFields(BaseModel):
    """Where to look, and how deep. What the caller may not see is not found, whatever is asked for."""

    model_config = ConfigDict(extra="forbid")

    project_ids: Names | None = Field(None, description="Only in these; else in all that the caller is a member of.")
    sources: list[Source] = Field(["documents"], min_length=1, description="Kinds of things to find.")
    filters: SearchFilters = SearchFilters()
    top_k: Whole = Field(10, ge=1, le=100)
    quality: Quality = Field("standard", description="Trades depth for time: how many candidates each ranker names.")


class SearchRequest(SearchFields):
    query: Question = Field(examples=["What was the net income in 2022?"])


class ScoresRead(Read):
    """What each ranker says by itself; null where it has nothing to say about the passage."""

    dense: float | None = Field(description="Cosine similarity of the embeddings, -1 to 1.")
    text: float | None = Field(description="Full-text rank, above 0; comparable within one search.")


class HitRead(Read):
    """A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text."""

    source: Source
    id: UUID
    document_id: UUID
    title: str
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    score: float = Field(description="0 to 1, relative to the other passages of this search.")
    scores: ScoresRead


class SearchResult(Read):
    """The best passages, best first. `timings_ms`: milliseconds by stage, `total` included."""

    items: Sequence[HitRead]
    timings_ms: dict[str, float]
