"""Credentials as they arrive: taken out of a request or a socket, and judged once.

Headers come before the cookie, and a cookie is believed only together with what a foreign page cannot send: the token
that belongs to it (`X-CSRF-Token`) where something changes, an `Origin` of ours where a WebSocket opens.
"""

from typing import Final, Self
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from app.errors import AppError, CSRFFailed, NotAuthenticated, PermissionDenied
from app.permissions import Principal
from app.resources import Resources
from app.security import csrf_token_of, is_same_secret
from app.services.callers import Credentials

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_COOKIE: Final = "hearth_session"
TOKEN_PROTOCOL: Final = "bearer."  # noqa: S105 - a prefix: browsers can send a token to a WebSocket so, and in no header


class Caller:
    """Whoever calls."""

    def __init__(self, connection: HTTPConnection, resources: Resources) -> None:
        self._connection = connection
        self._resources = resources
        self._outcome: Principal | AppError | None = None

    @classmethod
    def of(cls, connection: HTTPConnection) -> Self:
        """One for each request, however many ask for it."""
        state = connection.scope.setdefault("state", {})
        if "caller_at_the_door" not in state:
            state["caller_at_the_door"] = cls(connection, connection.scope["app"].state.resources)
        caller: Self = state["caller_at_the_door"]
        return caller

    async def principal(self) -> Principal:
        """Raises NotAuthenticated, InvalidCredentials, TokenExpired, CSRFFailed: no credentials, or no good ones."""
        if self._outcome is None:
            self._outcome = await self._judge()
        if isinstance(self._outcome, AppError):
            raise self._outcome
        return self._outcome

    async def principal_if_any(self) -> Principal | None:
        """None without credentials. Raises InvalidCredentials, TokenExpired, CSRFFailed: they are not good."""
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
        credentials = self._credentials()
        try:
            principal = await self._resources.services.callers.identify(credentials)
            if not (credentials.bearer or credentials.api_key or credentials.ticket):
                self._require_own_page(credentials.cookie or "")
        except AppError as error:
            return error
        return principal

    def _credentials(self) -> Credentials:
        headers = self._connection.headers
        scheme, _, value = headers.get("authorization", "").partition(" ")
        bearer = value.strip() if scheme.lower() == "bearer" else None
        ticket = None
        if self._is_socket:
            bearer = bearer or _token_among(headers.get("sec-websocket-protocol", ""))
            ticket = self._connection.query_params.get("ticket")
        cookie = self._connection.cookies.get(SESSION_COOKIE)
        return Credentials(bearer, headers.get("x-api-key"), ticket, cookie, is_at_the_door=self._is_socket)

    def _require_own_page(self, cookie: str) -> None:
        """Raises CSRFFailed, PermissionDenied: another site's page may have made the browser send the cookie."""
        if self._is_socket:
            if not self._connection.headers.get("origin") or not is_own_origin(self._connection):
                raise PermissionDenied("With a cookie, this page's origin has to be among CORS_ORIGINS.")
        elif self._connection.scope["method"] not in SAFE_METHODS:
            given = self._connection.headers.get("x-csrf-token", "")
            if not is_own_origin(self._connection) or not is_same_secret(given, csrf_token_of(cookie)):
                raise CSRFFailed("Send the session's X-CSRF-Token: GET /api/v1/auth/session tells it.")

    @property
    def _is_socket(self) -> bool:
        return bool(self._connection.scope["type"] == "websocket")


def is_own_origin(connection: HTTPConnection) -> bool:
    """Whether no `Origin` is given, or one of our pages: of this very host, or of CORS_ORIGINS (`*` does not count)."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    allowed = connection.scope["app"].state.resources.settings.cors_origins
    host = connection.headers.get("host", "")
    return (origin != "*" and origin in allowed) or (host != "" and _host_of(origin) == host.lower())


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _token_among(protocols: str) -> str | None:
    names = (name.strip() for name in protocols.split(","))
    return next((name.removeprefix(TOKEN_PROTOCOL) for name in names if name.startswith(TOKEN_PROTOCOL)), None)
