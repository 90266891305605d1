"""Who really calls, where trusted proxies stand in front of us."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
FORWARDED_HOST = "x-forwarded-for"


class ForwardedMiddleware:
    """Outermost of all: puts the caller's address and scheme where a trusted proxy has told them.

    Every proxy adds on the right whom it was called by; what stands further left is hearsay. So the right-most address
    counts that is no trusted proxy itself. `Forwarded` and `X-Real-IP` are never believed.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self._app = app
        self._trusted: Sequence[Network] = [ipaddress.ip_network(network) for network in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._trusts(_parse(_host_of(scope))):
            headers = Headers(scope=scope)
            scope["client"] = self._caller(headers) or scope["client"]
            scheme = _last(headers.getlist("x-forwarded-proto"))
            if scheme in SCHEMES:
                scope["scheme"] = (
                    SCHEMES[scheme] if scope["type"] == "websocket" else SCHEMES[scheme].replace("ws", "http")
                )
        await self._app(scope, receive, send)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _caller(self, headers: Headers) -> tuple[str, int] | None:
        """None where nothing is told that can be read."""
        caller: Address | None = None
        for text in _from_the_right(headers.getlist(FORWARDED_HOST)):
            address = _parse(text)
            if address is None:  # whoever stands further left cannot be believed
                break
            caller = address
            if not self._trusts(address):
                break
        return None if caller is None else (str(caller), 0)


def _host_of(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    return (part.strip() for value in reversed(values) for part in reversed(value.split(",")))


def _last(values: Sequence[str]) -> str:
    return next(_from_the_right(values), "").lower()


def _parse(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`; an IPv4 address in IPv6 form is IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address
