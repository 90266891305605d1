"""Projects own documents, rooms and tasks, and are shared with members."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, query_expression

from app.models.base import Base, Model


class Project(Model):
    """Since `archived_at` it is there to be read; `closed_rooms` were closed by that, and open again after it."""

    __tablename__ = "projects"
    __table_args__ = (
        Index(None, "owner_id"),
        Index("uq_projects_owner_id_default", "owner_id", unique=True, postgresql_where=text("is_default")),
    )

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(2000), default="", server_default="")
    is_default: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    archived_at: Mapped[datetime | None]
    closed_rooms: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), default=list, server_default=text("'{}'"))
    role: Mapped[str | None] = query_expression()
    """No column: the caller's role, where the query was asked on behalf of one."""


class Member(Base):
    __tablename__ = "members"
    __table_args__ = (Index(None, "user_id", "project_id"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
