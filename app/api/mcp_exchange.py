"""One message of an MCP client, and its answer. Loaded with the first: the SDK takes as long as a third of all else."""

import asyncio

import anyio
from fastapi import Response
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from app.api.mcp_server import SERVER


class Exchange(Response):
    """A JSON-RPC message of a client, and what the MCP server says to it."""

    def __init__(self, body: bytes, *, max_body_size: int) -> None:
        super().__init__()
        self._asked = body
        self._max_body_size = max_body_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(
            SERVER, json_response=True, stateless=True, max_request_body_size=self._max_body_size
        )
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
            async with manager.run():
                await manager.handle_request(scope, _Replay(self._asked), send)
            group.cancel_scope.cancel()


class _Replay:
    """The body, which the route has read, once more."""

    def __init__(self, body: bytes) -> None:
        self._messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def __call__(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
