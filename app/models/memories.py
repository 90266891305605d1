"""Memories: what somebody keeps of their life, who was there, where it was, and what it hangs together with.

A memory lies on a *shelf*: its owner's, or that of the project it is shared with. Whoever may look at a shelf sees what
lies there. It is shared as long as its owner is a member of the project: the database takes it back to the owner's
shelf at the end of the membership, and what it is found by with it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import (
    CheckConstraint,
    Computed,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model

WallClock = DateTime(timezone=False)
NOT_DELETED = text("deleted_at IS NULL")


class Precision(StrEnum):
    """How exactly is known when something happened."""

    EXACT = "exact"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Memory(Model):
    """Something that happened. Two clocks: `occurred_at` is when it did, `created_at` when it was written down.

    `begins` and `ends` are the same on the wall clock of the place, which calendars go by: all of the day, the month or
    the year where no more is known, `ends` being the first moment behind it. `revision` counts the changes.
    """

    __tablename__ = "memories"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project_id", "owner_id"], ["members.project_id", "members.user_id"], ondelete="SET NULL (project_id)"
        ),
        UniqueConstraint("shelf_id", "id"),
        Index(None, "owner_id"),
        Index(None, "project_id", "owner_id", postgresql_where=text("project_id IS NOT NULL")),
        Index(None, "location_id", postgresql_where=text("location_id IS NOT NULL")),
        Index(None, "shelf_id", "occurred_at", "id", postgresql_where=NOT_DELETED),
        Index(  # with all that a timeline counts
            None, "shelf_id", "begins", "ends", postgresql_where=NOT_DELETED, postgresql_include=["id", "location_id"]
        ),
        Index("ix_memories_tags", "tags", postgresql_using="gin", postgresql_where=NOT_DELETED),
        Index(None, "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    project_id: Mapped[UUID | None]
    shelf_id: Mapped[UUID] = mapped_column(Computed("coalesce(project_id, owner_id)", persisted=True))
    title: Mapped[str] = mapped_column(String(300))
    content: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    occurred_end: Mapped[datetime | None]
    precision: Mapped[str] = mapped_column(String(10))
    begins: Mapped[datetime] = mapped_column(WallClock)
    ends: Mapped[datetime] = mapped_column(WallClock)
    tags: Mapped[list[str]] = mapped_column(ARRAY(String(50)), default=list, server_default=text("'{}'"))
    location_id: Mapped[UUID | None] = mapped_column(ForeignKey("locations.id", ondelete="SET NULL"))
    source: Mapped[dict[str, Any]] = mapped_column(JSONB)
    revision: Mapped[int] = mapped_column(default=1)
    deleted_at: Mapped[datetime | None]


class Person(Model):
    """Somebody in an owner's memories; no account."""

    __tablename__ = "people"
    __table_args__ = (Index(None, "owner_id", "id"),)

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    aliases: Mapped[list[str]] = mapped_column(ARRAY(String(100)), default=list, server_default=text("'{}'"))


