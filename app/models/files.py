"""Files of projects, by their paths; the bytes are in the store, under their hash."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Model

LONGEST_PATH = 1024  # bytes of UTF-8


class ProjectFile(Model):
    """`path` compares byte by byte, so that lists and prefixes go by the index whatever the database's language."""

    __tablename__ = "project_files"
    __table_args__ = (
        Index("uq_project_files_project_id_path", "project_id", "path", unique=True),
        Index(None, "sha256"),
        Index(None, "created_by"),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(LONGEST_PATH, collation="C"))
    media_type: Mapped[str] = mapped_column(String(127))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    @property
    def version(self) -> str:
        """Of the content: the same bytes are the same version."""
        return self.sha256
