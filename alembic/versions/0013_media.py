"""files of memories, and what is made of pictures"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "memory_media",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("media_type", sa.String(length=127), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=True),
        sa.Column("orientation", sa.Integer(), nullable=True),
        sa.Column("taken_at", sa.String(length=40), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("keeps_metadata", sa.Boolean(), nullable=False),
        sa.Column("blanks", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "(latitude IS NULL) = (longitude IS NULL)", name=op.f("ck_memory_media_has_both_coordinates")
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_media_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["added_by"], ["users.id"], name=op.f("fk_memory_media_added_by_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_media")),
        sa.UniqueConstraint("memory_id", "sha256", name=op.f("uq_memory_media_memory_id_sha256")),
    )
    op.create_index(op.f("ix_memory_media_memory_id_id"), "memory_media", ["memory_id", "id"])
    op.create_index(op.f("ix_memory_media_sha256"), "memory_media", ["sha256"])
    op.create_index(
        op.f("ix_memory_media_added_by"),
        "memory_media",
        ["added_by"],
        postgresql_where=sa.text("added_by IS NOT NULL"),
    )
    op.create_table(
        "media_renditions",
        sa.Column("media_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("media_type", sa.String(length=127), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["media_id"],
            ["memory_media.id"],
            name=op.f("fk_media_renditions_media_id_memory_media"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("media_id", "name", name=op.f("pk_media_renditions")),
    )
    op.create_index(op.f("ix_media_renditions_sha256"), "media_renditions", ["sha256"])


def downgrade() -> None:
    op.drop_table("media_renditions")
    op.drop_table("memory_media")
