"""tasks: presets, finished steps, failures, caps over all workers, waiting for a time or for other tasks, schedules"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0015"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

QUEUE = ["project_id", sa.literal_column("priority DESC"), "id"]
IS_UNFINISHED = "status IN ('queued', 'running')"


def upgrade() -> None:
    _make_schedules()
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("after_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_dependencies_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["after_id"], ["tasks.id"], name=op.f("fk_task_dependencies_after_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "after_id", name=op.f("pk_task_dependencies")),
    )
    op.create_index(op.f("ix_task_dependencies_after_id"), "task_dependencies", ["after_id"])
    for name, default in (("preset", "'{}'"), ("failures", "'[]'"), ("steps", "'{}'")):
        op.add_column("tasks", sa.Column(name, postgresql.JSONB(), server_default=sa.text(default), nullable=False))
    op.add_column("tasks", sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.execute("UPDATE tasks SET fence = attempts WHERE attempts > 0")
    op.add_column("tasks", sa.Column("place", sa.SmallInteger()))
    op.add_column("tasks", sa.Column("schedule_id", sa.Uuid()))
    op.add_column("tasks", sa.Column("waits_for", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    for name in ("is_awaited", "is_held"):
        op.add_column("tasks", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_foreign_key(
        op.f("fk_tasks_schedule_id_task_schedules"),
        "tasks",
        "task_schedules",
        ["schedule_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.drop_index("ix_tasks_queue", table_name="tasks")
    _index("ix_tasks_queue", QUEUE, where=f"{IS_UNFINISHED} AND NOT is_held")
    _index("ix_tasks_held", ["run_after"], where="is_held AND waits_for = 0")
    _index("ix_tasks_schedule_id", ["schedule_id"], where="schedule_id IS NOT NULL")
    _index("uq_tasks_place_running", ["task_type", "place"], where="status = 'running'", unique=True)


def downgrade() -> None:
    for name in ("uq_tasks_place_running", "ix_tasks_schedule_id", "ix_tasks_held", "ix_tasks_queue"):
        op.drop_index(name, table_name="tasks")
    _index("ix_tasks_queue", QUEUE, where=IS_UNFINISHED)
    for name in ("is_held", "is_awaited", "waits_for", "schedule_id", "place", "fence", "steps", "failures", "preset"):
        op.drop_column("tasks", name)
    op.drop_table("task_dependencies")
    op.drop_table("task_schedules")


def _make_schedules() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "task_schedules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("task_type", sa.String(100), nullable=False),
        sa.Column("quality", sa.String(20), nullable=False),
        sa.Column("params", postgresql.JSONB(), nullable=False),
        sa.Column("preset", postgresql.JSONB(), nullable=False),
        sa.Column("cron", sa.String(100), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True)),
        sa.Column("last_run_at", sa.DateTime(timezone=True)),
        sa.Column("pause_reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_task_schedules_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_task_schedules_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_schedules")),
    )
    op.create_index(op.f("ix_task_schedules_project_id_id"), "task_schedules", ["project_id", "id"])
    op.create_index(op.f("ix_task_schedules_owner_id"), "task_schedules", ["owner_id"])
    op.create_index(
        op.f("ix_task_schedules_next_run_at"),
        "task_schedules",
        ["next_run_at"],
        postgresql_where=sa.text("next_run_at IS NOT NULL"),
    )


def _index(name: str, columns: Sequence[str | sa.ColumnElement[object]], *, where: str, unique: bool = False) -> None:
    op.create_index(name, "tasks", columns, unique=unique, postgresql_where=sa.text(where))
