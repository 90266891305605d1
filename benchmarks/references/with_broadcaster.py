"""Starlette and broadcaster, as its documentation shows them: every message goes through Redis."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

broadcast = Broadcast(os.environ["REDIS_URL"])


async def live(_: Request) -> JSONResponse:
    return JSONResponse({"status": "alive"})


async def join(socket: WebSocket) -> None:
    await socket.accept()
    room = socket.path_params["room"]
    tasks = [asyncio.create_task(hear(socket, room)), asyncio.create_task(speak(socket, room))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def hear(socket: WebSocket, room: str) -> None:
    async with broadcast.subscribe(channel=room) as subscriber:
        async for event in subscriber:
            await socket.send_text(event.message)


async def speak(socket: WebSocket, room: str) -> None:
    async for text in socket.iter_text():
        await broadcast.publish(channel=room, message=text)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with broadcast:
        yield


app = Starlette(routes=[Route("/health/live", live), WebSocketRoute("/ws/{room}", join)], lifespan=lifespan)
