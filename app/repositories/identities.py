"""Accounts of elsewhere that open accounts here."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Identity, User


class IdentityRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, identity: Identity) -> None:
        self._session.add(identity)

    async def get_with_user(self, issuer: str, subject: str) -> tuple[Identity, User] | None:
        query = select(Identity, User).join(User, User.id == Identity.user_id)
        same = (Identity.issuer == issuer, Identity.subject == subject)
        row = (await self._session.execute(query.where(*same))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def list_of(self, user_id: UUID) -> Sequence[Identity]:
        query = select(Identity).where(Identity.user_id == user_id).order_by(Identity.id.desc())
        return (await self._session.scalars(query)).all()

    async def get_own(self, user_id: UUID, identity_id: UUID) -> Identity | None:
        own = (Identity.id == identity_id, Identity.user_id == user_id)
        return await self._session.scalar(select(Identity).where(*own))

    async def has_another(self, user_id: UUID, *, besides: UUID) -> bool:
        others = exists().where(Identity.user_id == user_id, Identity.id != besides)
        return bool(await self._session.scalar(select(others)))

    async def delete_all(self, user_id: UUID) -> None:
        await self._session.execute(delete(Identity).where(Identity.user_id == user_id))

    async def delete(self, identity_id: UUID) -> None:
        await self._session.execute(delete(Identity).where(Identity.id == identity_id))
