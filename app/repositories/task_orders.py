"""Tasks that many people start at the same time, stored by one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, SmallInteger, String, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Task

STORE: Final = text(
    """
    INSERT INTO tasks (
        id, project_id, owner_id, task_type, quality, params, preset, priority, steps, status, progress, message,
        attempts
    )
    SELECT
        wanted.id, wanted.project_id, wanted.owner_id, wanted.task_type,
        coalesce(wanted.quality, users.settings ->> 'default_quality', 'standard'),
        wanted.params, wanted.preset, wanted.priority, wanted.steps, 'queued', 0, '', 0
    FROM unnest(
        :ids, :project_ids, :owner_ids, :roles, :task_types, :qualities, :params, :presets, :priorities, :steps
    ) AS wanted (id, project_id, owner_id, roles, task_type, quality, params, preset, priority, steps)
    JOIN users ON users.id = wanted.owner_id
    JOIN members ON members.project_id = wanted.project_id AND members.user_id = wanted.owner_id
        AND members.role = ANY (string_to_array(wanted.roles, ','))
    JOIN projects ON projects.id = wanted.project_id AND projects.archived_at IS NULL
    ORDER BY wanted.id
    RETURNING tasks.*
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("project_ids", type_=ARRAY(Uuid())),
    bindparam("owner_ids", type_=ARRAY(Uuid())),
    bindparam("roles", type_=ARRAY(String())),
    bindparam("task_types", type_=ARRAY(String())),
    bindparam("qualities", type_=ARRAY(String())),
    bindparam("params", type_=ARRAY(JSONB())),
    bindparam("presets", type_=ARRAY(JSONB())),
    bindparam("priorities", type_=ARRAY(SmallInteger())),
    bindparam("steps", type_=ARRAY(JSONB())),
)


@dataclass(frozen=True, slots=True)
class PlainOrder:
    """A task that waits for nothing; `quality` may be left out, and is then its owner's own.

    `roles`: those in the project with which it may be started.
    """

    id: UUID
    project_id: UUID
    owner_id: UUID
    roles: Collection[str]
    task_type: str
    quality: str | None
    params: dict[str, object]
    preset: dict[str, object]
    priority: int
    steps: dict[str, object]


class TaskOrderRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def store(self, orders: Sequence[PlainOrder]) -> Sequence[Task]:
        """The tasks of those orders whose owners may give them; the others are left as they are."""
        columns = {
            "ids": [order.id for order in orders],
            "project_ids": [order.project_id for order in orders],
            "owner_ids": [order.owner_id for order in orders],
            "roles": [",".join(order.roles) for order in orders],
            "task_types": [order.task_type for order in orders],
            "qualities": [order.quality for order in orders],
            "params": [order.params for order in orders],
            "presets": [order.preset for order in orders],
            "priorities": [order.priority for order in orders],
            "steps": [order.steps for order in orders],
        }
        stored = select(Task).from_statement(STORE)
        return (await self._session.scalars(stored, columns, execution_options={"populate_existing": True})).all()
