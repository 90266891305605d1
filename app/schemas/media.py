"""Files of memories on the wire."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, computed_field

from app.models import MediaStatus
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.texts import Truth

Fill = Literal["occurred_at", "location"]
ThumbnailName = Literal["small", "large"]


class Place(Read):
    """Degrees."""

    latitude: float
    longitude: float


class ThumbnailRead(Read):
    """A small copy of a picture: `small` has at most 320 pixels on its longer side, `large` 1280."""

    name: ThumbnailName
    media_type: str
    width: int
    height: int


class MediaError(Read):
    """Why a picture could not be prepared: `code` for programs, `message` for people."""

    code: str
    message: str


class MediaRead(Read):
    """A picture, a sound, a film or another file of a memory; `media_type` is told from its bytes, `size` is in bytes.

    Width and height are those of the picture as it is to be seen, turned upright. `taken_at` is what the camera wrote,
    `2023-07-04T23:30:00`, with an offset where it knew one. That, `coordinates` and `sha256` are for who added the file
    alone, unless it `keeps_metadata`: then everybody gets it as it was uploaded.
    """

    id: UUID
    memory_id: UUID
    added_by: UUID | None
    kind: Literal["image", "audio", "video", "file"]
    media_type: str
    filename: str | None
    size: int
    sha256: str | None
    status: MediaStatus
    error: MediaError | None
    width: int | None
    height: int | None
    frames: int | None
    orientation: int | None = Field(description="1 to 8, as EXIF counts: how the picture was stored.")
    taken_at: str | None
    coordinates: Place | None
    keeps_metadata: bool
    thumbnails: list[ThumbnailRead]
    created_at: Timestamp
    updated_at: Timestamp

    @computed_field(description="What is shown; of pictures, with nothing that they say of themselves.")  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def content_url(self) -> str:
        return f"/api/v1/memories/{self.memory_id}/media/{self.id}/content"


def _names(given: object) -> object:
    """A form has one text: names with commas between them."""
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


class MediaFields(Schema):
    """What may be said about a new file."""

    model_config = ConfigDict(extra="forbid")

    keeps_metadata: bool = False
    fill: Annotated[list[Fill], BeforeValidator(_names)] = Field(default_factory=list, max_length=2)


class MediaUpdate(Schema):
    """What is left out or null stays as it is."""

    model_config = ConfigDict(extra="forbid")

    keeps_metadata: Truth | None = None
