"""What routes ask for: the caller, the services, the page. Strings are taken out here and judged elsewhere."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from pydantic import BeforeValidator

from app.api.metrics import Metrics
from app.errors import PermissionDenied
from app.permissions import Principal, may_read, may_write
from app.resources import Resources
from app.schemas.common import decode_cursor
from app.services import Services

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

bearer_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login", auto_error=False)
key_scheme = APIKeyHeader(name="X-API-Key", auto_error=False)


def get_resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


def get_metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


ResourcesDep = Annotated[Resources, Depends(get_resources)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]


def get_services(resources: ResourcesDep) -> Services:
    return resources.services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_principal(
    services: ServicesDep,
    bearer: Annotated[str | None, Depends(bearer_scheme)],
    api_key: Annotated[str | None, Depends(key_scheme)],
) -> Principal:
    """Whoever the credentials stand for.

    Raises:
        NotAuthenticated, InvalidCredentials, TokenExpired: there are none, or they are not good.
    """
    return await services.accounts.principal(bearer=bearer, api_key=api_key)


PrincipalDep = Annotated[Principal, Depends(get_principal)]


def require_read(principal: PrincipalDep) -> Principal:
    """A reading caller, whatever the method: a search is a POST and changes nothing."""
    if principal.is_guest:
        raise PermissionDenied("Guests may only use the room they were invited to.")
    if not may_read(principal):
        raise PermissionDenied("This API key lacks the scope `read`.")
    return principal


def require_scope(request: Request, principal: PrincipalDep) -> Principal:
    """A caller whose key has `read` for safe methods and `write` for the others; guests included."""
    if request.method in SAFE_METHODS and not may_read(principal):
        raise PermissionDenied("This API key lacks the scope `read`.")
    if request.method not in SAFE_METHODS and not may_write(principal):
        raise PermissionDenied("This API key lacks the scope `write`.")
    return principal


RoomActor = Annotated[Principal, Depends(require_scope)]
"""A caller, or a guest: the services let a guest see its own room alone."""


def refuse_guests(principal: RoomActor) -> Principal:
    if principal.is_guest:
        raise PermissionDenied("Guests may only use the room they were invited to.")
    return principal


Actor = Annotated[Principal, Depends(refuse_guests)]
"""A signed-in person or an API key."""
Reader = Annotated[Principal, Depends(require_read)]
"""The same, on routes that read by POST."""


def _parse_cursor(value: object) -> object:
    return decode_cursor(value) if isinstance(value, str) else value


Limit = Annotated[int, Query(ge=1, le=100, description="Items on one page.")]
Cursor = Annotated[
    UUID | None, BeforeValidator(_parse_cursor), Query(description="`next_cursor` of the page before.", max_length=64)
]
