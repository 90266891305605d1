"""Searching on the wire."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from app.event_base import Instant
from app.presets import Quality
from app.schemas.base import Schema
from app.schemas.common import Read
from app.schemas.conditions import Where
from app.schemas.documents import Metadata
from app.schemas.memories import Tag
from app.schemas.moments import When
from app.schemas.texts import VISIBLE, Truth, Whole, is_visible, require_visible, shown_as

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


class SearchFilters(Schema):
    """Narrow the search; all that is given must hold. Some of it only documents have, and some only memories."""

    model_config = ConfigDict(extra="forbid")

    document_ids: Names | None = None
    media_type: str | None = Field(None, max_length=127, pattern=r"^[\w.+-]+/[\w.+-]+$", examples=["application/pdf"])
    metadata: Metadata | None = Field(
        None, description="Keys that the documents' metadata must have, with equal values.", examples=[{"year": 2024}]
    )
    where: Where | None = None
    created_from: Instant | None = Field(None, description="Added, or written down, at this time or later.")
    created_before: Instant | None = Field(None, description="Added, or written down, before this time.")
    occurred_from: When | None = Field(None, description="Memories of then or later.")
    occurred_before: When | None = Field(None, description="Memories of before then.")
    person_ids: Annotated[list[UUID], Field(max_length=20)] | None = Field(
        None, description="Memories in which all of them are."
    )
    location_id: UUID | None = Field(None, description="Memories of this place.")
    tags: Annotated[list[Tag], Field(max_length=20)] | None = Field(None, description="Memories with all of them.")
    memory_ids: Names | None = None

    @property
    def are_for_documents(self) -> bool:
        """No memory fits."""
        return any(one is not None for one in (self.document_ids, self.media_type, self.metadata, self.where))

    @property
    def are_for_memories(self) -> bool:
        """No document fits."""
        occurred = self.occurred_from, self.occurred_before
        return any(
            one is not None for one in (*occurred, self.person_ids, self.location_id, self.tags, self.memory_ids)
        )


class SearchFields(Schema):
    """Where to look, and how deep. What the caller may not see is not found, whatever is asked for."""

    model_config = ConfigDict(extra="forbid")

    project_ids: Names | None = Field(None, description="Only in these; else in all that the caller is a member of.")
    sources: list[Source] = Field(
        ["documents"], min_length=1, description="Kinds of things to find; several make one ranked list."
    )
    filters: SearchFilters = SearchFilters()
    top_k: Whole = Field(10, ge=1, le=100)
    quality: Quality = Field(
        "standard",
        description="Trades depth for time: `draft` leaves the sparse ranker out, `high` and `ultra` have each ranker "
        "name more passages, and rerank them where there is a reranker.",
    )
    explain: Truth = Field(False, description="Say what each ranker did, and what was cut and why.")


class SearchRequest(SearchFields):
    query: Question = Field(examples=["What was the net income in 2022?"])


class ScoresRead(Read):
    """What each ranker says by itself; null where it has nothing to say about the passage."""

    dense: float | None = Field(description="Cosine similarity of the embeddings, -1 to 1.")
    text: float | None = Field(description="BM25 of the question's words, above 0; comparable within one search.")
    sparse: float | None = Field(None, description="What question and passage both speak of; within one search.")
    rerank: float | None = Field(None, description="Of the reranker, where it was asked about this passage.")


class HitRead(Read):
    """A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text, or of the memory's
    content (of its title, where it has no content). Of the two ids one is null.
    """

    source: Source
    id: UUID
    document_id: UUID | None
    memory_id: UUID | None
    title: str
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    score: float = Field(description="0 to 1, relative to the other passages of this search.")
    scores: ScoresRead


class LegRead(Read):
    """A ranker's part: the `named` passages are its best; `weight` is what it counts in the score."""

    name: str
    weight: float
    named: int


class PlaceRead(Read):
    """Where a passage stands in each ranker that named it, from 1."""

    id: UUID
    document_id: UUID | None
    memory_id: UUID | None
    title: str
    page: int | None
    score: float
    scores: ScoresRead
    places: dict[str, int]


class CutRead(PlaceRead):
    reason: str


class ReadingRead(Read):
    """What of the question was taken for a `time`, a `person` or an `event` that it dates by, and what was done: the
    search was `narrowed` to it, what fits was `preferred`, or it was `dropped`, since nothing was found that way.
    """

    kind: Literal["time", "person", "event"]
    text: str
    use: Literal["narrowed", "preferred", "dropped"]
    occurred_from: str | None
    occurred_before: str | None
    names: list[str]


class Explanation(Read):
    """How a search came to its result. `candidates` is how many passages each ranker may name.

    `words` are those that were looked for, with the number of passages that have them.
    """

    passages: int = Field(description="That the search could look at; from 10,001 on the vector index is walked.")
    method: Literal["scan", "index"]
    vector_store: Literal["pgvector", "chroma"] = Field(description="Where the nearest passages were looked for.")
    fallback: str | None = Field(description="Why PostgreSQL compared the vectors, though there is a Chroma server.")
    candidates: int
    words: dict[str, int]
    legs: list[LegRead]
    filters: dict[str, Any]
    readings: list[ReadingRead]
    memories: int = Field(description="Passages of memories that the search could look at; not among `passages`.")
    hits: list[PlaceRead]
    cut: list[CutRead]


class SearchResult(Read):
    """The best passages, best first. `timings_ms`: milliseconds by stage, `total` included."""

    items: list[HitRead]
    timings_ms: dict[str, float]
    explanation: Explanation | None = Field(None, description="With `explain: true`.")


class CheckLegRead(Read):
    """The best that a ranker says about the document; null where it finds nothing in it."""

    name: str
    best_score: float | None


class DocumentCheck(Read):
    """Why a document does or does not come up for a question: `reasons` in words, the rest for programs.

    `rank` is the place of its best passage among all that the caller may see, null beyond `looked_at` places.
    `missing_words` are those of the question that stand nowhere in it.
    """

    document_id: UUID
    status: str
    found: bool
    rank: int | None
    looked_at: int
    relevance: float | None
    floor: float
    legs: list[CheckLegRead]
    missing_words: list[str]
    passages: list[HitRead]
    reasons: list[str]
