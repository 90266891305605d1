"""Long-running work over HTTP."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response, status

from app.api.conditional import ConditionalDep
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import Task, TaskStatus
from app.schemas.common import Page
from app.schemas.tasks import TaskCreate, TaskRead, TaskTypeRead

router = Router(tags=["tasks"])


@router.get("/tasks")
async def list_tasks(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID | None = None,
    status: TaskStatus | None = None,
    task_type: Annotated[str | None, Query(max_length=100, pattern=r"^\w*$")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[TaskRead]:
    """The tasks of your projects, the newest first."""
    rows = await services.tasks.list(
        actor, project_id=project_id, status=status, task_type=task_type, before=cursor, limit=limit + 1
    )
    return Page[TaskRead].of(rows, limit)


@router.get("/tasks/{task_id}", response_model=TaskRead)
async def get_task(actor: Actor, services: ServicesDep, conditional: ConditionalDep, task_id: UUID) -> Task:
    """How far it is, and what came of it."""
    return conditional.tag(await services.tasks.get(actor, task_id))


@router.delete("/tasks/{task_id}", status_code=status.HTTP_202_ACCEPTED, response_model=TaskRead)
async def cancel_task(actor: Actor, services: ServicesDep, task_id: UUID) -> Task:
    """Stop it: at once when it still waits, within a second when somebody works on it."""
    return await services.tasks.cancel(actor, task_id)


@router.post("/tasks/{task_id}/retry", status_code=status.HTTP_202_ACCEPTED, response_model=TaskRead)
async def retry_task(actor: Actor, services: ServicesDep, task_id: UUID) -> Task:
    """Queue it again, after it has failed or was cancelled; it goes on after the last step that it has finished."""
    return await services.tasks.retry(actor, task_id)


@router.get("/task-types")
async def list_task_types(_: Actor, services: ServicesDep) -> Sequence[TaskTypeRead]:
    """The kinds of work, and the parameters they take."""
    return services.tasks.types


@router.post(
    "/projects/{project_id}/tasks", status_code=status.HTTP_202_ACCEPTED, response_model=TaskRead, tags=["projects"]
)
async def start_task(
    actor: Actor, services: ServicesDep, response: Response, project_id: UUID, data: TaskCreate
) -> Task:
    """Queue work; its progress goes to the project's channel."""
    task = await services.tasks.start(actor, project_id, data)
    response.headers["Location"] = f"/api/v1/tasks/{task.id}"
    return task
