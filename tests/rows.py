"""A row in every table, whatever tables there are; and what stands in all of them, to be compared."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pgvector import HalfVector, SparseVector
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import ARRAY, Column, insert, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from app.models import Base

TRICKY = 'Zoë’s "lamp"\t\\N\n\U0001f3ee'
NAMES = itertools.count()


EMPTY = {"memory_links": {"message_id": None, "linked_id": None}}  # which has one target of three


async def fill(connection: AsyncConnection, sha256s: Iterator[str]) -> None:
    """Add a row to each table."""
    await connection.execute(text("SET session_replication_role = replica"))  # what belongs together is made up, too
    keys: dict[str, Mapping[str, Any]] = {}
    for table in Base.metadata.sorted_tables:
        values = {column.name: _value(column, keys, sha256s) for column in table.columns if column.computed is None}
        await connection.execute(insert(table), values | EMPTY.get(table.name, {}))
        keys[table.name] = {"shelf_id": values.get("project_id"), **values}  # computed, and referred to
    await connection.execute(text("SET session_replication_role = origin"))


def _value(column: Column[Any], keys: Mapping[str, Mapping[str, Any]], sha256s: Iterator[str]) -> Any:
    if column.name == "sha256":
        return next(sha256s)
    for reference in column.foreign_keys:
        there = keys.get(reference.column.table.name)
        if there is not None:
            return there[reference.column.name]
        return None
    return _made_up(column.type)


def _made_up(kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, HALFVEC):
        return HalfVector([0.5] * (kind.dim or 384))
    if isinstance(kind, SPARSEVEC):
        return SparseVector({1: 0.5, 7: 1.25}, kind.dim or 1_000_000_000)
    if isinstance(kind, ARRAY):
        return [_made_up(kind.item_type)]
    return {
        "uuid": uuid4(),
        "string": f"{next(NAMES)}"[: getattr(kind, "length", None)],
        "text": TRICKY,
        "integer": 3,
        "small_integer": 2,
        "big_integer": 1 << 40,
        "float": 0.1,
        "double": 0.1,
        "boolean": True,
        "datetime": datetime(2023, 3, 5, 12, 30, 1, 234567, UTC if getattr(kind, "timezone", False) else None),
        "date": datetime(2023, 3, 5, tzinfo=UTC).date(),
        "JSONB": {"a": [1, None, TRICKY]},
        "large_binary": bytes(range(256)),
    }[kind.__visit_name__]


async def contents(connection: AsyncConnection) -> dict[str, list[str]]:
    """All rows of all tables as text, in order."""
    names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    found: dict[str, list[str]] = {}
    for name in names:
        rows = await connection.execute(text(f'SELECT t::text FROM "{name}" t ORDER BY 1'))
        found[name] = list(rows.scalars())
    return found
