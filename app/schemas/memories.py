"""Memories on the wire."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from app.models import MemoryVersion, Precision
from app.schemas.base import Schema
from app.schemas.common import Page, Read, Timestamp, encode_cursor
from app.schemas.documents import Title
from app.schemas.media import MediaRead
from app.schemas.moments import When
from app.schemas.texts import NO_NUL, ONLY_NUMBERS, VISIBLE_LINE, require_line, require_storable, shown_as
from app.schemas.users import Name

LONGEST_CONTENT: Final = 50_000
MOST_TAGS, MOST_PEOPLE, MOST_LINKS, MOST_ALIASES = 50, 100, 100, 50


def _line(value: str) -> str:
    return require_line(value)


Content = Annotated[
    str, StringConstraints(max_length=LONGEST_CONTENT), AfterValidator(require_storable), shown_as(NO_NUL)
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=50),
    AfterValidator(_line),
    shown_as(VISIBLE_LINE),
]
PlaceName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_line),
    shown_as(VISIBLE_LINE),
]
Latitude = Annotated[float, ONLY_NUMBERS, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, ONLY_NUMBERS, Field(ge=-180, le=180, allow_inf_nan=False)]
Strictly: Final = ConfigDict(extra="forbid")


class Coordinates(Schema):
    """Degrees."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    latitude: Latitude
    longitude: Longitude


class PersonById(Schema):
    """Somebody in your memories."""

    model_config = Strictly

    person_id: UUID


class PersonByName(Schema):
    """Who is called so already, else somebody new."""

    model_config = Strictly

    name: Name


class PlaceById(Schema):
    """A place in your memories."""

    model_config = Strictly

    location_id: UUID


class PlaceByName(Schema):
    """The place that is called so already, else a new one, with coordinates if they are known."""

    model_config = Strictly

    name: PlaceName
    coordinates: Coordinates | None = None


PersonGiven = PersonById | PersonByName
PlaceGiven = PlaceById | PlaceByName


