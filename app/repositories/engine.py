"""The connection pool, and the two kinds of sessions on it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg  # type: ignore[import-untyped]  # it comes without types
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from app.settings import DatabaseSettings

WARM: Final = 4  # connections that a server opens before it is asked for anything
DEADLOCK: Final = "40P01"
ARRAYS: Final = text(
    "SELECT CAST(NULL AS uuid[]), CAST(NULL AS bigint[]), CAST(NULL AS text[]), CAST(NULL AS varchar[])"
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """What opens sessions: one transaction each, or, of those that only read, none."""

    changing: async_sessionmaker[AsyncSession]
    reading: async_sessionmaker[AsyncSession]

    @classmethod
    def over(cls, engine: AsyncEngine) -> Self:
        reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        return cls(
            async_sessionmaker(engine, expire_on_commit=False),
            async_sessionmaker(reading, expire_on_commit=False, autoflush=False),
        )


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    return create_async_engine(
        settings.url.get_secret_value(),
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout.total_seconds(),
        echo=settings.echo,
        hide_parameters=True,  # what people wrote, and their passwords' hashes, would stand in the log
        connect_args={
            "async_creator_fn": _connect,
            "timeout": settings.connect_timeout.total_seconds(),
            "command_timeout": settings.statement_timeout.total_seconds(),
            "server_settings": {"application_name": "hearth"},
        },
    )


async def warm_up(engine: AsyncEngine) -> None:
    """Open some connections, on each of which the driver asks once what arrays are. Outages are for others to tell."""
    count = min(WARM, engine.pool.size()) if isinstance(engine.pool, QueuePool) else 1
    everyone_is_there = asyncio.Barrier(count)

    async def connect() -> None:
        async with engine.connect() as connection:
            await connection.execute(ARRAYS)
            await everyone_is_there.wait()  # else one connection would do for all

    try:
        async with asyncio.TaskGroup() as connecting:
            for _ in range(count):
                connecting.create_task(connect())
    except* (SQLAlchemyError, OSError):
        pass


def is_deadlock(error: DBAPIError) -> bool:
    """Two transactions waited for each other, and PostgreSQL ended this one: nothing of it was done."""
    return getattr(error.orig, "sqlstate", None) == DEADLOCK


async def _connect(*args: Any, **options: Any) -> Any:
    """Connect; asyncpg lets errors of the system through, and a file that is missing elsewhere is no outage.

    Raises:
        ConnectionError: PostgreSQL cannot be reached: its socket, its name or its network is away, ….
    """
    try:
        return await asyncpg.connect(*args, **options)
    except OSError as error:
        raise ConnectionError(f"PostgreSQL cannot be reached: {error!r}") from error
