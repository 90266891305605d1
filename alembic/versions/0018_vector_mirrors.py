"""what a mirror of the passages' vectors does not know yet"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

# Whatever adds, changes or removes passages is noted in the same transaction, deletions that cascade too; as long as
# nothing mirrors them, looking into an empty table is all that it costs.
NOTE_CHANGES = """
CREATE FUNCTION note_vector_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM vector_mirrors) THEN
        INSERT INTO vector_changes (document_id)
        SELECT DISTINCT document_id FROM changed ORDER BY document_id
        ON CONFLICT (document_id) DO UPDATE SET version = excluded.version;
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON chunks REFERENCING {rows} TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION note_vector_changes()
"""
EVENTS = {"chunks_added": ("INSERT", "NEW"), "chunks_changed": ("UPDATE", "NEW"), "chunks_removed": ("DELETE", "OLD")}


def upgrade() -> None:
    op.create_table(
        "vector_mirrors",
        sa.Column("collection_id", sa.String(length=100), nullable=False),
        sa.Column("embedding_model", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", name=op.f("pk_vector_mirrors")),
    )
    op.create_table(
        "vector_changes",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_vector_changes")),
    )
    op.create_index(op.f("ix_vector_changes_version"), "vector_changes", ["version"], unique=False)
    op.execute(NOTE_CHANGES)  # lock: none, a new function
    for name, (event, rows) in EVENTS.items():
        op.execute(TRIGGER.format(name=name, event=event, rows=rows))  # lock: reads nothing, so for a moment alone


def downgrade() -> None:
    for name in EVENTS:
        op.execute(f"DROP TRIGGER {name} ON chunks")
    op.execute("DROP FUNCTION note_vector_changes()")
    op.drop_table("vector_changes")
    op.drop_table("vector_mirrors")