class MemoryLinks(Schema):
    """What a memory hangs together with; documents and messages that you may see, and memories."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    document_ids: list[UUID] = Field(default_factory=list, max_length=MOST_LINKS)
    message_ids: list[UUID] = Field(default_factory=list, max_length=MOST_LINKS)
    memory_ids: list[UUID] = Field(default_factory=list, max_length=MOST_LINKS)


class MemoryCreate(Schema):
    """Something that happened, as far as it is known. Nobody else sees it without a `project_id`."""

    model_config = Strictly

    title: Title | None = Field(None, description="Without one, how the content begins.")
    content: Content = ""
    occurred_at: When | None = Field(None, description="Now, unless given.")
    occurred_end: When | None = None
    precision: Precision | None = Field(None, description="As `occurred_at` is written, unless given.")
    tags: list[Tag] = Field(default_factory=list, max_length=MOST_TAGS)
    people: list[PersonGiven] = Field(default_factory=list, max_length=MOST_PEOPLE)
    location: PlaceGiven | None = None
    links: MemoryLinks = Field(default_factory=MemoryLinks)
    project_id: UUID | None = Field(None, description="Shares it with the members of this project.")


class MemoryUpdate(Schema):
    """What is left out stays; `people`, `tags` and `links` are replaced as a whole.

    Null takes away `occurred_end`, `location`, and with `project_id` the sharing.
    """

    model_config = Strictly

    title: Title | None = None
    content: Content | None = None
    occurred_at: When | None = None
    occurred_end: When | None = None
    precision: Precision | None = None
    tags: list[Tag] | None = Field(None, max_length=MOST_TAGS)
    people: list[PersonGiven] | None = Field(None, max_length=MOST_PEOPLE)
    location: PlaceGiven | None = None
    links: MemoryLinks | None = None
    project_id: UUID | None = None


class UndoRequest(Schema):
    """`revision`: the state to go back to; without one, that before the last change."""

    model_config = Strictly

    revision: int | None = Field(None, ge=1, le=2**31 - 1)


class PersonInMemory(Read):
    id: UUID
    name: str


class PlaceOfMemory(Read):
    id: UUID
    name: str
    coordinates: Coordinates | None


class SourceRead(Read):
    """Where a memory comes from, and the ids of what it was made from."""

    kind: str = Field(examples=["manual", "conversation", "import"])
    ids: dict[str, Any]


class MemoryRead(Read):
    """A memory. `occurred_local` is what the clock showed where it happened, which calendars go by; of a day, a month
    or a year (`precision`) it is the beginning. `created_at` is when it was written down.

    Links lead to what you may see; `project_id` is null where nobody else sees the memory.
    """

    id: UUID
    owner_id: UUID
    project_id: UUID | None
    title: str
    content: str
    occurred_at: Timestamp
    occurred_end: Timestamp | None
    occurred_local: str
    precision: Precision
    tags: list[str]
    people: list[PersonInMemory]
    location: PlaceOfMemory | None
    links: MemoryLinks
    media: list[MediaRead]
    source: SourceRead
    created_at: Timestamp
    updated_at: Timestamp
    deleted_at: Timestamp | None


class VersionRead(Read):
    """What a memory was after change number `revision`; `change` says what was done, by `changed_by`."""

    revision: int
    change: Literal["created", "updated", "undone", "deleted", "restored", "merged"]
    changed_by: UUID | None
    state: dict[str, Any]
    created_at: Timestamp


class VersionPage(Page[VersionRead]):
    @classmethod
    def of(cls, rows: Sequence[MemoryVersion], limit: int) -> Self:
        """The cursor is the number of the change."""
        shown = rows[:limit]
        following = encode_cursor(UUID(int=shown[-1].revision)) if len(rows) > limit else None
        return cls.model_validate({"items": shown, "next_cursor": following})


class PersonCreate(Schema):
    model_config = Strictly

    name: Name
    aliases: list[Name] = Field(default_factory=list, max_length=MOST_ALIASES)


class PersonUpdate(Schema):
    """What is left out or null stays as it is; `aliases` are replaced as a whole."""

    model_config = Strictly

    name: Name | None = None
    aliases: list[Name] | None = Field(None, max_length=MOST_ALIASES)


class PersonMerge(Schema):
    """`person_id` goes, and becomes an alias; whatever it was linked with stays."""

    model_config = Strictly

    person_id: UUID


class PersonRead(Read):
    """Somebody in your memories, and in how many."""

    id: UUID
    name: str
    aliases: list[str]
    memory_count: int
    created_at: Timestamp
    updated_at: Timestamp


class LocationCreate(Schema):
    model_config = Strictly

    name: PlaceName
    coordinates: Coordinates | None = None


class LocationUpdate(Schema):
    """What is left out or null stays as it is."""

    model_config = Strictly

    name: PlaceName | None = None
    coordinates: Coordinates | None = None


class LocationRead(Read):
    """A place in your memories, and in how many; `distance` in metres, where a list is asked for what is near."""

    id: UUID
    name: str
    coordinates: Coordinates | None
    memory_count: int
    distance: float | None
    created_at: Timestamp
    updated_at: Timestamp


class Counted(Read):
    """Somebody or somewhere, and in how many memories of a bucket."""

    id: UUID
    name: str
    count: int


class BucketRead(Read):
    """A day, a month or a year, by its first day: how many memories, the people and places that most have, titles."""

    start: date
    count: int
    people: list[Counted]
    places: list[Counted]
    titles: list[str]


class Timeline(Read):
    """The newest bucket first, without empty ones."""

    bucket: Literal["day", "month", "year"]
    items: list[BucketRead]
    next_cursor: str | None


class OnThisDay(Read):
    """Memories of this day of other years, and of this one; the newest first."""

    date: str
    items: list[MemoryRead]
    next_cursor: str | None
