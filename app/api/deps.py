"""What routes ask for: the caller, the services, the page. Strings are taken out here and judged elsewhere.

All of it is `async def`: FastAPI calls anything else, classes too, in a thread, which takes longer than the work. And
none of it depends on more of it, for FastAPI takes each step down again in every request.
"""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyCookie, APIKeyHeader, OAuth2PasswordBearer
from pydantic import BeforeValidator, WithJsonSchema
from starlette.requests import HTTPConnection

from app.api.callers import SAFE_METHODS, SESSION_COOKIE, Caller
from app.api.draining import Drain
from app.errors import PermissionDenied
from app.permissions import RULES, Action, CallerKind, Principal, Role, may
from app.resources import Resources
from app.schemas.common import CURSOR_PATTERN, decode_cursor
from app.services import Services

# How credentials may be sent. The description of the API tells it; `Caller` takes them out.
bearer_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login", auto_error=False)
key_scheme = APIKeyHeader(name="X-API-Key", auto_error=False)
cookie_scheme = APIKeyCookie(name=SESSION_COOKIE, auto_error=False)
SCHEMES: Final = {scheme.scheme_name: scheme.model for scheme in (bearer_scheme, key_scheme, cookie_scheme)}


async def get_resources(connection: HTTPConnection) -> Resources:
    resources: Resources = connection.app.state.resources
    return resources


async def get_drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


DrainDep = Annotated[Drain, Depends(get_drain)]
ResourcesDep = Annotated[Resources, Depends(get_resources)]


async def get_services(connection: HTTPConnection) -> Services:
    return (await get_resources(connection)).services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_caller(connection: HTTPConnection) -> Caller:
    return Caller.of(connection)


CallerDep = Annotated[Caller, Depends(get_caller)]


async def require_read(connection: HTTPConnection) -> Principal:
    """A reading caller, whatever the method: a search is a POST and changes nothing."""
    return await _allowed(connection, Action.READ)


async def require_room_scope(request: Request) -> Principal:
    return await _allowed(request, Action.READ_ROOM if request.method in SAFE_METHODS else Action.TALK)


async def require_account(request: Request) -> Principal:
    return await _allowed(request, Action.READ if request.method in SAFE_METHODS else Action.MANAGE_SELF)


async def require_person(connection: HTTPConnection) -> Principal:
    return await _allowed(connection, Action.SECURE_SELF)


async def require_admin(connection: HTTPConnection) -> Principal:
    return await _allowed(connection, Action.ADMINISTER)


GUARDS: Final = frozenset({require_read, require_room_scope, require_account, require_person, require_admin})
"""Whoever depends on one of these asks for credentials, as the API's description tells of it."""


async def _allowed(connection: HTTPConnection, action: Action) -> Principal:
    """Whoever the credentials stand for.

    Raises:
        NotAuthenticated, InvalidCredentials, TokenExpired: there are none, or they are not good.
        CSRFFailed: a cookie's, without the token that belongs to it.
        PermissionDenied: they do not allow the action.
    """
    return allowed(await Caller.of(connection).principal(), action)


def allowed(principal: Principal, action: Action) -> Principal:
    """Raises PermissionDenied, saying what is missing."""
    if may(principal, action):
        return principal
    rule = RULES[action]
    if principal.is_guest and rule.caller is not CallerKind.GUEST:
        raise PermissionDenied("Guests may only use the room they were invited to.")
    if rule.caller is CallerKind.ADMIN and principal.role is not Role.ADMIN:
        raise PermissionDenied("Only admins may do this.")
    if rule.caller is CallerKind.PERSON and principal.key_id is not None:
        raise PermissionDenied("API keys cannot do this: sign in.")
    raise PermissionDenied(f"This API key lacks the scope `{rule.scope}`.")


RoomActor = Annotated[Principal, Depends(require_room_scope)]
"""A caller, or a guest: the services let a guest see its own room alone."""
Actor = Annotated[Principal, Depends(require_account)]
"""A signed-in person or an API key; it has the scope `read` for safe methods and `write` for the others."""
Reader = Annotated[Principal, Depends(require_read)]
"""The same, on routes that read by POST."""
SignedInPerson = Annotated[Principal, Depends(require_person)]
"""A signed-in person: no API key."""
Admin = Annotated[Principal, Depends(require_admin)]
"""An admin, or an admin's key with the scope `admin`."""


def _parse_cursor(value: object) -> object:
    return decode_cursor(value) if isinstance(value, str) else value


Limit = Annotated[int, Query(ge=1, le=100, description="Items on one page.")]
Cursor = Annotated[
    UUID | None,
    BeforeValidator(_parse_cursor),
    WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN}),
    Query(description="`next_cursor` of the page before."),
]
