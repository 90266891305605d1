"""The MCP server at `/mcp`: streamable HTTP without sessions, so that any process may answer any request.

Each request is served by a transport of its own that ends with it; what is under way for a client that is gone is
cancelled. Nothing is sent without having been asked for, hence there is no stream to open by GET and nothing to DELETE.
"""

import asyncio
import importlib
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from app.api.deps import Reader, ResourcesDep
from app.api.routing import Router
from app.errors import PermissionDenied
from app.settings import Settings

router = Router(tags=["mcp"], include_in_schema=False)

EXCHANGE: Final = "app.api.mcp_exchange"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


async def require_known_origin(request: Request, resources: ResourcesDep) -> None:
    """Raises PermissionDenied: a page of another site asks, or one whose name was made to lead here."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_known(origin, request.headers.get("host", ""), resources.settings):
        raise PermissionDenied("This page's origin has to be among CORS_ORIGINS.")


def _is_known(origin: str, host: str, settings: Settings) -> bool:
    """Names of this machine, our own address and CORS_ORIGINS (`*` does not count). A host that only the request
    itself names is none: whoever owns a name can have it lead to any address.
    """
    if origin == "*" or origin in settings.cors_origins:
        return origin != "*"
    try:
        asked = urlsplit(origin)
    except ValueError:
        return False
    is_here = asked.hostname in LOOPBACK and asked.netloc.lower() == host.lower()
    return is_here or origin.lower() == _origin_of(settings.links_to)


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


@router.post("/mcp")
async def exchange_messages(
    request: Request, _: Annotated[None, Depends(require_known_origin)], __: Reader, resources: ResourcesDep
) -> Response:
    """Hand a message to the MCP server; its answer is one JSON object."""
    exchange = await asyncio.to_thread(importlib.import_module, EXCHANGE)
    answer: Response = exchange.Exchange(await request.body(), max_body_size=resources.settings.max_body_bytes)
    return answer
