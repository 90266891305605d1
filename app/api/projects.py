"""Projects and their members over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response, status
from fastapi.responses import StreamingResponse

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import Project
from app.repositories.statistics import ProjectCounts
from app.schemas.common import ErrorResponse, Page
from app.schemas.projects import MemberPut, MemberRead, ProjectCreate, ProjectRead, ProjectStatistics, ProjectUpdate
from app.services.projects import Membership

router = Router(prefix="/projects", tags=["projects"])

DEFAULT_STAYS: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorResponse, "description": "The default project cannot be archived"}
}
ARCHIVE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A ZIP archive", "content": {"application/zip": {"schema": {"type": "string"}}}}
}
MEMBER_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": MemberRead, "description": "The role was changed"},
    409: {"model": ErrorResponse, "description": "The project would be left without its owner"},
}


@router.post("", status_code=status.HTTP_201_CREATED, response_model=ProjectRead)
async def create_project(
    actor: Actor, services: ServicesDep, data: ProjectCreate, response: Response, conditional: ConditionalDep
) -> Project:
    """Make a project, of which you are the owner."""
    project = await services.projects.create(actor, data)
    response.headers["Location"] = f"/api/v1/projects/{project.id}"
    return conditional.tag(project)


@router.get("")
async def list_projects(
    actor: Actor,
    services: ServicesDep,
    archived: Annotated[bool | None, Query(description="Only those that are archived, or only the others.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[ProjectRead]:
    """Your projects and those shared with you, the newest first."""
    rows = await services.projects.list(actor, is_archived=archived, before=cursor, limit=limit + 1)
    return Page[ProjectRead].of(rows, limit)


@router.get("/{project_id}", response_model=ProjectRead)
async def get_project(actor: Actor, services: ServicesDep, project_id: UUID, conditional: ConditionalDep) -> Project:
    """A project, and your role in it."""
    return conditional.tag(await services.projects.get(actor, project_id))


@router.patch("/{project_id}", response_model=ProjectRead)
async def update_project(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    changes: ProjectUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> Project:
    """Owners rename and describe."""
    return conditional.tag(await services.projects.update(actor, project_id, changes, expected=expected))


@router.delete("/{project_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_project(actor: Actor, services: ServicesDep, project_id: UUID, expected: IfMatch) -> None:
    """Owners delete a project with its documents, rooms and tasks; the default project stays."""
    await services.projects.delete(actor, project_id, expected=expected)


@router.post("/{project_id}/archive", response_model=ProjectRead, responses=DEFAULT_STAYS)
async def archive_project(
    actor: Actor, services: ServicesDep, project_id: UUID, conditional: ConditionalDep
) -> Project:
    """Owners make a project read-only, and close its rooms; what runs already goes on to its end."""
    return conditional.tag(await services.projects.archive(actor, project_id))


@router.post("/{project_id}/unarchive", response_model=ProjectRead)
async def unarchive_project(
    actor: Actor, services: ServicesDep, project_id: UUID, conditional: ConditionalDep
) -> Project:
    """Owners let a project be worked in again; the rooms that were closed with it are open."""
    return conditional.tag(await services.projects.unarchive(actor, project_id))


@router.get("/{project_id}/stats", response_model=ProjectStatistics)
async def get_project_statistics(actor: Actor, services: ServicesDep, project_id: UUID) -> ProjectCounts:
    """How much there is in it."""
    return await services.projects.count(actor, project_id)


@router.get("/{project_id}/export", response_class=StreamingResponse, responses=ARCHIVE_ANSWER)
async def export_project(actor: Actor, services: ServicesDep, project_id: UUID) -> StreamingResponse:
    """Owners take all of a project with them as one ZIP archive, made while it is downloaded."""
    pieces = await services.exports.export_project(actor, project_id)
    headers = {
        "Content-Disposition": f'attachment; filename="project-{project_id}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.get("/{project_id}/members")
async def list_members(
    actor: Actor, services: ServicesDep, project_id: UUID, cursor: Cursor = None, limit: Limit = 20
) -> Page[MemberRead]:
    """Who shares the project, and in which role."""
    rows = await services.projects.list_members(actor, project_id, before=cursor, limit=limit + 1)
    return Page[MemberRead].of(rows, limit)


@router.post(
    "/{project_id}/members",
    status_code=status.HTTP_201_CREATED,
    response_model=MemberRead,
    responses=MEMBER_ANSWERS,
)
async def set_member(
    actor: Actor, services: ServicesDep, project_id: UUID, data: MemberPut, response: Response
) -> Membership:
    """Owners share the project with an account; 200 when it is shared already and the role was changed."""
    member = await services.projects.set_member(actor, project_id, data)
    response.status_code = status.HTTP_201_CREATED if member.is_new else status.HTTP_200_OK
    response.headers["Location"] = f"/api/v1/projects/{project_id}/members"
    return member


@router.delete(
    "/{project_id}/members/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"model": ErrorResponse, "description": "The project would be left without its owner"}},
)
async def remove_member(actor: Actor, services: ServicesDep, project_id: UUID, user_id: UUID) -> None:
    """Owners remove anybody; everybody may leave."""
    await services.projects.remove_member(actor, project_id, user_id)
