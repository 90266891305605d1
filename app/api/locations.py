"""The places in somebody's memories, over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.memory_filters import NearDep
from app.api.routing import Router
from app.schemas.common import Page
from app.schemas.memories import LocationCreate, LocationRead, LocationUpdate
from app.services.locations import LocationView

router = Router(prefix="/locations", tags=["memories"])

Words = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Stands in the name.")]


@router.post("", status_code=status.HTTP_201_CREATED, response_model=LocationRead)
async def create_location(
    actor: Actor, services: ServicesDep, data: LocationCreate, response: Response, conditional: ConditionalDep
) -> LocationView:
    """A place in your memories. Memories that name a new place make it, too."""
    location = await services.locations.create(actor, data)
    response.headers["Location"] = f"/api/v1/locations/{location.id}"
    return conditional.tag(location)


@router.get("")
async def list_locations(
    actor: Actor,
    services: ServicesDep,
    near: NearDep,
    q: Words = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[LocationRead]:
    """The places in your memories, the newest first; with `near`, the nearest first, and there is one page."""
    rows = await services.locations.list(actor, near, words=q, before=cursor, limit=limit + 1)
    shown = rows if near is None else rows[:limit]
    return Page[LocationRead].of(shown, limit)


@router.get("/{location_id}", response_model=LocationRead)
async def get_location(
    actor: Actor, services: ServicesDep, location_id: UUID, conditional: ConditionalDep
) -> LocationView:
    """A place, and in how many memories it is."""
    return conditional.tag(await services.locations.get(actor, location_id))


@router.patch("/{location_id}", response_model=LocationRead)
async def update_location(
    actor: Actor,
    services: ServicesDep,
    location_id: UUID,
    changes: LocationUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> LocationView:
    """Change the name, or where it is."""
    return conditional.tag(await services.locations.update(actor, location_id, changes, expected=expected))


@router.delete("/{location_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_location(actor: Actor, services: ServicesDep, location_id: UUID, expected: IfMatch) -> None:
    """The memories stay, without it."""
    await services.locations.delete(actor, location_id, expected=expected)
