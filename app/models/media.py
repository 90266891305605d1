"""What memories are illustrated with: pictures, sounds, films and other files."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model


class MediaStatus(StrEnum):
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Media(Model):
    """A file of a memory, once in each. `sha256` names the bytes as they were uploaded, which `added_by` alone gets.

    `taken_at` is what the camera wrote: `2023-07-04T23:30:00`, with an offset where it knew one; degrees, both or none.
    `blanks` are the boxes of a film that are served empty: where in it their type, content and end are.
    """

    __tablename__ = "memory_media"
    __table_args__ = (
        CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", "has_both_coordinates"),
        UniqueConstraint("memory_id", "sha256"),
        Index(None, "memory_id", "id"),
        Index(None, "sha256"),
        Index(None, "added_by", postgresql_where=text("added_by IS NOT NULL")),
    )

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"))
    added_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    kind: Mapped[str] = mapped_column(String(10))
    media_type: Mapped[str] = mapped_column(String(127))
    filename: Mapped[str | None] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    width: Mapped[int | None]
    height: Mapped[int | None]
    frames: Mapped[int | None]
    orientation: Mapped[int | None]
    taken_at: Mapped[str | None] = mapped_column(String(40))
    latitude: Mapped[float | None] = mapped_column(Float)
    longitude: Mapped[float | None] = mapped_column(Float)
    keeps_metadata: Mapped[bool] = mapped_column(default=False)
    blanks: Mapped[list[list[int]]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))


class MediaRendition(Base):
    """What was made of a picture: `shown` in full size for everybody, `large` and `small` as thumbnails."""

    __tablename__ = "media_renditions"
    __table_args__ = (Index(None, "sha256"),)

    media_id: Mapped[UUID] = mapped_column(ForeignKey("memory_media.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(127))
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
