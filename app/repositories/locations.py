"""The places in somebody's memories, by name and on the map."""

from collections.abc import Sequence
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import Double, Row, Select, cast, delete, func, null, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Location, Memory
from app.repositories.memory_filters import Near, distance, near

UNSYNCHRONIZED: Final = {"synchronize_session": False}
LocationRow: TypeAlias = Row[Location, int, float | None]
"""A location, in how many memories it is, and how far away."""


class LocationRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, location: Location) -> None:
        self._session.add(location)
        await self._session.flush()

    async def get_owned(self, owner_id: UUID, location_id: UUID) -> LocationRow | None:
        query = _counted(owner_id, None).where(Location.id == location_id)
        return (await self._session.execute(query)).one_or_none()

    async def lock_owned(self, owner_id: UUID, location_id: UUID) -> Location | None:
        query = select(Location).where(Location.owner_id == owner_id, Location.id == location_id)
        return (await self._session.scalars(query.with_for_update(key_share=True))).one_or_none()

    async def find_named(self, owner_id: UUID, name: str) -> Location | None:
        """The oldest that is called so, whatever the case of its letters."""
        query = select(Location).where(Location.owner_id == owner_id, func.lower(Location.name) == func.lower(name))
        return (await self._session.scalars(query.order_by(Location.id).limit(1))).one_or_none()

    async def list_owned(
        self, owner_id: UUID, *, words: str | None, before: UUID | None, limit: int
    ) -> Sequence[LocationRow]:
        """The newest first; `words` stand in their names."""
        query = _counted(owner_id, None)
        if words:
            query = query.where(Location.name.icontains(words, autoescape=True))
        if before is not None:
            query = query.where(Location.id < before)
        return (await self._session.execute(query.order_by(Location.id.desc()).limit(limit))).all()

    async def list_near(self, owner_id: UUID, point: Near, *, words: str | None, limit: int) -> Sequence[LocationRow]:
        """The nearest first."""
        query = _counted(owner_id, point).where(*near(point))
        if words:
            query = query.where(Location.name.icontains(words, autoescape=True))
        return (await self._session.execute(query.order_by(distance(point), Location.id).limit(limit))).all()

    async def delete(self, location_id: UUID) -> None:
        """Memories stay."""
        statement = delete(Location).where(Location.id == location_id)
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)


def memories_at(location_id: UUID) -> Select[UUID]:
    return select(Memory.id).where(Memory.location_id == location_id)


def _counted(owner_id: UUID, point: Near | None) -> Select[Location, int, float | None]:
    having = (
        select(func.count())
        .select_from(Memory)
        .where(Memory.location_id == Location.id, Memory.deleted_at.is_(None))
        .scalar_subquery()
    )
    away = distance(point) if point else cast(null(), Double())
    return select(Location, having.label("memory_count"), away.label("distance")).where(Location.owner_id == owner_id)
