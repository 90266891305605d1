"""python-socketio with its Redis manager."""

import os
from typing import Any
from urllib.parse import parse_qs

import socketio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

manager = socketio.AsyncRedisManager(os.environ["REDIS_URL"])
server = socketio.AsyncServer(async_mode="asgi", client_manager=manager, ping_interval=600, ping_timeout=600)


@server.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    room = parse_qs(environ["QUERY_STRING"])["room"][0]
    await server.save_session(sid, {"room": room})
    await server.enter_room(sid, room)


@server.event
async def typing(sid: str, data: object) -> None:
    room = (await server.get_session(sid))["room"]
    await server.emit("typing", data, room=room, skip_sid=sid)


async def live(_: Request) -> JSONResponse:
    return JSONResponse({"status": "alive"})


app = socketio.ASGIApp(server, Starlette(routes=[Route("/health/live", live)]))
