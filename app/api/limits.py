"""Rate limits of routes and sockets: slowapi declares them, `services/limits.py` knows the rates and has them counted.

slowapi's own checks are synchronous and its middleware passes over included routers, so neither is used.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import Request
from limits import RateLimitItem
from limits.limits import RateLimitItemPerYear
from slowapi import Limiter
from slowapi.wrappers import Limit
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import (
    auth,
    chat,
    documents,
    files,
    health,
    media,
    oidc,
    openai_chat,
    openai_files,
    openai_models,
    openai_responses,
    openai_vector_stores,
    query,
    recovery,
    sessions,
)
from app.api.callers import Caller
from app.errors import AppError, InvalidCredentials, RateLimited
from app.permissions import Principal
from app.rates import LARGEST_AMOUNT, Budget, parse_rate
from app.realtime.limits import Allowance
from app.services.limits import LimitService, address_key, caller_key
from app.settings import RateLimitSettings

Endpoint = Callable[..., Any]

LIMITED_LIKE_LOGIN: Final[Sequence[Endpoint]] = (
    auth.register_user,
    auth.login_user,
    auth.refresh_tokens,
    auth.begin_session,
    oidc.begin_oidc_login,
    oidc.finish_oidc_login,
    sessions.join_session,
    recovery.request_password_reset,
    recovery.reset_password,
    recovery.verify_email,
)
SAYING: Final[Sequence[Endpoint]] = (
    chat.post_message,
    chat.edit_message,
    chat.delete_message,
    chat.add_reaction,
    chat.remove_reaction,
    chat.mark_read,
    chat.stop_spirit,
)
ASKING_AS_OPENAI: Final[Sequence[Endpoint]] = (
    openai_chat.create_chat_completion,
    openai_models.create_embeddings,
    openai_responses.create_response,
    openai_vector_stores.search_vector_store,
)
UPLOADING_AS_OPENAI: Final[Sequence[Endpoint]] = (
    openai_files.create_openai_file,
    openai_vector_stores.create_vector_store,
    openai_vector_stores.create_vector_store_file,
    openai_vector_stores.create_file_batch,
)
TIGHTER: Final[Sequence[tuple[Budget, Sequence[Endpoint]]]] = (
    (Budget.LOGIN, LIMITED_LIKE_LOGIN),
    (
        Budget.UPLOADS,
        (
            documents.create_document,
            documents.reingest_document,
            files.put_file,
            media.create_media,
            *UPLOADING_AS_OPENAI,
        ),
    ),
    (Budget.QUERIES, (query.search, query.answer_question, *ASKING_AS_OPENAI)),
    (Budget.MESSAGES, SAYING),
)
"""What has a budget beside that of all routes."""
EXEMPT: Final[Sequence[Endpoint]] = (health.read_health,)
COUNTED_WHEN_REFUSED: Final[Sequence[Endpoint]] = (health.read_metrics,)
"""As often as one likes, with good credentials."""
NO_RATE: Final = RateLimitItemPerYear(LARGEST_AMOUNT)  # for slowapi, which knows none that is unlimited


def caller_of(request: Request) -> str:
    """API key, else user, else address."""
    caller: Principal | None = request.state.caller
    return caller_key(caller, host_of(request))


def address_of(request: Request) -> str:
    return address_key(host_of(request))


def host_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


class RouteLimits(Limiter):
    """What is declared for each route: the general limit, tighter ones beside it, or that it is exempt."""

    def __init__(self, settings: RateLimitSettings) -> None:
        super().__init__(caller_of, storage_uri="memory://")
        self._declared: dict[Endpoint, Sequence[Limit] | None] = {}
        self._general = _limit(Budget.REQUESTS, settings)
        for endpoint in EXEMPT:
            self.exempt(endpoint)  # type: ignore[no-untyped-call]  # slowapi has no types
        for budget, endpoints in TIGHTER:
            for endpoint in endpoints:  # slowapi's decorator would want every route to take the request
                self._route_limits.setdefault(_name_of(endpoint), []).append(_limit(budget, settings))

    def of(self, endpoint: Endpoint) -> Sequence[Limit] | None:
        """None for an exempt route."""
        if endpoint not in self._declared:
            self._declared[endpoint] = self._look_up(endpoint)
        return self._declared[endpoint]

    def _look_up(self, endpoint: Endpoint) -> Sequence[Limit] | None:
        name = _name_of(endpoint)
        if name in self._exempt_routes:
            return None
        general = [] if endpoint in COUNTED_WHEN_REFUSED else [self._general]
        return [*self._route_limits.get(name, ()), *general]


def _limit(budget: Budget, settings: RateLimitSettings) -> Limit:
    """Whose count it is, and the rate of callers who have no other."""
    rate: RateLimitItem = parse_rate(getattr(settings, budget)) or NO_RATE
    key = address_of if budget is Budget.LOGIN else caller_of
    return Limit(rate, key, budget, False, None, None, None, 1, False)


def _name_of(endpoint: Endpoint) -> str:
    """As slowapi calls it."""
    return f"{endpoint.__module__}.{endpoint.__name__}"


async def check_limits(request: Request) -> None:
    """Raises RateLimited: the caller, or its address, has used up what the route allows."""
    state = request.app.state
    route_limits: RouteLimits = state.route_limits
    limits: LimitService = state.resources.services.limits
    declared = route_limits.of(request.scope["endpoint"])
    if declared is None or not limits.is_enabled:
        return
    request.state.caller, is_bad = await _judged(Caller.of(request))
    wanted = [(Budget(limit.scope), limit.key_func(request)) for limit in declared]
    if is_bad:
        wanted.append((Budget.FAILURES, address_of(request)))
    allowance = await limits.take(wanted, request.state.caller)
    request.state.allowance = allowance
    if allowance is not None:
        allowance.require()


async def check_opening(socket: HTTPConnection, caller: Caller, limits: LimitService) -> None:
    """A WebSocket counts as a request of the caller, or without good credentials as one of the address.

    Raises RateLimited.
    """
    if not limits.is_enabled:
        return
    principal, is_bad = await _judged(caller)
    wanted = [(Budget.REQUESTS, caller_key(principal, host_of(socket)))]
    if is_bad:
        wanted.append((Budget.FAILURES, address_key(host_of(socket))))
    allowance = await limits.take(wanted, principal)
    if allowance is not None:
        allowance.require()


async def note_failure(socket: HTTPConnection, limits: LimitService) -> None:
    """Credentials that came later, in a frame, were not good. Raises RateLimited."""
    allowance = await limits.take([(Budget.FAILURES, address_key(host_of(socket)))])
    if allowance is not None:
        allowance.require()


async def _judged(caller: Caller) -> tuple[Principal | None, bool]:
    """Who it is, if it is known; whether its credentials are such that somebody may be guessing."""
    try:
        return await caller.principal(), False
    except (InvalidCredentials, RateLimited):
        return None, True
    except AppError:
        return None, False


class RateLimitHeadersMiddleware:
    """Tells what is left, on every response to a limited request: errors and streams, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            allowance: Allowance | None = state.get("allowance")
            if message["type"] == "http.response.start" and allowance is not None:
                headers = MutableHeaders(scope=message)
                if "RateLimit-Limit" not in headers:  # else a budget refuses that no route declares
                    headers["RateLimit-Limit"] = str(allowance.rate.amount)
                    headers["RateLimit-Remaining"] = str(allowance.remaining)
                    headers["RateLimit-Reset"] = str(int(allowance.reset_after.total_seconds()))
            await send(message)

        return await self._app(scope, receive, send_with_headers)
