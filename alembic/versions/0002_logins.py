"""log-ins as rows of their own, which tokens and cookies belong to"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "logins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("user_agent", sa.String(length=300), server_default="", nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column(
            "last_used_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_logins_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
    )
    op.create_index(op.f("ix_logins_user_id"), "logins", ["user_id"], unique=False)
    op.create_index(op.f("ix_logins_expires_at"), "logins", ["expires_at"], unique=False)
    op.execute(
        """
        INSERT INTO logins (id, user_id, kind, created_at, last_used_at, expires_at, revoked_at)
        SELECT family_id, (array_agg(user_id))[1], 'token', min(created_at), max(created_at), max(expires_at),
               CASE WHEN bool_or(revoked_at IS NOT NULL) THEN max(revoked_at) END
        FROM refresh_tokens GROUP BY family_id
        """
    )
    op.drop_index(op.f("ix_refresh_tokens_family_id"), "refresh_tokens")
    op.drop_index(op.f("ix_refresh_tokens_user_id"), "refresh_tokens")
    op.drop_constraint(op.f("fk_refresh_tokens_user_id_users"), "refresh_tokens")
    op.drop_column("refresh_tokens", "user_id")
    op.drop_column("refresh_tokens", "revoked_at")
    op.alter_column("refresh_tokens", "family_id", new_column_name="login_id")
    op.create_foreign_key(
        op.f("fk_refresh_tokens_login_id_logins"),
        "refresh_tokens",
        "logins",
        ["login_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(op.f("ix_refresh_tokens_login_id"), "refresh_tokens", ["login_id"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens")
    op.drop_index(op.f("ix_refresh_tokens_login_id"), "refresh_tokens")
    op.drop_constraint(op.f("fk_refresh_tokens_login_id_logins"), "refresh_tokens")
    op.alter_column("refresh_tokens", "login_id", new_column_name="family_id")
    op.add_column("refresh_tokens", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("refresh_tokens", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        """
        UPDATE refresh_tokens SET user_id = logins.user_id, revoked_at = logins.revoked_at
        FROM logins WHERE logins.id = family_id
        """
    )
    op.alter_column("refresh_tokens", "user_id", nullable=False)
    op.create_foreign_key(
        op.f("fk_refresh_tokens_user_id_users"), "refresh_tokens", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(op.f("ix_refresh_tokens_user_id"), "refresh_tokens", ["user_id"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_family_id"), "refresh_tokens", ["family_id"], unique=False)
    op.drop_table("logins")
