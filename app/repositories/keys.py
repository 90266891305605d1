"""API keys, found by digest."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import APIKey, User
from app.repositories.pages import newest_first


class APIKeyRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, key: APIKey) -> None:
        self._session.add(key)

    async def get_with_user(self, digest: bytes) -> tuple[APIKey, User] | None:
        query = select(APIKey, User).join(User, User.id == APIKey.user_id).where(APIKey.digest == digest)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1])

    async def is_good(self, key_id: UUID) -> bool:
        """Whether it is there, has not expired, and its owner's account is active."""
        good = (APIKey.id == key_id, or_(APIKey.expires_at.is_(None), APIKey.expires_at > func.clock_timestamp()))
        query = select(User.is_active).join(APIKey, APIKey.user_id == User.id).where(*good)
        return bool(await self._session.scalar(query))

    async def get_own(self, user_id: UUID, key_id: UUID) -> APIKey | None:
        return await self._session.scalar(select(APIKey).where(APIKey.id == key_id, APIKey.user_id == user_id))

    async def list_own(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[APIKey]:
        query = select(APIKey).where(APIKey.user_id == user_id)
        return await newest_first(self._session, query, APIKey, before=before, limit=limit)

    async def count_own(self, user_id: UUID) -> int:
        query = select(func.count()).select_from(APIKey).where(APIKey.user_id == user_id)
        return (await self._session.execute(query)).scalar_one()

    async def delete_own(self, user_id: UUID, key_id: UUID) -> bytes | None:
        """Digest of the deleted key; None when there is none."""
        own = delete(APIKey).where(APIKey.id == key_id, APIKey.user_id == user_id)
        return await self._session.scalar(own.returning(APIKey.digest))

    async def delete_all(self, user_id: UUID) -> None:
        await self._session.execute(delete(APIKey).where(APIKey.user_id == user_id))

    async def touch(self, key_id: UUID, *, at_most_every: timedelta) -> None:
        """Note that the key is in use; waits neither for others who do the same nor for the disk."""
        await self._session.execute(text("SET LOCAL synchronous_commit = off"))
        now = func.clock_timestamp()
        stale = or_(APIKey.last_used_at.is_(None), APIKey.last_used_at < now - at_most_every)
        free = select(APIKey.id).where(APIKey.id == key_id, stale).with_for_update(skip_locked=True)
        await self._session.execute(
            update(APIKey)
            .where(APIKey.id.in_(free.scalar_subquery()))
            .values(last_used_at=now, updated_at=APIKey.updated_at)
            .execution_options(synchronize_session=False)
        )
