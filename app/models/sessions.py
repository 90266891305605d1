"""Rooms, who belongs to them, and what was said."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model


class SpiritMode(StrEnum):
    ALWAYS = "always"
    MENTION = "mention"
    OFF = "off"


class Session(Model):
    """A chat room. Its channel in the event log has the same id."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "project_id", "id"), Index(None, "owner_id"))

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    max_users: Mapped[int] = mapped_column(default=6)
    spirit_mode: Mapped[str] = mapped_column(String(20), default=SpiritMode.ALWAYS)
    is_active: Mapped[bool] = mapped_column(default=True, server_default=sql_text("true"))


class Participant(Base):
    """Somebody let in by an invite; members of the room's project need no row."""

    __tablename__ = "participants"
    __table_args__ = (Index(None, "user_id", "session_id"),)

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)


class Invite(Model):
    """A secret that lets its holder into one room; stored as a digest."""

    __tablename__ = "invites"
    __table_args__ = (Index(None, "session_id"),)

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    created_by: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    digest: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    uses_left: Mapped[int]


class Message(Model):
    """`seq` is the message's number in the room's event log. `user_name` is what the author was called then."""

    __tablename__ = "messages"
    __table_args__ = (
        Index(None, "user_id", "id", postgresql_where=sql_text("user_id IS NOT NULL")),
        Index("uq_messages_session_id_seq", "session_id", "seq", unique=True),
        UniqueConstraint("session_id", "user_id", "client_id"),  # those of removed accounts may be alike
        Index("uq_messages_in_reply_to", "in_reply_to", unique=True, postgresql_where=sql_text("is_spirit")),
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    user_name: Mapped[str] = mapped_column(String(100))
    text: Mapped[str] = mapped_column(Text)
    is_spirit: Mapped[bool] = mapped_column(default=False)
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default=sql_text("'[]'"))
    client_id: Mapped[str | None] = mapped_column(String(100))
    in_reply_to: Mapped[UUID | None]
