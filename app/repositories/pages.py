"""Keyset pages: stable while rows are added and removed."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Model

Row = TypeVar("Row", bound=Model)


async def newest_first(
    session: AsyncSession, query: Select[Row], entity: type[Row], *, before: UUID | None, limit: int
) -> Sequence[Row]:
    """Up to `limit` rows of `query` made before the row `before`; the newest first."""
    if before is not None:
        query = query.where(entity.id < before)
    return (await session.scalars(query.order_by(entity.id.desc()).limit(limit))).all()
