"""when and where people were, also for those who were there before, and an index of it"""

from collections.abc import Sequence

from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INDEX = "ix_memory_people_shelf_id_begins"
# What a trigger has filled in meanwhile is newer than what this statement saw.
BACKFILL = """
UPDATE memory_people AS person
SET shelf_id = CASE WHEN memory.deleted_at IS NULL THEN memory.shelf_id END,
    begins = memory.begins, location_id = memory.location_id
FROM memories AS memory WHERE memory.id = person.memory_id AND person.begins IS NULL
"""


def upgrade() -> None:
    op.execute(BACKFILL)  # lock: of the rows that it fills, which nobody changes but with their memory
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, "memory_people", if_exists=True, postgresql_concurrently=True)  # half of one, broken off
        op.create_index(
            INDEX,
            "memory_people",
            ["shelf_id", "begins"],
            unique=False,
            postgresql_include=["person_id", "location_id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="memory_people")
