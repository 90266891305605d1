"""files of memories that are brought in; what waits for the index in bulk lets single memories pass"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NOW = sa.text("clock_timestamp()")
NOTHING = sa.text("0")


def upgrade() -> None:
    op.create_table(
        "memory_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("filename", sa.String(length=255), nullable=True),
        sa.Column("format", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("progress", sa.Float(), server_default=NOTHING, nullable=False),
        *(
            sa.Column(name, sa.Integer(), server_default=NOTHING, nullable=False)
            for name in ("records", "created", "updated", "unchanged", "failed")
        ),
        sa.Column("problems", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _reference("memory_imports", "owner_id", "users", "CASCADE"),
        _reference("memory_imports", "task_id", "tasks", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_imports")),
    )
    op.create_index(op.f("ix_memory_imports_owner_id_id"), "memory_imports", ["owner_id", "id"])
    op.create_index(op.f("ix_memory_imports_task_id"), "memory_imports", ["task_id"])
    is_needed = sa.text("sha256 IS NOT NULL")
    op.create_index(op.f("ix_memory_imports_sha256"), "memory_imports", ["sha256"], postgresql_where=is_needed)
    op.create_table(
        "memory_origins",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        _reference("memory_origins", "owner_id", "users", "CASCADE"),
        _reference("memory_origins", "memory_id", "memories", "CASCADE"),
        sa.PrimaryKeyConstraint("owner_id", "key", name=op.f("pk_memory_origins")),
    )
    op.create_index(op.f("ix_memory_origins_memory_id"), "memory_origins", ["memory_id"])
    op.add_column("memory_indexings", sa.Column("priority", sa.SmallInteger(), server_default=NOTHING, nullable=False))
    op.drop_index(op.f("ix_memory_indexings_run_after"), "memory_indexings")
    op.create_index(op.f("ix_memory_indexings_priority_run_after"), "memory_indexings", ["priority", "run_after"])


def downgrade() -> None:
    op.drop_index(op.f("ix_memory_indexings_priority_run_after"), "memory_indexings")
    op.create_index(op.f("ix_memory_indexings_run_after"), "memory_indexings", ["run_after"])
    op.drop_column("memory_indexings", "priority")
    op.drop_table("memory_origins")
    op.drop_table("memory_imports")


def _reference(table: str, column: str, target: str, on_delete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=on_delete)
