"""Runs the migrations on the connection that `app.migrations` hands over."""

from alembic import context
from app.migrations import note_oldest_code
from app.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    transaction_per_migration=True,
    on_version_apply=note_oldest_code,
)
with context.begin_transaction():
    context.run_migrations()
