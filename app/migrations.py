"""Brings the database to the schema that this code expects."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from alembic import command
from app.repositories.engine import create_engine
from app.settings import DatabaseSettings, Settings

ROOT = Path(__file__).parent.parent
LONGEST_MIGRATION = timedelta(hours=6)
MIGRATION_LOCK = 0x48454152  # any number, the same in every process: one migrates, the others wait


async def run_alembic(settings: DatabaseSettings, action: Callable[[Config], None]) -> None:
    """Run an Alembic command on one connection, alone."""

    def on_connection(connection: Connection) -> None:
        config = Config(str(ROOT / "alembic.ini"))
        config.attributes["connection"] = connection
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
        try:
            connection.commit()
            action(config)
            connection.commit()
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()

    engine = create_engine(settings.model_copy(update={"statement_timeout": LONGEST_MIGRATION}))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(on_connection)
    finally:
        await engine.dispose()


async def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrade to `revision`; does nothing when the database is there already."""
    await run_alembic(settings.database, lambda config: command.upgrade(config, revision))


def expected_revision() -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory(str(ROOT / "alembic")).get_current_head()


def known_revisions() -> Sequence[str]:
    """All that this code can migrate from, the newest first."""
    return [script.revision for script in ScriptDirectory(str(ROOT / "alembic")).walk_revisions()]


def current_revision(connection: Connection) -> str | None:
    """The revision of the database behind `connection`."""
    return MigrationContext.configure(connection).get_current_revision()
