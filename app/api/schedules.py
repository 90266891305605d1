"""Work that is started again and again, over HTTP."""

from uuid import UUID

from fastapi import APIRouter, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.models import TaskSchedule
from app.schemas.common import Page
from app.schemas.schedules import ScheduleCreate, ScheduleRead, ScheduleUpdate

router = APIRouter(tags=["tasks"])


@router.post(
    "/projects/{project_id}/schedules",
    status_code=status.HTTP_201_CREATED,
    response_model=ScheduleRead,
    tags=["projects"],
)
async def create_schedule(
    actor: Actor,
    services: ServicesDep,
    conditional: ConditionalDep,
    response: Response,
    project_id: UUID,
    data: ScheduleCreate,
) -> TaskSchedule:
    """Start a task at every time that a cron expression means, in your name."""
    schedule = await services.schedules.create(actor, project_id, data)
    response.headers["Location"] = f"/api/v1/schedules/{schedule.id}"
    return conditional.tag(schedule)


@router.get("/schedules")
async def list_schedules(
    actor: Actor, services: ServicesDep, project_id: UUID | None = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[ScheduleRead]:
    """The schedules of your projects, the newest first."""
    rows = await services.schedules.list(actor, project_id=project_id, before=cursor, limit=limit + 1)
    return Page[ScheduleRead].of(rows, limit)


@router.get("/schedules/{schedule_id}", response_model=ScheduleRead)
async def get_schedule(
    actor: Actor, services: ServicesDep, conditional: ConditionalDep, schedule_id: UUID
) -> TaskSchedule:
    """When it starts what, and next."""
    return conditional.tag(await services.schedules.get(actor, schedule_id))


@router.patch("/schedules/{schedule_id}", response_model=ScheduleRead)
async def update_schedule(
    actor: Actor,
    services: ServicesDep,
    conditional: ConditionalDep,
    schedule_id: UUID,
    changes: ScheduleUpdate,
    expected: IfMatch,
) -> TaskSchedule:
    """Change it, pause it, or let it go on; what was missed during a pause is not made up for."""
    return conditional.tag(await services.schedules.update(actor, schedule_id, changes, expected=expected))


@router.delete("/schedules/{schedule_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_schedule(actor: Actor, services: ServicesDep, schedule_id: UUID, expected: IfMatch) -> None:
    """Start nothing more; what it has started goes on."""
    await services.schedules.delete(actor, schedule_id, expected=expected)
