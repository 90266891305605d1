"""Encrypted columns, whatever table they stand in: by the key that encrypted them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.encrypted import EncryptedColumn


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """`key`: the primary key of its row."""

    key: tuple[Any, ...]
    content: bytes


class EncryptedRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count_by_mark(self, encrypted: EncryptedColumn, *, length: int) -> Mapping[bytes, int]:
        """How many values begin with which `length` bytes: these name the key."""
        mark = _mark(encrypted, length)
        query = select(mark, func.count()).where(encrypted.column.is_not(None)).group_by(mark)
        return {bytes(found): count for found, count in await self._session.execute(query)}

    async def list_not_marked(
        self, encrypted: EncryptedColumn, mark: bytes, *, after: tuple[Any, ...] | None, limit: int
    ) -> Sequence[StoredSecret]:
        """Values that do not begin with `mark`, in the order of their rows' keys."""
        key = tuple_(*encrypted.key)
        query = select(*encrypted.key, encrypted.column).where(_mark(encrypted, len(mark)) != mark)
        if after is not None:
            query = query.where(key > after)
        rows = await self._session.execute(query.order_by(*encrypted.key).limit(limit))
        return [StoredSecret(tuple(row[:-1]), bytes(row[-1])) for row in rows]

    async def replace(self, encrypted: EncryptedColumn, secret: StoredSecret, content: bytes) -> bool:
        """Put `content` where `secret` still stands; False when it is gone or another."""
        own = [column == value for column, value in zip(encrypted.key, secret.key, strict=True)]
        same = update(encrypted.table).where(*own, encrypted.column == secret.content)
        changes: dict[str, Any] = {encrypted.column.name: content}
        if "updated_at" in encrypted.table.columns:
            changes["updated_at"] = encrypted.table.columns["updated_at"]  # nobody has changed it
        result = await self._session.execute(same.values(changes).returning(*encrypted.key))
        return result.first() is not None


def _mark(encrypted: EncryptedColumn, length: int) -> ColumnElement[bytes]:
    return func.substring(encrypted.column, 1, length)
