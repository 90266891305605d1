"""API keys over HTTP."""

from uuid import UUID

from fastapi import Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import APIKey
from app.schemas.api_keys import APIKeyCreate, APIKeyCreated, APIKeyRead, APIKeyUpdate
from app.schemas.common import ErrorResponse, Page

router = Router(prefix="/api-keys", tags=["accounts"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=APIKeyCreated,
    responses={409: {"model": ErrorResponse, "description": "Too many keys"}},
)
async def create_api_key(actor: Actor, services: ServicesDep, data: APIKeyCreate, response: Response) -> APIKeyCreated:
    """Make a key for a script or another program. This is the only time it is shown."""
    made = await services.api_keys.create(actor, data)
    response.headers["Location"] = f"/api/v1/api-keys/{made.row.id}"
    response.headers["Cache-Control"] = "no-store"
    return APIKeyCreated.of(made.row, made.key)


@router.get("")
async def list_api_keys(
    actor: Actor, services: ServicesDep, cursor: Cursor = None, limit: Limit = 20
) -> Page[APIKeyRead]:
    """Your keys, the newest first."""
    rows = await services.api_keys.list(actor, before=cursor, limit=limit + 1)
    return Page[APIKeyRead].of(rows, limit)


@router.get("/{key_id}", response_model=APIKeyRead)
async def get_api_key(actor: Actor, services: ServicesDep, key_id: UUID, conditional: ConditionalDep) -> APIKey:
    """A key of yours, without its secret."""
    return conditional.tag(await services.api_keys.get(actor, key_id))


@router.patch("/{key_id}", response_model=APIKeyRead)
async def update_api_key(
    actor: Actor,
    services: ServicesDep,
    key_id: UUID,
    data: APIKeyUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> APIKey:
    """Rename a key, or give it other limits. They count within two seconds."""
    return conditional.tag(await services.api_keys.update(actor, key_id, data, expected=expected))


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_api_key(actor: Actor, services: ServicesDep, key_id: UUID) -> None:
    """The key stops working within two seconds."""
    await services.api_keys.delete(actor, key_id)
