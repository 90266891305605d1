"""Brings the database to the schema that this code expects.

One migrates, the others wait. A migration that does not get a lock at once lets those go on who use the table, and
tries again: a statement that waits for a lock makes everybody wait who comes after it.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from alembic import command
from app.repositories.engine import create_engine
from app.repositories.schema import known_revisions
from app.settings import DatabaseSettings, Settings

ROOT = Path(__file__).parent.parent
LONGEST_MIGRATION: Final = timedelta(hours=6)
MIGRATION_LOCK: Final = 0x48454152  # any number, the same in every process
LOCK_PAUSE: Final = 0.5  # seconds; waiting in PostgreSQL would keep indexes from being built concurrently
LOCK_TRIES: Final = 20
LONGEST_PAUSE: Final = 10.0  # seconds between two tries
LOCK_NOT_AVAILABLE: Final = "55P03"
BASELINE: Final = "0017"  # the last schema that was reached without regard to servers that are running

log = structlog.get_logger(__name__)


async def run_alembic(settings: DatabaseSettings, action: Callable[[Config], None]) -> None:
    """Run an Alembic command on one connection, alone."""

    def on_connection(connection: Connection) -> None:
        config = Config(str(ROOT / "alembic.ini"))
        config.attributes["connection"] = connection
        _take_turn(connection)
        try:
            connection.execute(text(f"SET lock_timeout = {settings.lock_timeout // timedelta(milliseconds=1)}"))
            connection.execute(text(f"SET statement_timeout = {LONGEST_MIGRATION // timedelta(milliseconds=1)}"))
            connection.commit()
            _persist(lambda: action(config), connection)
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()

    engine = create_engine(settings.model_copy(update={"statement_timeout": LONGEST_MIGRATION}))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(on_connection)
    finally:
        await engine.dispose()


def _take_turn(connection: Connection) -> None:
    is_told = False
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK}):
        connection.commit()
        if not is_told:
            log.info("migration.waits_for_another")
            is_told = True
        await_only(asyncio.sleep(LOCK_PAUSE))
    connection.commit()


def _persist(action: Callable[[], None], connection: Connection) -> None:
    """Each migration is a transaction of its own, so another try goes on with the one that did not get its lock."""
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            action()
            connection.commit()
        except DBAPIError as error:
            connection.rollback()
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE or attempt == LOCK_TRIES:
                raise
            pause = min(LONGEST_PAUSE, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - out of step
            log.warning("migration.lock_not_available", attempt=attempt, again_in=round(pause, 1))
            await_only(asyncio.sleep(pause))
        else:
            return


def note_oldest_code(*, ctx: MigrationContext, step: Any, **_: Any) -> None:
    """After each migration: from which schema on code may use this database (`app/repositories/schema.py`)."""
    if not step.is_upgrade or ctx.connection is None:
        return
    assert ctx.script is not None
    oldest = getattr(ctx.script.get_revision(step.up_revision_id).module, "oldest_code", None)
    if oldest is None and step.up_revision_id <= BASELINE:
        oldest = step.up_revision_id
    if oldest is None:
        comment = text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")
        oldest = ctx.connection.scalar(comment) or BASELINE
    if oldest not in known_revisions():
        raise ValueError(f"{step.up_revision_id}: there is no schema {oldest}")
    ctx.connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{oldest}'"))


async def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade to `revision`; does nothing when the database is there already."""
    await run_alembic(settings.database, lambda config: command.upgrade(config, revision))


def expected_revision() -> str:
    """The newest revision that this code knows."""
    return known_revisions()[0]


def current_revision(connection: Connection) -> str | None:
    """The revision of the database behind `connection`."""
    return MigrationContext.configure(connection).get_current_revision()
