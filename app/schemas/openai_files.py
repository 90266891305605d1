"""Files and vector stores on the wire, as OpenAI's clients know them: documents, and projects."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from app.models import Document, DocumentStatus, Project
from app.schemas.base import Schema
from app.schemas.conditions import compile_condition
from app.schemas.documents import Metadata
from app.schemas.openai_common import FileId, JsonObject, ListOf, epoch, file_id, store_id
from app.schemas.search import Question
from app.schemas.texts import ONLY_NUMBERS, Truth, Whole
from app.schemas.users import Name

MOST_FILES: Final = 100  # that one request puts into a store
MOST_FOUND: Final = 50
MOST_QUERIES: Final = 8
Attributes = dict[str, str | float | bool]

FILE_STATES: Final = {DocumentStatus.READY: "processed", DocumentStatus.FAILED: "error"}
STORE_STATES: Final = {DocumentStatus.READY: "completed", DocumentStatus.FAILED: "failed"}


def name_of(document: Document) -> str:
    return document.filename or document.title


def plain_attributes(metadata: dict[str, Any]) -> Attributes:
    return {name: value for name, value in metadata.items() if isinstance(value, (str, int, float, bool))}


OPERATORS: Final = {"eq": "$eq", "ne": "$ne", "gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte", "in": "$in"}


def condition_of(given: dict[str, Any]) -> dict[str, Any]:
    """A filter in OpenAI's form as a condition on metadata in ours.

    Raises:
        ValueError: it is neither a comparison nor a compound of filters.
    """
    kind = given.get("type")
    if kind in ("and", "or"):
        inner = given.get("filters")
        if not isinstance(inner, list) or not all(isinstance(one, dict) for one in inner):
            raise ValueError(f"`{kind}` joins `filters`, which is a list")
        return {f"${kind}": [condition_of(one) for one in inner]}
    key = given.get("key")
    if not isinstance(key, str) or "value" not in given:
        raise ValueError("a filter has `type`, `key` and `value`, or `type` and `filters`")
    if kind == "nin":
        return {"$not": {key: {"$in": given["value"]}}}
    if kind not in OPERATORS:
        raise ValueError(f"`type` is one of and, or, nin, {', '.join(OPERATORS)}")
    return {key: {OPERATORS[kind]: given["value"]}}


def _understood(given: dict[str, Any]) -> dict[str, Any]:
    compile_condition(condition_of(given))
    return given


Filter = Annotated[JsonObject, AfterValidator(_understood)]


class FileRead(Schema):
    """A document. `status` is `processed` once it can be searched."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["assistants"] = "assistants"
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None

    @classmethod
    def of(cls, document: Document) -> "FileRead":
        return cls(
            id=file_id(document.id),
            bytes=document.size,
            created_at=epoch(document.created_at),
            filename=name_of(document),
            status=FILE_STATES.get(DocumentStatus(document.status), "uploaded"),
            status_details=document.error["message"] if document.error else None,
        )


class FileCounts(Schema):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int

    @classmethod
    def of(cls, counts: dict[str, int]) -> "FileCounts":
        """From documents by their status."""
        ready, failed = counts.get(DocumentStatus.READY, 0), counts.get(DocumentStatus.FAILED, 0)
        total = sum(counts.values())
        return cls(in_progress=total - ready - failed, completed=ready, failed=failed, cancelled=0, total=total)


class StoreRead(Schema):
    """A project. `status` is `completed` when nothing in it is being read."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["in_progress", "completed"]
    last_active_at: int
    metadata: dict[str, str]

    @classmethod
    def of(cls, project: Project, counts: dict[str, int], size: int) -> "StoreRead":
        files = FileCounts.of(counts)
        return cls(
            id=store_id(project.id),
            created_at=epoch(project.created_at),
            name=project.name,
            usage_bytes=size,
            file_counts=files,
            status="in_progress" if files.in_progress else "completed",
            last_active_at=epoch(project.updated_at),
            metadata={},
        )


class StoreError(Schema):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StoreFileRead(Schema):
    """A document in its project; `attributes` are those of its metadata that are plain values."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: Literal["in_progress", "completed", "failed"]
    last_error: StoreError | None
    attributes: Attributes

    @classmethod
    def of(cls, document: Document, asked_id: str | None = None) -> "StoreFileRead":
        """By the id that it was asked for with, where the same bytes have several."""
        error = StoreError(code="invalid_file", message=document.error["message"]) if document.error else None
        return cls(
            id=asked_id or file_id(document.id),
            created_at=epoch(document.created_at),
            vector_store_id=store_id(document.project_id),
            usage_bytes=document.size,
            status=STORE_STATES.get(DocumentStatus(document.status), "in_progress"),
            last_error=error,
            attributes=plain_attributes(document.attributes),
        )


class StoreCreate(Schema):
    """Nothing here expires, and passages are cut as everywhere, so that `chunking_strategy` is ignored."""

    name: Name | None = None
    file_ids: Annotated[list[FileId], Field(max_length=MOST_FILES)] | None = None
    expires_after: None = None
    metadata: Annotated[dict[str, str], Field(max_length=0)] | None = None


class StoreUpdate(Schema):
    name: Name | None = None
    expires_after: None = None
    metadata: Annotated[dict[str, str], Field(max_length=0)] | None = None


class BatchRead(Schema):
    """Files that were put into a store together; told is the state of the whole store."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed"]
    file_counts: FileCounts


class StoreFileCreate(Schema):
    """`attributes` become the document's metadata."""

    file_id: FileId
    attributes: Metadata | None = None


class BatchCreate(Schema):
    file_ids: Annotated[list[FileId], Field(min_length=1, max_length=MOST_FILES)]
    attributes: Metadata | None = None


class RankingOptions(Schema):
    """`ranker: none` leaves out what takes time."""

    ranker: Annotated[str, Field(max_length=50)] | None = None
    score_threshold: Annotated[float, ONLY_NUMBERS, Field(ge=0, le=1)] | None = None


class StoreSearch(Schema):
    """Several queries make one ranked list. `rewrite_query` is ignored: questions are searched for as they are."""

    query: Question | Annotated[list[Question], Field(min_length=1, max_length=MOST_QUERIES)]
    max_num_results: Annotated[Whole, Field(ge=1, le=MOST_FOUND)] | None = None
    filters: Filter | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: Truth | None = None

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


class FoundText(Schema):
    type: Literal["text"] = "text"
    text: str


class FoundRead(Schema):
    """A passage. `attributes`: of its document, and the `page` where it has one."""

    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[FoundText]


class SearchPage(Schema):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[FoundRead]
    has_more: Literal[False] = False
    next_page: None = None


class ContentPage(ListOf[FoundText]):
    """The text that was read in a file."""

    has_more: Literal[False] = False
    next_page: None = None
