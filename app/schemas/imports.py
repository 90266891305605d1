"""Memories that come in from files, and imports on the wire."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from app.event_base import FIRST_YEAR, LAST_YEAR
from app.models import Precision, TaskStatus
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.documents import Title
from app.schemas.memories import MOST_ALIASES, MOST_LINKS, MOST_PEOPLE, MOST_TAGS, Content, Coordinates, PlaceName, Tag
from app.schemas.moments import When
from app.schemas.tasks import TaskRead
from app.schemas.texts import LINES, require_lines, require_storable, shown_as
from app.schemas.users import Name, Timezone

MOST_VERSIONS: Final = 200
LAST_REVISION: Final = 2**31 - 2
LONGEST_SOURCE: Final = 20_000  # characters of JSON
LONGEST_OFFSET: Final = timedelta(hours=18)
Strictly: Final = ConfigDict(extra="forbid")
Loosely: Final = ConfigDict(extra="ignore", from_attributes=True)

ImportFormat = Literal["jsonl", "csv", "ical", "archive", "photos"]
SourceName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=100),
    AfterValidator(require_storable),
    AfterValidator(require_lines),
    shown_as(LINES),
]


class ImportFields(Schema):
    """What is said of a file beside it."""

    model_config = Strictly

    format: ImportFormat | None = Field(None, description="Told from the file, unless given.")
    source: SourceName = Field("", description="Where the file comes from: ids of one source do not mean another's.")
    timezone: Timezone | None = Field(None, description="Of times without an offset; yours, unless given.")


class ImportProblem(Read):
    """`is_skipped`: nothing was made of what stands at this line."""

    line: int
    message: str
    is_skipped: bool


class ImportRead(Read):
    """A file of memories on its way in, for your eyes alone. Of its `records`, as far as they were read, `created` are
    new memories, `updated` said something else than the last time, `unchanged` said the same, and `failed` could not be
    read; the first hundred `problems` are kept.
    """

    id: UUID
    task_id: UUID | None
    filename: str | None
    format: ImportFormat
    source: str
    timezone: str
    size: int
    status: TaskStatus
    progress: float
    records: int
    created: int
    updated: int
    unchanged: int
    failed: int
    problems: list[ImportProblem]
    error: dict[str, Any] | None
    created_at: Timestamp
    updated_at: Timestamp
    finished_at: Timestamp | None


class ImportStarted(Read):
    """The import, and the task that does the work: its events tell how far it is."""

    # `import` is a word of Python's
    started: ImportRead = Field(serialization_alias="import", validation_alias="started")
    task: TaskRead


class ImportMemoriesParams(Schema):
    """Bring in the memories of a file."""

    model_config = Strictly

    import_id: UUID


# --- records of files ---


def _by_name(value: Any) -> Any:
    """`"Anna"`, or an object with her name."""
    return value.get("name") if isinstance(value, dict) else value


def _as_place(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _known_time(value: datetime) -> datetime:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    _in_calendar(aware)
    return aware.astimezone(UTC)


def _in_calendar(value: datetime) -> datetime:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"must lie between the years {FIRST_YEAR} and {LAST_YEAR}")
    return value


def _wall(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError("must have no offset: it is what the clock showed")
    return _in_calendar(value)


Instant = Annotated[datetime, Field(strict=False), AfterValidator(_known_time)]
WallTime = Annotated[datetime, AfterValidator(_wall)]


class PlaceRecord(Schema):
    model_config = Strictly

    name: PlaceName
    coordinates: Coordinates | None = None


class MemoryRecord(Schema):
    """A memory as files tell it; people and places by their names."""

    model_config = Strictly

    title: Title | None = None
    content: Content = ""
    occurred_at: When | None = None
    occurred_end: When | None = None
    precision: Precision | None = None
    tags: Annotated[list[Tag], BeforeValidator(_listed), Field(max_length=MOST_TAGS)] = Field(default_factory=list)
    people: Annotated[
        list[Annotated[Name, BeforeValidator(_by_name)]], BeforeValidator(_listed), Field(max_length=MOST_PEOPLE)
    ] = Field(default_factory=list)
    location: Annotated[PlaceRecord | None, BeforeValidator(_as_place)] = None
    created_at: Instant | None = None


# --- records of archives: what one of ours takes along ---


class ArchivedPerson(Schema):
    model_config = Loosely

    id: UUID
    name: Name
    aliases: list[Name] = Field(default_factory=list, max_length=MOST_ALIASES)
    created_at: Instant
    updated_at: Instant


class ArchivedPlace(Schema):
    model_config = Loosely

    id: UUID
    name: PlaceName
    coordinates: Coordinates | None
    created_at: Instant
    updated_at: Instant


class ArchivedMedia(Schema):
    """A file of a memory; what is known of it is read from it again."""

    model_config = Loosely

    memory_id: UUID
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    filename: str | None = Field(None, max_length=255)
    keeps_metadata: bool = False


class ArchivedName(Schema):
    model_config = Loosely

    id: UUID
    name: Name


class ArchivedPlaceName(Schema):
    model_config = Loosely

    id: UUID
    name: PlaceName


Ids = Annotated[list[UUID], Field(max_length=MOST_LINKS)]


class ArchivedLinks(Schema):
    model_config = Loosely

    document_ids: Ids = Field(default_factory=list)
    message_ids: Ids = Field(default_factory=list)
    memory_ids: Ids = Field(default_factory=list)


class StateLinks(Schema):
    model_config = Loosely

    documents: Ids = Field(default_factory=list)
    messages: Ids = Field(default_factory=list)
    memories: Ids = Field(default_factory=list)


class Described(Schema):
    """What a memory says and when it was, now or earlier."""

    model_config = Loosely

    title: Title
    content: Content
    precision: Precision
    occurred_at: Instant
    occurred_end: Instant | None
    begins: WallTime
    ends: WallTime
    tags: list[Tag] = Field(max_length=MOST_TAGS)

    @model_validator(mode="after")
    def _require_clocks_to_agree(self) -> Self:
        if abs(self.begins - self.occurred_at.replace(tzinfo=None)) > LONGEST_OFFSET:
            raise ValueError("begins: is not when it occurred, on any clock")
        if self.ends <= self.begins or (self.occurred_end and self.occurred_end < self.occurred_at):
            raise ValueError("ends: before it begins")
        return self


class ArchivedState(Described):
    person_ids: list[UUID] = Field(default_factory=list, max_length=MOST_PEOPLE)
    location_id: UUID | None
    links: StateLinks


class ArchivedVersion(Schema):
    model_config = Loosely

    revision: int = Field(ge=1, le=LAST_REVISION)
    change: Literal["created", "updated", "undone", "deleted", "restored", "merged"]
    created_at: Instant
    state: ArchivedState


class ArchivedSource(Schema):
    """As far as it is known, and no more than what fits in a page."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(max_length=30, pattern=r"^[a-z_]+$")
    ids: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _require_little(self) -> Self:
        if len(require_storable(self.model_dump_json())) > LONGEST_SOURCE:
            raise ValueError(f"must have at most {LONGEST_SOURCE:,} characters")
        return self


class ArchivedMemory(Described):
    id: UUID
    people: list[ArchivedName] = Field(max_length=MOST_PEOPLE)
    location: ArchivedPlaceName | None
    links: ArchivedLinks
    source: ArchivedSource
    revision: int = Field(ge=1, le=LAST_REVISION)
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None
    history: list[ArchivedVersion] = Field(max_length=MOST_VERSIONS)
