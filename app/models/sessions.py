"""Rooms, who belongs to them, and what was said."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, func
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, query_expression

from app.models.base import Base, Model


class SpiritMode(StrEnum):
    ALWAYS = "always"
    MENTION = "mention"
    OFF = "off"


class Session(Model):
    """A chat room. Its channel in the event log has the same id.

    `shares_documents`: whoever is let in may hear what the project's documents say, also without being a member.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "project_id", "id"), Index(None, "owner_id"))

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    max_users: Mapped[int] = mapped_column(default=6)
    spirit_mode: Mapped[str] = mapped_column(String(20), default=SpiritMode.ALWAYS)
    is_active: Mapped[bool] = mapped_column(default=True, server_default=sql_text("true"))
    shares_documents: Mapped[bool] = mapped_column(default=False, server_default=sql_text("false"))


class Participant(Base):
    """Somebody let in by an invite; members of the room's project need no row."""

    __tablename__ = "participants"
    __table_args__ = (Index(None, "user_id", "session_id"),)

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)


class RestrictionKind(StrEnum):
    MUTED = "muted"
    REMOVED = "removed"


class Restriction(Base):
    """Somebody whom a host has muted, or shown out: to these the room is not there, members of the project or not."""

    __tablename__ = "restrictions"
    __table_args__ = (Index(None, "user_id", "session_id"),)

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


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
    """`seq` is the message's number in the room's event log. `user_name` is what the author was called then.

    Of a deleted message the row stays, without its text. `last_edit_seq` is the number of the latest event that tells
    of an edit. A partial answer was stopped, or its end was lost.
    """

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
    reply_to: Mapped[UUID | None]
    is_partial: Mapped[bool] = mapped_column(default=False, server_default=sql_text("false"))
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    last_edit_seq: Mapped[int | None] = mapped_column(BigInteger)
    reactions: Mapped[list[dict[str, str]] | None] = query_expression()  # {emoji, user_id}, the oldest first


class Reaction(Base):
    __tablename__ = "reactions"
    __table_args__ = (Index(None, "user_id"),)

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    emoji: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ReadMarker(Base):
    """How far somebody has read: the number of a message."""

    __tablename__ = "read_markers"
    __table_args__ = (Index(None, "user_id"),)

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    last_read_seq: Mapped[int] = mapped_column(BigInteger)


class RoomSummary(Base):
    """What was said in a room up to `upto_seq`, in short: for the spirit."""

    __tablename__ = "room_summaries"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    upto_seq: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
