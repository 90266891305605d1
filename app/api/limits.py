"""Rate limits of routes: slowapi declares them, `realtime/limits.py` counts.

slowapi's own checks are synchronous and its middleware passes over included routers, so neither is used.
"""

import ipaddress
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from fastapi import Request
from slowapi import Limiter
from slowapi.wrappers import Limit, LimitGroup
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import auth, health
from app.api.deps import CallerDep, ResourcesDep
from app.realtime.limits import Allowance, Budget
from app.settings import RateLimitSettings

Endpoint = Callable[..., Any]

GENERAL: Final = "requests"
LOGIN: Final = "login"
LIMITED_LIKE_LOGIN: Final[Sequence[Endpoint]] = (
    auth.register_user,
    auth.login_user,
    auth.refresh_tokens,
    auth.begin_session,
)
EXEMPT: Final[Sequence[Endpoint]] = (health.read_health, health.read_metrics)
NETWORK_BITS: Final = 64  # of an IPv6 address: whoever has one has all that begin alike


def caller_key(request: Request) -> str:
    """API key, else user, else address."""
    caller = request.state.caller
    if caller is None:
        return address_key(request)
    return f"key:{caller.key_id}" if caller.key_id else f"user:{caller.user_id}"


def address_key(request: Request) -> str:
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket has no address
        return f"address:{host}"
    bits = NETWORK_BITS if address.version == 6 else address.max_prefixlen
    return f"address:{ipaddress.ip_network((host, bits), strict=False)}"


class RouteLimits(Limiter):
    """What is declared for each route: the general limit, tighter ones beside it, or that it is exempt."""

    def __init__(self, settings: RateLimitSettings) -> None:
        super().__init__(caller_key, default_limits=[settings.requests], storage_uri="memory://")
        self._declared: dict[Endpoint, Sequence[Limit]] = {}
        for endpoint in EXEMPT:
            self.exempt(endpoint)  # type: ignore[no-untyped-call]
        login = LimitGroup(settings.login, address_key, LOGIN, False, None, None, None, 1, False)
        for endpoint in LIMITED_LIKE_LOGIN:  # slowapi's decorator would want every route to take the request
            self._route_limits[_name_of(endpoint)] = list(login)

    def of(self, endpoint: Endpoint) -> Sequence[Limit]:
        """None at all for an exempt route."""
        if endpoint not in self._declared:
            self._declared[endpoint] = self._look_up(_name_of(endpoint))
        return self._declared[endpoint]

    def _look_up(self, name: str) -> Sequence[Limit]:
        if name in self._exempt_routes:
            return ()
        return [*self._route_limits.get(name, ()), *chain.from_iterable(self._default_limits)]


def _name_of(endpoint: Endpoint) -> str:
    """As slowapi calls it."""
    return f"{endpoint.__module__}.{endpoint.__name__}"


async def check_limits(request: Request, caller: CallerDep, resources: ResourcesDep) -> None:
    """Raises RateLimited: the caller, or its address, has used up what the route allows."""
    route_limits: RouteLimits = request.app.state.route_limits
    declared = route_limits.of(request.scope["endpoint"])
    if not declared or not resources.limits.is_enabled:
        return
    request.state.caller = await caller.principal_if_known()
    wanted = [(Budget(limit.scope or GENERAL, limit.limit), limit.key_func(request)) for limit in declared]
    allowance = await resources.limits.take(wanted)
    request.state.allowance = allowance
    allowance.require()


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
                headers["RateLimit-Limit"] = str(allowance.budget.rate.amount)
                headers["RateLimit-Remaining"] = str(allowance.remaining)
                headers["RateLimit-Reset"] = str(int(allowance.reset_after.total_seconds()))
            await send(message)

        return await self._app(scope, receive, send_with_headers)
