"""Rates of roles."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import RoleLimit


class RoleLimitRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(self) -> Sequence[RoleLimit]:
        return (await self._session.scalars(select(RoleLimit).order_by(RoleLimit.role, RoleLimit.budget))).all()

    async def put(self, limit: RoleLimit) -> None:
        await self._session.merge(limit)

    async def delete(self, role: str, budget: str) -> None:
        await self._session.execute(delete(RoleLimit).where(RoleLimit.role == role, RoleLimit.budget == budget))
