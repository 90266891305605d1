"""The migrations make exactly the tables that the models describe, and can be taken back."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import inspect, text
from uuid_utils.compat import uuid7

from alembic import command
from app.migrations import current_revision, expected_revision, migrate, run_alembic
from app.repositories.engine import create_engine
from app.repositories.schema import VERSIONS, known_revisions
from app.settings import DatabaseSettings, Settings
from app.start_check import find_problem
from tests.conftest import cloned_database
from tests.migration_lint import FIRST, complaints


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


HEAVY = {
    'op.create_index("ix_a", "tasks", ["id"])': "create_index keeps everybody from writing",
    'op.add_column("tasks", sa.Column("a", sa.Text(), nullable=False))': "add_column fails",
    'op.create_foreign_key("fk_a", "tasks", "users", ["a"], ["id"])': "create_foreign_key reads the whole table",
    'op.alter_column("tasks", "a", type_=sa.Text())': "alter_column may lock",
    'op.execute("UPDATE tasks SET a = 1")': "execute may lock",
    'op.drop_column("tasks", "a")': "declare oldest_code",
}
HARMLESS = (
    'op.create_index("ix_a", "tasks", ["id"], postgresql_concurrently=True)',
    'op.add_column("tasks", sa.Column("a", sa.Text()))',
    'op.add_column("tasks", sa.Column("a", sa.Text(), server_default="", nullable=False))',
    'op.create_table("a", sa.Column("id"))\n    op.create_index("ix_a", "a", ["id"])',
    "op.execute(\"COMMENT ON TABLE tasks IS 'a'\")  # lock: nobody waits for that one",
)


@pytest.mark.parametrize("line", [*HEAVY, *HARMLESS])
def test_a_heavy_lock_in_a_migration_is_noticed(line: str):
    found = complaints(f"def upgrade():\n    {line}\n\n\ndef downgrade():\n    op.drop_table('a')\n")
    if line in HEAVY:
        assert any(HEAVY[line] in complaint.message for complaint in found)
    else:
        assert found == []


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_a_migration_takes_no_heavy_lock_in_silence(path: Path):
    if path.stem >= FIRST:
        assert complaints(path.read_text()) == []


def test_the_revisions_are_those_of_the_file_names_in_one_line():
    scripts = ScriptDirectory(str(VERSIONS.parent))
    assert [script.revision for script in scripts.walk_revisions()] == list(known_revisions())


async def problem_of(settings: Settings) -> str | None:
    return await find_problem(settings, lambda message: pytest.fail(message))


async def test_code_gets_along_with_the_schemas_that_it_can(settings: Settings):
    async with cloned_database(settings, template="template1") as database:
        assert "no tables yet" in (await problem_of(database) or "")
        await migrate(database, known_revisions()[1])
        assert f"this version needs {expected_revision()}: run `hearth migrate`" in (await problem_of(database) or "")
        await migrate(database)
        assert await problem_of(database) is None

        await execute(database, "UPDATE alembic_version SET version_num = '9999'")
        assert await problem_of(database) is None, "somebody has begun to upgrade"
        await execute(database, "COMMENT ON TABLE alembic_version IS '9998'")
        assert "too new for this version" in (await problem_of(database) or "")


async def test_a_database_that_is_away_is_no_reason_not_to_start(settings: Settings):
    nowhere = DatabaseSettings(url=SecretStr("postgresql+asyncpg://app:secret@127.0.0.1:1/hearth"))
    warnings: list[str] = []
    assert await find_problem(settings.model_copy(update={"database": nowhere}), warnings.append) is None
    assert "does not answer yet" in warnings[0]


async def execute(settings: Settings, statement: str) -> None:
    engine = create_engine(settings.database)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_migration_lets_those_go_first_who_use_the_table_and_another_migration_waits(settings: Settings):
    async with cloned_database(settings, template="template1") as cloned:
        patience = {"lock_timeout": timedelta(milliseconds=100)}
        database = cloned.model_copy(update={"database": cloned.database.model_copy(update=patience)})
        await migrate(database, "0016")
        engine = create_engine(database.database)
        async with engine.connect() as reader:
            await reader.execute(text("LOCK TABLE tasks IN ROW EXCLUSIVE MODE"))
            migrating = [asyncio.create_task(migrate(database, "0017")) for _ in range(2)]
            await asyncio.sleep(1.0)
            assert not any(task.done() for task in migrating)
            async with asyncio.timeout(2), engine.connect() as another:  # nobody queues behind the migration for long
                await another.execute(text("SELECT count(*) FROM tasks"))
            await reader.rollback()
        await engine.dispose()
        await asyncio.gather(*migrating)
        assert (await tables_and_revision(database))[1] == "0017"


OLD_MEMORIES = """
INSERT INTO users (id, name, role, is_active) VALUES (:owner, 'Ada', 'user', true);
INSERT INTO people (id, owner_id, name) VALUES (:person, :owner, 'Anna');
INSERT INTO memories (id, owner_id, title, content, occurred_at, precision, begins, ends, source, revision, deleted_at)
VALUES (:kept, :owner, '', '', now(), 'day', '2022-07-03', '2022-07-04', '{}', 1, NULL),
       (:binned, :owner, '', '', now(), 'day', '2022-07-03', '2022-07-04', '{}', 1, now());
INSERT INTO memory_people (memory_id, person_id) VALUES (:kept, :person), (:binned, :person);
"""


async def test_people_of_earlier_memories_learn_when_they_were(settings: Settings):
    async with cloned_database(settings, template="template1") as old:
        await migrate(old, "0018")
        ids = {name: str(uuid7()) for name in ("owner", "person", "kept", "binned")}
        filled = OLD_MEMORIES
        for name, one in ids.items():
            filled = filled.replace(f":{name}", f"'{one}'")
        for statement in filled.strip().removesuffix(";").split(";\n"):
            await execute(old, statement)
        await migrate(old)
        engine = create_engine(old.database)
        async with engine.connect() as connection:
            rows = await connection.execute(text("SELECT memory_id, shelf_id, begins FROM memory_people"))
            found = {str(memory): (shelf and str(shelf), str(begins)) for memory, shelf, begins in rows}
        await engine.dispose()
        july = "2022-07-03 00:00:00"
        assert found == {ids["kept"]: (ids["owner"], july), ids["binned"]: (None, july)}
