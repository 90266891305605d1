"""limits of keys and roles"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_table(
        "role_limits",
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("budget", sa.String(length=20), nullable=False),
        sa.Column("rate", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("role", "budget", name=op.f("pk_role_limits")),
    )


def downgrade() -> None:
    op.drop_table("role_limits")
    op.drop_column("api_keys", "limits")
