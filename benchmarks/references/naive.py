"""What every tutorial does: one loop over all sockets, without storing, numbering, or protection from slow readers."""

from collections import defaultdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def live(_: Request) -> JSONResponse:
    return JSONResponse({"status": "alive"})


async def join(socket: WebSocket) -> None:
    await socket.accept()
    members = rooms[socket.path_params["room"]]
    members.add(socket)
    try:
        while True:
            text = await socket.receive_text()
            for member in tuple(members):
                if member is not socket:
                    await member.send_text(text)
    except WebSocketDisconnect:
        members.discard(socket)


app = Starlette(routes=[Route("/health/live", live), WebSocketRoute("/ws/{room}", join)])
