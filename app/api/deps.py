"""What routes ask for: the caller, the services, the page. Strings are taken out here and judged elsewhere.

All of it is `async def`: FastAPI calls anything else, classes too, in a thread, which takes longer than the work.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer
from pydantic import BeforeValidator
from starlette.requests import HTTPConnection

from app.api.metrics import Metrics
from app.errors import AppError, NotAuthenticated, PermissionDenied
from app.permissions import Principal, may_read, may_write
from app.resources import Resources
from app.schemas.common import decode_cursor
from app.services import Services
from app.services.accounts import AccountService

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_PROTOCOL = "bearer."  # noqa: S105 - a prefix: browsers can send a token as a WebSocket's subprotocol only

bearer_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login", auto_error=False)
key_scheme = APIKeyHeader(name="X-API-Key", auto_error=False)


async def get_resources(connection: HTTPConnection) -> Resources:
    resources: Resources = connection.app.state.resources
    return resources


async def get_metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


ResourcesDep = Annotated[Resources, Depends(get_resources)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]


async def get_services(resources: ResourcesDep) -> Services:
    return resources.services


ServicesDep = Annotated[Services, Depends(get_services)]


class Caller:
    """Whoever calls: the strings are taken out of the request or the socket, and judged once, if somebody asks."""

    def __init__(self, connection: HTTPConnection, accounts: AccountService) -> None:
        self._connection = connection
        self._accounts = accounts
        self._outcome: Principal | AppError | None = None

    async def principal(self) -> Principal:
        """Raises NotAuthenticated, InvalidCredentials, TokenExpired: there are no credentials, or no good ones."""
        if self._outcome is None:
            self._outcome = await self._judge()
        if isinstance(self._outcome, AppError):
            raise self._outcome
        return self._outcome

    async def principal_if_any(self) -> Principal | None:
        """None without credentials. Raises InvalidCredentials, TokenExpired: they are not good."""
        try:
            return await self.principal()
        except NotAuthenticated:
            return None

    async def principal_if_known(self) -> Principal | None:
        """None without good credentials."""
        try:
            return await self.principal()
        except AppError:
            return None

    async def _judge(self) -> Principal | AppError:
        headers = self._connection.headers
        scheme, _, value = headers.get("authorization", "").partition(" ")
        bearer = value.strip() if scheme.lower() == "bearer" else None
        ticket = None
        if self._connection.scope["type"] == "websocket":
            bearer = bearer or _token_among(headers.get("sec-websocket-protocol", ""))
            ticket = self._connection.query_params.get("ticket")
        try:
            return await self._accounts.principal(bearer=bearer, api_key=headers.get("x-api-key"), ticket=ticket)
        except AppError as error:
            return error


def _token_among(protocols: str) -> str | None:
    names = (name.strip() for name in protocols.split(","))
    return next((name.removeprefix(TOKEN_PROTOCOL) for name in names if name.startswith(TOKEN_PROTOCOL)), None)


async def get_caller(connection: HTTPConnection, services: ServicesDep) -> Caller:
    return Caller(connection, services.accounts)


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_principal(
    caller: CallerDep,
    _: Annotated[str | None, Depends(bearer_scheme)],  # these two for /docs alone
    __: Annotated[str | None, Depends(key_scheme)],
) -> Principal:
    """Whoever the credentials stand for.

    Raises:
        NotAuthenticated, InvalidCredentials, TokenExpired: there are none, or they are not good.
    """
    return await caller.principal()


PrincipalDep = Annotated[Principal, Depends(get_principal)]


async def require_read(principal: PrincipalDep) -> Principal:
    """A reading caller, whatever the method: a search is a POST and changes nothing."""
    if principal.is_guest:
        raise PermissionDenied("Guests may only use the room they were invited to.")
    if not may_read(principal):
        raise PermissionDenied("This API key lacks the scope `read`.")
    return principal


async def require_scope(request: Request, principal: PrincipalDep) -> Principal:
    """A caller whose key has `read` for safe methods and `write` for the others; guests included."""
    if request.method in SAFE_METHODS and not may_read(principal):
        raise PermissionDenied("This API key lacks the scope `read`.")
    if request.method not in SAFE_METHODS and not may_write(principal):
        raise PermissionDenied("This API key lacks the scope `write`.")
    return principal


RoomActor = Annotated[Principal, Depends(require_scope)]
"""A caller, or a guest: the services let a guest see its own room alone."""


async def refuse_guests(principal: RoomActor) -> Principal:
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
Cursor = Annotated[UUID | None, BeforeValidator(_parse_cursor), Query(description="`next_cursor` of the page before.")]
