"""The migrations make exactly the tables that the models describe, and can be taken back."""

from sqlalchemy import inspect

from alembic import command
from app.migrations import current_revision, expected_revision, migrate, run_alembic
from app.repositories.engine import create_engine
from app.settings import Settings
from tests.conftest import cloned_database


async def tables_and_revision(settings: Settings) -> tuple[set[str], str | None]:
    engine = create_engine(settings.database)
    try:
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            return set(names), await connection.run_sync(current_revision)
    finally:
        await engine.dispose()


async def test_the_schema_goes_up_and_down_and_up_again_and_matches_the_models(settings: Settings):
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        await run_alembic(empty.database, command.check)

        await run_alembic(empty.database, lambda config: command.downgrade(config, "base"))
        names, revision = await tables_and_revision(empty)
        assert (names, revision) == ({"alembic_version"}, None)

        await migrate(empty)
        await migrate(empty)  # twice changes nothing
        names, revision = await tables_and_revision(empty)
        assert {"users", "documents", "chunks", "events"} <= names
        assert revision == expected_revision()
