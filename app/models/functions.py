"""Calls of functions that run outside: what their runners may say with a token, and what they have said."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class FunctionCall(Base):
    """The latest call that a task has made, the `number`-th.

    `token_digest` is that of the only token that is good for it. `is_accepted`: the runner said that it would do it,
    and whoever works on the task waits. `report` and `outcome` are what the runner said.
    """

    __tablename__ = "function_calls"

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(default=1)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime]
    is_accepted: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    files: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
