"""The event log: what happened in each channel (a room, a project, a user), numbered without gaps."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Channel(Base):
    """Its id is that of the room, project or user it tells about; its row lock puts commits in the order of `seq`."""

    __tablename__ = "channels"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))


class EventRow(Base):
    """`frame` is the JSON text that clients get, encoded once."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "created_at", postgresql_using="brin"),)

    channel_id: Mapped[UUID] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    frame: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
