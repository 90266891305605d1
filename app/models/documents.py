"""Documents, their extracted text, and the passages that are searched."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import BigInteger, Computed, ForeignKey, Index, Integer, String, Text, literal_column, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model


class DocumentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Document(Model):
    """A file in a project. The same bytes in the same project are the same document (`sha256`, hexadecimal)."""

    __tablename__ = "documents"
    __table_args__ = (
        Index("uq_documents_project_id_sha256", "project_id", "sha256", unique=True),
        Index(None, "project_id", "id"),
        Index(None, "owner_id"),
        Index(None, "sha256"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(300))
    filename: Mapped[str | None] = mapped_column(String(255))
    source_url: Mapped[str | None] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(String(127))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20), default=DocumentStatus.PENDING)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    page_count: Mapped[int | None]
    chunk_count: Mapped[int | None]
    # `metadata` is taken by SQLAlchemy; the API calls it so.
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict, server_default=text("'{}'"))


class Reading:
    """Columns of what the parser found: offsets everywhere count code points of `text`."""

    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    pages: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    headings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class DocumentText(Reading, Base):
    """The text of a document that was read, which fits its passages at any time; another text is another `version`."""

    __tablename__ = "document_texts"

    version: Mapped[str] = mapped_column(String(32), Computed("md5(text)", persisted=True))


class DocumentTextDraft(Reading, Base):
    """The text that one ingestion works on; it becomes the document's together with the passages."""

    __tablename__ = "document_text_drafts"


class Passage:
    """Columns of a passage, searchable (`Chunk`) or still being made (`ChunkDraft`)."""

    ordinal: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    char_start: Mapped[int]
    char_end: Mapped[int]
    page: Mapped[int | None]
    heading: Mapped[str | None] = mapped_column(Text)
    token_count: Mapped[int]
    embedding: Mapped[Any] = mapped_column(HALFVEC)
    embedding_model: Mapped[str] = mapped_column(String(100))


class Terms:
    """Columns of what a passage speaks of: `terms` are the weights of its words for BM25 by `term_ids`, `expansion`
    those of word pieces by the sparse model `expansion_model`, which may come later or never.
    """

    term_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    terms: Mapped[Any] = mapped_column(SPARSEVEC)
    expansion: Mapped[Any | None] = mapped_column(SPARSEVEC)
    expansion_model: Mapped[str | None] = mapped_column(String(100))


class Chunk(Passage, Model):
    """A passage of a ready document. `project_id` is repeated here so that a search is narrowed without a join."""

    __tablename__ = "chunks"
    __table_args__ = (
        Index("uq_chunks_document_id_ordinal", "document_id", "ordinal", unique=True),
        Index(None, "project_id"),
        Index(
            "ix_chunks_embedding_minilm",
            literal_column("(embedding::halfvec(384))").label("minilm"),
            postgresql_using="hnsw",
            postgresql_ops={"minilm": "halfvec_ip_ops"},
            postgresql_with={"m": 16, "ef_construction": 64},
            postgresql_where=text("embedding_model = 'all-MiniLM-L6-v2'"),
        ),
    )

    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))


class ChunkTerms(Terms, Base):
    """Beside a passage, so that what is compared row by row lies close together.

    The keys of the passage are repeated: a search over these rows is narrowed without a join.
    """

    __tablename__ = "chunk_terms"
    __table_args__ = (
        Index(None, "project_id"),
        Index(None, "document_id"),
        Index("ix_chunk_terms_term_ids", "term_ids", postgresql_using="gin"),
    )

    chunk_id: Mapped[UUID] = mapped_column(ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True)
    document_id: Mapped[UUID]
    project_id: Mapped[UUID]


class TermCount(Base):
    """How many passages of a project have a term; of the term 0, how many there are. Kept by a trigger."""

    __tablename__ = "term_counts"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    term_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    passages: Mapped[int]


class ChunkDraft(Passage, Terms, Base):
    """Passages embedded so far by one ingestion: a worker that takes over goes on from here."""

    __tablename__ = "chunk_drafts"

    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
