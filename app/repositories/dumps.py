"""The whole database as rows that COPY gives and takes; its own catalogue says what there is, whatever the schema."""

import graphlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from app.repositories.blobs import BACKUP_LOCK, NAMING

VERSION_TABLE: Final = "alembic_version"

TABLES: Final = """
    SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> $1
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    GROUP BY c.relname ORDER BY c.relname
"""
REFERENCES: Final = """
    SELECT one.relname::text AS name, other.relname::text AS needs
    FROM pg_constraint k JOIN pg_class one ON one.oid = k.conrelid JOIN pg_class other ON other.oid = k.confrelid
    WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND k.conrelid <> k.confrelid
"""
SEQUENCES: Final = """
    SELECT sequencename::text AS name, last_value FROM pg_sequences
    WHERE schemaname = current_schema() AND last_value IS NOT NULL
"""
FUNCTIONS: Final = """
    SELECT p.oid::regprocedure::text AS name FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      )
"""
OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'hearth' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class TableShape:
    """`columns` without those that PostgreSQL computes."""

    name: str
    columns: Sequence[str]


class Dump:
    """One connection of its own, on which nothing else happens meanwhile."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection  # asyncpg's, which comes without types

    @classmethod
    async def over(cls, connection: AsyncConnection) -> "Dump":
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        return cls(raw.driver_connection)

    async def keep_blobs(self) -> bool:
        """From now on, and as long as this connection lives, nobody removes stored files; False: another backup runs.

        Whoever is removing some is waited for, and so are the rows that go with them.
        """
        another = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = $1 "
        another += "AND objid = $2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        if await self._connection.fetchval(another, "ExclusiveLock", BACKUP_LOCK):
            return False
        await self._connection.execute(f"SELECT pg_advisory_lock({BACKUP_LOCK})")
        return True

    def snapshot(self) -> AbstractAsyncContextManager[Any]:
        """What is committed before the first question in it is seen, and nothing that comes later."""
        snapshot: AbstractAsyncContextManager[Any] = self._connection.transaction(
            isolation="repeatable_read", readonly=True
        )
        return snapshot

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        transaction: AbstractAsyncContextManager[Any] = self._connection.transaction()
        return transaction

    async def revision(self) -> str | None:
        """Of the schema; None where there is none."""
        if await self._connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
            return None
        revision: str | None = await self._connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
        return revision

    async def server_version(self) -> str:
        return str(await self._connection.fetchval("SHOW server_version"))

    async def list_tables(self) -> Sequence[TableShape]:
        """Each behind those that its rows refer to."""
        shapes = {row["name"]: row["columns"] for row in await self._connection.fetch(TABLES, VERSION_TABLE)}
        order: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter(dict.fromkeys(shapes, ()))
        for row in await self._connection.fetch(REFERENCES):
            order.add(row["name"], row["needs"])
        return [TableShape(name, shapes[name]) for name in order.static_order()]

    async def sequences(self) -> Mapping[str, int]:
        return {row["name"]: row["last_value"] for row in await self._connection.fetch(SEQUENCES)}

    async def copy_out(self, table: TableShape, take: Callable[[bytes], Awaitable[None]]) -> int:
        """Hand all rows to `take`, piece by piece; how many there are."""
        done = await self._connection.copy_from_table(
            table.name, columns=list(table.columns), output=take, format="binary"
        )
        return _count(done)

    async def copy_in(self, table: TableShape, pieces: AsyncIterable[bytes]) -> int:
        """Add the rows, without what triggers would do about them; how many there were."""
        name = _quoted(table.name)
        await self._connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
        done = await self._connection.copy_to_table(
            table.name, columns=list(table.columns), source=pieces, format="binary"
        )
        await self._connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
        return _count(done)

    async def set_sequence(self, name: str, last_value: int) -> None:
        await self._connection.execute("SELECT setval($1::regclass, $2)", _quoted(name), last_value)

    async def analyze(self) -> None:
        """So that the first questions are planned with what is there now."""
        await self._connection.execute("ANALYZE")

    def named_blobs(self, tables: Iterable[TableShape]) -> Any:
        """Names of stored files, each once, as an asynchronous iterator within a transaction."""
        there = {(table.name, column) for table in tables for column in table.columns}
        naming = [(column.class_.__tablename__, column.key) for column in NAMING]
        parts = [
            f"SELECT {_quoted(column)} AS sha256 FROM {_quoted(table)} WHERE {_quoted(column)} IS NOT NULL"  # noqa: S608
            for table, column in naming
            if (table, column) in there
        ]
        return self._connection.cursor(" UNION ".join(parts), prefetch=500)

    async def count_other_processes(self) -> int:
        """Connections of servers and workers to this database."""
        return int(await self._connection.fetchval(OTHERS))

    async def list_filled(self) -> Sequence[str]:
        """Tables that are not empty."""
        names = [table.name for table in await self.list_tables()]
        return [name for name in names if await self._has_rows(name)]

    async def drop_everything(self) -> None:
        """Tables and functions, extensions apart."""
        names = [_quoted(table.name) for table in await self.list_tables()]
        async with self.transaction():
            for name in (*names, VERSION_TABLE):
                await self._connection.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
            for row in await self._connection.fetch(FUNCTIONS):
                await self._connection.execute(f"DROP FUNCTION {row['name']} CASCADE")

    async def _has_rows(self, name: str) -> bool:
        return bool(await self._connection.fetchval(f"SELECT EXISTS (SELECT FROM {_quoted(name)})"))  # noqa: S608


def _count(status: str) -> int:
    """Of `COPY 12`."""
    return int(status.rpartition(" ")[2])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
