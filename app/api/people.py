"""The people in somebody's memories, over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.schemas.common import ErrorResponse, Page
from app.schemas.memories import PersonCreate, PersonMerge, PersonRead, PersonUpdate
from app.services.people import PersonView

router = Router(prefix="/people", tags=["memories"])

Words = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$", description="Stands in one of their names.")]


@router.post("", status_code=status.HTTP_201_CREATED, response_model=PersonRead)
async def create_person(
    actor: Actor, services: ServicesDep, data: PersonCreate, response: Response, conditional: ConditionalDep
) -> PersonView:
    """Somebody in your memories. Memories that name somebody new make them, too."""
    person = await services.people.create(actor, data)
    response.headers["Location"] = f"/api/v1/people/{person.id}"
    return conditional.tag(person)


@router.get("")
async def list_people(
    actor: Actor, services: ServicesDep, q: Words = None, cursor: Cursor = None, limit: Limit = 20
) -> Page[PersonRead]:
    """The people in your memories, the newest first."""
    rows = await services.people.list(actor, words=q, before=cursor, limit=limit + 1)
    return Page[PersonRead].of(rows, limit)


@router.get("/{person_id}", response_model=PersonRead)
async def get_person(actor: Actor, services: ServicesDep, person_id: UUID, conditional: ConditionalDep) -> PersonView:
    """Somebody, and in how many memories they are."""
    return conditional.tag(await services.people.get(actor, person_id))


@router.patch("/{person_id}", response_model=PersonRead)
async def update_person(
    actor: Actor,
    services: ServicesDep,
    person_id: UUID,
    changes: PersonUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> PersonView:
    """Change what somebody is called."""
    return conditional.tag(await services.people.update(actor, person_id, changes, expected=expected))


@router.post(
    "/{person_id}/merge",
    response_model=PersonRead,
    responses={409: {"model": ErrorResponse, "description": "They are the same already"}},
)
async def merge_people(
    actor: Actor, services: ServicesDep, person_id: UUID, data: PersonMerge, conditional: ConditionalDep
) -> PersonView:
    """Two who are one: the other one goes, with their names as aliases; this one is wherever either was."""
    return conditional.tag(await services.people.merge(actor, person_id, data.person_id))


@router.delete("/{person_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_person(actor: Actor, services: ServicesDep, person_id: UUID, expected: IfMatch) -> None:
    """The memories stay, without them."""
    await services.people.delete(actor, person_id, expected=expected)
