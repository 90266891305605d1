"""Requests that may be sent twice."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import IdempotentRequest


class IdempotencyRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, user_id: UUID, key: str, *, abandoned_after: timedelta, kept_for: timedelta) -> bool:
        """Take `key` for a first request; also one that was given up, or is older than a first answer is kept."""
        age = func.clock_timestamp() - IdempotentRequest.created_at
        unanswered = IdempotentRequest.status.is_(None)
        query = (
            insert(IdempotentRequest)
            .values(user_id=user_id, key=key)
            .on_conflict_do_update(
                index_elements=["user_id", "key"],
                set_={
                    "created_at": func.clock_timestamp(),
                    "status": None,
                    "fingerprint": None,
                    "headers": None,
                    "body": None,
                },
                where=or_(unanswered & (age > abandoned_after), age > kept_for),
            )
            .returning(IdempotentRequest.key)
        )
        return await self._session.scalar(query) is not None

    async def get(self, user_id: UUID, key: str) -> IdempotentRequest | None:
        return await self._session.get(IdempotentRequest, (user_id, key))

    async def answer(
        self,
        user_id: UUID,
        key: str,
        *,
        fingerprint: bytes,
        status: int,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
    ) -> None:
        row = update(IdempotentRequest).where(IdempotentRequest.user_id == user_id, IdempotentRequest.key == key)
        values = {"fingerprint": fingerprint, "status": status, "headers": list(headers), "body": body}
        await self._session.execute(row.values(values))

    async def release(self, user_id: UUID, key: str) -> None:
        await self._session.execute(
            delete(IdempotentRequest).where(
                IdempotentRequest.user_id == user_id,
                IdempotentRequest.key == key,
                IdempotentRequest.status.is_(None),
            )
        )

    async def forget_older_than(self, age: timedelta) -> None:
        old = IdempotentRequest.created_at < func.clock_timestamp() - age
        await self._session.execute(delete(IdempotentRequest).where(old))
