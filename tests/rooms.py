"""Rooms of a live server, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from httpx import AsyncClient, Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.events import Frame, Person, UserTyping
from tests.factories import User
from tests.frames import check_event
from tests.processes import LiveServer

PATIENCE = 15  # seconds


class Visitor:
    """One connection: sends commands, collects frames, each of which must be as the protocol's document says."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def say(self, text: str, **fields: Any) -> None:
        await self.send("send_message", text=text, **fields)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await self.socket.recv())
        check_event(frame)
        self.frames.append(frame)
        return frame

    async def next_of(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; those before it are kept in `frames`."""
        while True:
            frame = await self.next()
            if frame["type"] == kind:
                return frame

    async def hear(self, count: int) -> list[str]:
        """Texts of the next `count` messages."""
        return [(await self.next_of("message_received"))["text"] for _ in range(count)]

    async def closed(self) -> int:
        """The code that the server ends the connection with; what comes before is kept in `frames`."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            return self.socket.close_code or 0


@asynccontextmanager
async def visit(
    server: LiveServer, path: str, headers: dict[str, str] | None = None, *, query: str = "", **options: Any
) -> AsyncIterator[Visitor]:
    """A connection to `/ws/…`."""
    async with connect(f"{server.ws_url}/ws/{path}{query}", additional_headers=headers or {}, **options) as socket:
        yield Visitor(socket)


def bulky_frame(room: str) -> Frame:
    """An ephemeral frame of 30 KB."""
    typing = UserTyping(session_id=UUID(room), user=Person(id=UUID(room), name="x" * 30_000))
    return Frame(UUID(room), None, typing.model_dump_json())


async def make_room(client: AsyncClient, owner: User, **fields: Any) -> str:
    """Id of a new room, in which the spirit is silent unless told otherwise."""
    body = {"name": "Kitchen", "spirit_mode": "off", **fields}
    response = await client.post("/api/v1/sessions", json=body, headers=owner.headers)
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def invite_guest(client: AsyncClient, owner: User, room: str, name: str = "Guest") -> dict[str, str]:
    """Headers of a guest of the room."""
    invited = await client.post(f"/api/v1/sessions/{room}/invites", headers=owner.headers)
    joined = await client.post("/api/v1/sessions/join", json={"invite": invited.json()["invite"], "name": name})
    return {"Authorization": f"Bearer {joined.json()['access_token']}"}


class Follower:
    """A stream of Server-Sent Events: collects frames, and the ids that they came with."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.frames: list[dict[str, Any]] = []
        self.ids: list[int | None] = []
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """The next frame. Raises StopAsyncIteration: the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            while line := await anext(self._lines):
                name, _, value = line.partition(": ")
                self.comments += not name
                fields[name] = value
        if "data" not in fields:
            return await self.next()
        frame = json.loads(fields["data"])
        assert fields["event"] == frame["type"]
        self.frames.append(frame)
        self.ids.append(int(fields["id"]) if "id" in fields else None)
        return frame

    async def next_of(self, kind: str) -> dict[str, Any]:
        while (frame := await self.next())["type"] != kind:
            pass
        return frame

    async def hear(self, count: int) -> list[str]:
        """Texts of the next `count` messages."""
        return [(await self.next_of("message_received"))["text"] for _ in range(count)]

    async def closed(self) -> dict[str, Any]:
        """The last frame of a stream that the server ends."""
        try:
            while True:
                await self.next()
        except StopAsyncIteration:
            return self.frames[-1]


@asynccontextmanager
async def follow(
    client: AsyncClient, room: str, headers: dict[str, str], *, query: str = "", last_event_id: int | None = None
) -> AsyncIterator[Follower]:
    """`GET /chat/{room}/events`."""
    async with follow_path(client, f"chat/{room}", headers, query=query, last_event_id=last_event_id) as follower:
        yield follower


@asynccontextmanager
async def follow_path(
    client: AsyncClient, path: str, headers: dict[str, str], *, query: str = "", last_event_id: int | None = None
) -> AsyncIterator[Follower]:
    """`GET /{path}/events`."""
    known = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with client.stream("GET", f"/api/v1/{path}/events{query}", headers=headers | known) as response:
        assert response.status_code == 200, await response.aread()
        yield Follower(response)
