"""Answers to questions, kept for a while so that they can be read and checked again."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Model


class AnswerStatus(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"  # somebody wanted no more of it, or nobody listened any longer: what was said so far
    FAILED = "failed"


class Answer(Model):
    """What `owner_id` was told. Columns as in `schemas.query.QueryResult`; `error` holds code and message."""

    __tablename__ = "answers"
    __table_args__ = (Index(None, "owner_id", "id"), Index(None, "created_at"))

    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    question: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    answer: Mapped[str] = mapped_column(Text, default="")
    citations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    sentences: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    grounded: Mapped[bool] = mapped_column(default=False)
    model: Mapped[str] = mapped_column(Text)
    usage: Mapped[dict[str, Any]] = mapped_column(JSONB)
    timings_ms: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
