"""Documents on the wire."""

import json
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from app.models import Chunk, DocumentStatus
from app.schemas.base import Schema
from app.schemas.common import Page, Read, Timestamp, encode_cursor
from app.schemas.tasks import TaskRead
from app.schemas.texts import NO_NUL_NOR_BLANK, Storable, require_content, require_storable, shown_as

MAX_METADATA_BYTES = 16_384
MAX_METADATA_DEPTH = 100
MAX_FILENAME_LENGTH = 255
MAX_URL_LENGTH = 2_048


def require_plain(value: dict[str, Any], max_bytes: int = MAX_METADATA_BYTES) -> dict[str, Any]:
    """An object that the database can store, and whoever walks through it can bear. Raises ValueError."""
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:  # lone surrogates, NaN, too deep
        raise ValueError("must be plain JSON") from error
    if not _is_shallow(value):
        raise ValueError(f"must be at most {MAX_METADATA_DEPTH} levels deep")
    if _has_nul(value):
        raise ValueError("must not contain the character U+0000")
    if len(encoded) > max_bytes:
        raise ValueError(f"must be at most {max_bytes:,} bytes of JSON")
    return value


def _is_shallow(metadata: dict[str, Any]) -> bool:
    """Whatever walks through JSON calls itself once a level, and may do so some hundred times."""
    level: list[Any] = [metadata]
    for _ in range(MAX_METADATA_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
    return not level


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return isinstance(value, str) and "\0" in value


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=300),
    AfterValidator(require_content),
    shown_as(NO_NUL_NOR_BLANK),
]
Metadata = Annotated[dict[str, Any], AfterValidator(require_plain)]


class DocumentFields(Schema):
    """What may be said about a new document; `project_id` is the caller's default project unless given."""

    project_id: UUID | None = None
    title: Title | None = None
    metadata: Metadata = Field(default_factory=dict)


class DocumentTextCreate(DocumentFields):
    """A document that is given as text."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[Storable, StringConstraints(min_length=1)]


class DocumentUrlCreate(DocumentFields):
    """A document that is fetched from a public http or https URL."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_URL_LENGTH),
        AfterValidator(require_storable),
        Field(examples=["https://example.org/manual.pdf"]),
    ]


class DocumentUpdate(Schema):
    """What is left out or null stays as it is; `metadata` is replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    metadata: Metadata | None = None


class DocumentError(Read):
    """Why a document could not be read: `code` for programs, `message` for people."""

    code: str
    message: str


class DocumentRead(Read):
    """`size` in bytes; `sha256` of the original in hexadecimal; `error` says why a document has `failed`.

    `source_url` is where it was fetched from; null for a file or a text that was sent.
    """

    id: UUID
    project_id: UUID
    title: str
    filename: str | None
    source_url: str | None
    media_type: str
    size: int
    sha256: str
    status: DocumentStatus
    error: DocumentError | None
    page_count: int | None
    chunk_count: int | None
    metadata: dict[str, Any] = Field(validation_alias="attributes")
    created_at: Timestamp
    updated_at: Timestamp


class IngestionRead(Read):
    """A document and the work on it; `task` is null when there is nothing left to do."""

    document: DocumentRead
    task: TaskRead | None


class ChunkRead(Read):
    """A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text."""

    id: UUID
    ordinal: int
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    token_count: int


class ChunkPage(Page[ChunkRead]):
    @classmethod
    def of(cls, rows: Sequence[Chunk], limit: int) -> Self:
        """The cursor is the ordinal, so that a page can be followed while the document is read anew."""
        shown = rows[:limit]
        following = encode_cursor(UUID(int=shown[-1].ordinal)) if len(rows) > limit else None
        return cls.model_validate({"items": shown, "next_cursor": following})


def safe_filename(name: str | None) -> str | None:
    """The last part of a path, without characters that break headers; None when nothing is left."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    shown = "".join(character for character in last if character.isprintable()).strip()
    if len(shown) > MAX_FILENAME_LENGTH:
        suffix = PurePosixPath(shown).suffix[:20]
        shown = shown[: MAX_FILENAME_LENGTH - len(suffix)] + suffix
    return shown if shown not in ("", ".", "..") else None