class PersonName(Base):
    """What people are called, folded so that names compare: the name and the aliases."""

    __tablename__ = "person_names"
    __table_args__ = (Index(None, "owner_id", "folded"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    folded: Mapped[str] = mapped_column(String(200), primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class Location(Model):
    """A place in an owner's memories; degrees, where it is known where that is."""

    __tablename__ = "locations"
    __table_args__ = (
        CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", "has_both_coordinates"),
        Index(None, "owner_id", "id"),
        Index("ix_locations_owner_id_name", "owner_id", text("lower(name)")),
        Index(None, "latitude", "longitude", postgresql_where=text("latitude IS NOT NULL")),
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    latitude: Mapped[float | None] = mapped_column(Float)
    longitude: Mapped[float | None] = mapped_column(Float)

    @property
    def coordinates(self) -> dict[str, float] | None:
        if self.latitude is None or self.longitude is None:
            return None
        return {"latitude": self.latitude, "longitude": self.longitude}


class MemoryPerson(Base):
    """Who was there. When and where repeats the memory, as triggers see to, so that a timeline can count people without
    looking at memories; `shelf_id` is null while the memory is in the bin.
    """

    __tablename__ = "memory_people"
    __table_args__ = (
        Index(None, "person_id", "memory_id"),
        Index(None, "shelf_id", "begins", postgresql_include=["person_id", "location_id"]),
    )

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    shelf_id: Mapped[UUID | None]
    begins: Mapped[datetime | None] = mapped_column(WallClock)
    location_id: Mapped[UUID | None]


class MemoryLink(Base):
    """What a memory hangs together with: one of the three, which `target_id` repeats."""

    __tablename__ = "memory_links"
    __table_args__ = (
        CheckConstraint("num_nonnulls(document_id, message_id, linked_id) = 1", "has_one_target"),
        Index(None, "document_id", postgresql_where=text("document_id IS NOT NULL")),
        Index(None, "message_id", postgresql_where=text("message_id IS NOT NULL")),
        Index(None, "linked_id", postgresql_where=text("linked_id IS NOT NULL")),
    )

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    target_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    linked_id: Mapped[UUID | None] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"))


class MemoryVersion(Base):
    """What a memory was after its change number `revision`, for undo; `state` holds texts, times and ids."""

    __tablename__ = "memory_versions"

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    change: Mapped[str] = mapped_column(String(20))
    changed_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    state: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class MemoryIndexing(Base):
    """A memory whose passages have to be made (anew), written with the change that is the reason.

    Whoever takes it moves `run_after` on, so that nobody else takes it meanwhile, and it is tried again after a crash.
    `ticket` changes with every reason: what was made of an older state does not end the wait. The lower `priority` is,
    the sooner: what somebody writes now lets thousands of an import wait.
    """

    __tablename__ = "memory_indexings"
    __table_args__ = (Index(None, "priority", "run_after"),)

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    ticket: Mapped[UUID]
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    run_after: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    priority: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))


class MemoryChunk(Model):
    """A passage of a memory's text, as `Chunk` is one of a document's; a deleted memory has none."""

    __tablename__ = "memory_chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shelf_id", "memory_id"], ["memories.shelf_id", "memories.id"], ondelete="CASCADE", onupdate="CASCADE"
        ),
        UniqueConstraint("shelf_id", "id"),
        Index("uq_memory_chunks_memory_id_ordinal", "memory_id", "ordinal", unique=True),
        Index(
            "ix_memory_chunks_embedding_minilm",
            literal_column("(embedding::halfvec(384))").label("minilm"),
            postgresql_using="hnsw",
            postgresql_ops={"minilm": "halfvec_ip_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
            postgresql_where=text("embedding_model = 'all-MiniLM-L6-v2'"),
        ),
    )

    memory_id: Mapped[UUID]
    shelf_id: Mapped[UUID]
    ordinal: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    char_start: Mapped[int]
    char_end: Mapped[int]
    embedding: Mapped[Any] = mapped_column(HALFVEC)
    embedding_model: Mapped[str] = mapped_column(String(100))


class MemoryTerms(Base):
    """The words of a memory's passage, as `ChunkTerms` of a document's."""

    __tablename__ = "memory_terms"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shelf_id", "chunk_id"],
            ["memory_chunks.shelf_id", "memory_chunks.id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        Index(None, "shelf_id"),
        Index(None, "memory_id"),
        Index("ix_memory_terms_term_ids", "term_ids", postgresql_using="gin"),
    )

    chunk_id: Mapped[UUID] = mapped_column(primary_key=True)
    memory_id: Mapped[UUID]
    shelf_id: Mapped[UUID]
    term_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    terms: Mapped[Any] = mapped_column(SPARSEVEC)
    expansion: Mapped[Any | None] = mapped_column(SPARSEVEC)
    expansion_model: Mapped[str | None] = mapped_column(String(100))


class MemoryTermCount(Base):
    """How many passages on a shelf have a term; of the term 0, how many there are. Kept by a trigger."""

    __tablename__ = "memory_term_counts"

    shelf_id: Mapped[UUID] = mapped_column(primary_key=True)
    term_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    passages: Mapped[int]


class CandidateStatus(StrEnum):
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    DROPPED = "dropped"


class MemoryCandidate(Model):
    """What may become a memory, once its owner says so; `memory_id` is the one that it became, or was merged into.

    `duplicate_of`: a memory that says the same of the same time.
    """

    __tablename__ = "memory_candidates"
    __table_args__ = (
        Index(None, "owner_id", "status", "id"),
        UniqueConstraint("owner_id", "fingerprint"),
        Index(None, "duplicate_of", postgresql_where=text("duplicate_of IS NOT NULL")),
        Index(None, "memory_id", postgresql_where=text("memory_id IS NOT NULL")),
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(String(20), default=CandidateStatus.PROPOSED)
    title: Mapped[str] = mapped_column(String(300))
    content: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    occurred_end: Mapped[datetime | None]
    precision: Mapped[str] = mapped_column(String(10))
    begins: Mapped[datetime] = mapped_column(WallClock)
    ends: Mapped[datetime] = mapped_column(WallClock)
    people: Mapped[list[str]] = mapped_column(ARRAY(String(100)), default=list, server_default=text("'{}'"))
    source: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fingerprint: Mapped[str] = mapped_column(String(64))
    duplicate_of: Mapped[UUID | None] = mapped_column(ForeignKey("memories.id", ondelete="SET NULL"))
    memory_id: Mapped[UUID | None] = mapped_column(ForeignKey("memories.id", ondelete="SET NULL"))

    @property
    def occurred_local(self) -> str:
        return self.begins.isoformat()
