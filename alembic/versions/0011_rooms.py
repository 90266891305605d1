"""messages that are changed, answered and read; people who are muted or shown out; what the spirit remembers"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NO = sa.text("false")
NOW = sa.text("clock_timestamp()")
OF_MESSAGES = (
    ("reply_to", sa.Uuid()),
    ("edited_at", sa.DateTime(timezone=True)),
    ("deleted_at", sa.DateTime(timezone=True)),
    ("last_edit_seq", sa.BigInteger()),
)


def upgrade() -> None:
    for name, kind in OF_MESSAGES:
        op.add_column("messages", sa.Column(name, kind, nullable=True))
    op.add_column("messages", sa.Column("is_partial", sa.Boolean(), server_default=NO, nullable=False))
    op.add_column("sessions", sa.Column("shares_documents", sa.Boolean(), server_default=NO, nullable=False))
    emoji, seq = sa.Column("emoji", sa.String(length=32)), sa.Column("last_read_seq", sa.BigInteger(), nullable=False)
    kind = sa.Column("kind", sa.String(length=20), nullable=False)
    _create_of_somebody("reactions", "messages", "message_id", emoji, _made(), key=["message_id", "user_id", "emoji"])
    _create_of_somebody("read_markers", "sessions", "session_id", seq, key=["session_id", "user_id"])
    _create_of_somebody("restrictions", "sessions", "session_id", kind, _made(), key=["session_id", "user_id"])
    op.create_index(op.f("ix_reactions_user_id"), "reactions", ["user_id"], unique=False)
    op.create_index(op.f("ix_read_markers_user_id"), "read_markers", ["user_id"], unique=False)
    op.create_index(op.f("ix_restrictions_user_id_session_id"), "restrictions", ["user_id", "session_id"])
    op.create_table(
        "room_summaries",
        _reference("room_summaries", "sessions", "session_id"),
        sa.Column("upto_seq", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        _made(),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_room_summaries")),
    )


def downgrade() -> None:
    for table in ("room_summaries", "restrictions", "read_markers", "reactions"):
        op.drop_table(table)
    op.drop_column("sessions", "shares_documents")
    op.drop_column("messages", "is_partial")
    for name, _ in OF_MESSAGES:
        op.drop_column("messages", name)


def _create_of_somebody(
    table: str,
    parent: str,
    column: str,
    *others: sa.Column,  # type: ignore[type-arg]  # of any type
    key: Sequence[str],
) -> None:
    op.create_table(
        table,
        _reference(table, parent, column),
        _reference(table, "users", "user_id"),
        *others,
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )


def _reference(table: str, parent: str, column: str) -> sa.Column:  # type: ignore[type-arg]  # of any type
    key = sa.ForeignKey(f"{parent}.id", name=op.f(f"fk_{table}_{column}_{parent}"), ondelete="CASCADE")
    return sa.Column(column, sa.Uuid(), key, nullable=False)


def _made() -> sa.Column:  # type: ignore[type-arg]  # of any type
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False)
