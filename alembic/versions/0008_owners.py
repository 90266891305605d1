"""what somebody owns or said, found without reading whole tables"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

OWNED = ("projects", "documents", "sessions", "tasks")


def upgrade() -> None:
    for table in OWNED:
        op.create_index(op.f(f"ix_{table}_owner_id"), table, ["owner_id"], unique=False)
    op.create_index(
        op.f("ix_messages_user_id_id"),
        "messages",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_messages_user_id_id"), table_name="messages")
    for table in reversed(OWNED):
        op.drop_index(op.f(f"ix_{table}_owner_id"), table_name=table)
