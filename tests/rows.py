"""A row in every table, whatever tables there are; and what stands in all of them, to be compared."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pgvector import HalfVector, SparseVector
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import Column, insert, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Base

TRICKY = 'Zoë’s "lamp"\t\\N\n\U0001f3ee'
NAMES = itertools.count()


async def fill(connection: AsyncConnection, sha256s: Iterator[str], **given: Any) -> None:
    """Add a row to each table; `given` values stand in all columns of that name."""
    await connection.execute(text("SET session_replication_role = replica"))  # what belongs together is made up, too
    keys: dict[str, Mapping[str, Any]] = {}
    for table in Base.metadata.sorted_tables:
        values = {column.name: _value(column, keys, sha256s) for column in table.columns if column.computed is None}
        await connection.execute(insert(table), {**values, **{name: given[name] for name in given if name in values}})
        keys[table.name] = values
    await connection.execute(text("SET session_replication_role = origin"))


def _value(column: Column[Any], keys: Mapping[str, Mapping[str, Any]], sha256s: Iterator[str]) -> Any:
    if column.name == "sha256":
        return next(sha256s)
    for reference in column.foreign_keys:
        there = keys.get(reference.column.table.name)
        if there is not None:
            return there[reference.column.name]
        return None
    return _made_up(column)


def _made_up(column: Column[Any]) -> Any:
    kind = type(column.type)
    if kind is HALFVEC:
        return HalfVector([0.5] * (column.type.dim or 384))
    if kind is SPARSEVEC:
        return SparseVector({1: 0.5, 7: 1.25}, column.type.dim or 1_000_000_000)
    length = getattr(column.type, "length", None)
    known = {
        "UUID": uuid4(),
        "VARCHAR": f"{next(NAMES)}"[: length or None],
        "TEXT": TRICKY,
        "INTEGER": 3,
        "SMALLINT": 2,
        "BIGINT": 1 << 40,
        "FLOAT": 0.1,
        "BOOLEAN": True,
        "DATETIME": datetime(2023, 3, 5, 12, 30, 1, 234567, UTC),
        "DATE": datetime(2023, 3, 5, tzinfo=UTC).date(),
        "JSONB": {"a": [1, None, TRICKY]},
        "BYTEA": bytes(range(256)),
        "ARRAY": [1, 2, 3],
    }
    return known[column.type.__visit_name__.upper().replace("LARGE_BINARY", "BYTEA").replace("BIG_INTEGER", "BIGINT")]


async def contents(connection: AsyncConnection) -> dict[str, list[str]]:
    """All rows of all tables as text, in order."""
    names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    found: dict[str, list[str]] = {}
    for name in names:
        rows = await connection.execute(text(f'SELECT t::text FROM "{name}" t ORDER BY 1'))
        found[name] = list(rows.scalars())
    return found
