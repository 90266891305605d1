"""The mirror of the passages' vectors in another store, and what it does not know yet."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class VectorMirror(Base):
    """The one collection that mirrors the vectors of a model; without a row nothing does."""

    __tablename__ = "vector_mirrors"

    collection_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    embedding_model: Mapped[str] = mapped_column(String(100))


class VectorChange(Base):
    """A document whose passages may be others in the mirror. Kept by a trigger; `version` rises with each change.

    No foreign key: what the mirror has of a document that is gone has to go, too.
    """

    __tablename__ = "vector_changes"
    __table_args__ = (Index(None, "version"),)

    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, Identity())
    held_until: Mapped[datetime | None]
