"""when and where people were, beside who was there"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Whoever is added to a memory waits for those who change it, and these for them: neither misses what the other does.
FILL = """
CREATE FUNCTION place_memory_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN deleted_at IS NULL THEN shelf_id END, begins, location_id
    INTO NEW.shelf_id, NEW.begins, NEW.location_id
    FROM memories WHERE id = NEW.memory_id FOR NO KEY UPDATE;
    RETURN NEW;
END $$
"""
FOLLOW = """
CREATE FUNCTION move_memory_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE memory_people
    SET shelf_id = CASE WHEN NEW.deleted_at IS NULL THEN NEW.shelf_id END,
        begins = NEW.begins, location_id = NEW.location_id
    WHERE memory_id = NEW.id;
    RETURN NULL;
END $$
"""
FILLED = """
CREATE TRIGGER placed BEFORE INSERT ON memory_people FOR EACH ROW EXECUTE FUNCTION place_memory_person()
"""
FOLLOWED = """
CREATE TRIGGER moved AFTER UPDATE ON memories FOR EACH ROW
WHEN ((OLD.shelf_id, OLD.begins, OLD.location_id, OLD.deleted_at)
    IS DISTINCT FROM (NEW.shelf_id, NEW.begins, NEW.location_id, NEW.deleted_at))
EXECUTE FUNCTION move_memory_people()
"""


def upgrade() -> None:
    op.add_column("memory_people", sa.Column("shelf_id", sa.Uuid(), nullable=True))
    op.add_column("memory_people", sa.Column("begins", sa.DateTime(), nullable=True))
    op.add_column("memory_people", sa.Column("location_id", sa.Uuid(), nullable=True))
    op.execute(FILL)  # lock: none, a new function
    op.execute(FOLLOW)  # lock: none, a new function
    op.execute(FILLED)  # lock: reads nothing, so for a moment alone
    op.execute(FOLLOWED)  # lock: reads nothing, so for a moment alone


def downgrade() -> None:
    op.execute("DROP TRIGGER moved ON memories")
    op.execute("DROP TRIGGER placed ON memory_people")
    op.execute("DROP FUNCTION move_memory_people()")
    op.execute("DROP FUNCTION place_memory_person()")
    op.drop_column("memory_people", "location_id")
    op.drop_column("memory_people", "begins")
    op.drop_column("memory_people", "shelf_id")
