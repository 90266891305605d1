"""Rooms: how soon a message is acknowledged, and how many deliveries a second one server process makes.

python -m benchmarks.fanout
"""

import asyncio
import json
import os
import sys
import textwrap
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from websockets.asyncio.client import ClientConnection, connect

from app.settings import Settings
from benchmarks.measuring import in_turn, machine, p50, percentiles, prepared_settings, settle
from tests.factories import User, make_user
from tests.processes import LiveServer, free_port, start_server, stop_process, wait_until_live
from tests.rooms import make_room

LISTENERS = 100
SHOUTS = 600
MESSAGES = 300
TEXT = "The kettle is on, come over when you like. " * 3

# The reference: what every tutorial does, without storing, numbering, or protection from slow readers.
NAIVE = textwrap.dedent(
    """
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()
    members = set()

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.websocket("/ws/room")
    async def room(socket: WebSocket):
        await socket.accept()
        members.add(socket)
        try:
            while True:
                text = await socket.receive_text()
                for member in tuple(members):
                    await member.send_text(text)
        except WebSocketDisconnect:
            members.discard(socket)
    """
)


class Listener(asyncio.Protocol):
    """A WebSocket client that only counts frames: the clients share the machine with the server."""

    def __init__(self, path: str, headers: str, wanted: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
        )
        self._wanted = b'{"type":"' + wanted.encode()
        self._buffer = b""
        self._is_open = False
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self._is_open = True
        start = 0
        while len(data) - start >= 4:
            length, header = data[start + 1], 2
            if length == 126:
                length, header = int.from_bytes(data[start + 2 : start + 4], "big"), 4
            if len(data) - start < header + length:
                break
            self.count += data.startswith(self._wanted, start + header)
            start += header + length
        self._buffer = data[start:]


async def listen(port: int, path: str, token: str, wanted: str, expected: int) -> None:
    """In a process of its own: say `ready`, then how long it took until everybody had `expected` frames."""
    headers = f"Authorization: Bearer {token}\r\n" if token else ""
    loop = asyncio.get_running_loop()
    listeners = []
    for _ in range(LISTENERS):
        _, protocol = await loop.create_connection(lambda: Listener(path, headers, wanted), "127.0.0.1", port)
        listeners.append(protocol)
    await asyncio.sleep(2)
    print("ready", flush=True)
    while not any(listener.count for listener in listeners):  # noqa: ASYNC110 - counting is all a listener does
        await asyncio.sleep(0.001)
    started = time.perf_counter()
    while min(listener.count for listener in listeners) < expected:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    print(time.perf_counter() - started, flush=True)


@asynccontextmanager
async def listening(port: int, path: str, token: str, wanted: str, expected: int) -> AsyncIterator[asyncio.Task[float]]:
    arguments = [str(port), path, token, wanted, str(expected)]
    command = (sys.executable, "-m", "benchmarks.fanout", "listen", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"

    async def took() -> float:
        assert process.stdout is not None
        return float(await asyncio.wait_for(process.stdout.readline(), 120))

    yield asyncio.create_task(took())
    await stop_process(process)


async def shout(socket: ClientConnection, frame: str, times: int) -> None:
    """Send without waiting, and read what comes back, so that nobody is slow."""

    async def drain() -> None:
        async for _ in socket:
            pass

    draining = asyncio.create_task(drain())
    for _ in range(times):
        await socket.send(frame)
    await asyncio.sleep(1)
    draining.cancel()


async def fan_out(port: int, path: str, token: str, wanted: str, frame: str, times: int) -> float:
    """Deliveries a second to all listeners of one room."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        listening(port, path, token, wanted, times) as took,
        connect(f"ws://127.0.0.1:{port}{path}", additional_headers=headers) as socket,
    ):
        await asyncio.gather(shout(socket, frame, times), took)
        return times * LISTENERS / took.result()


@asynccontextmanager
async def naive_server() -> AsyncIterator[LiveServer]:
    with TemporaryDirectory() as folder:
        (Path(folder) / "naive.py").write_text(NAIVE)
        port = free_port()
        environment = {"PYTHONPATH": folder, "PATH": "/usr/bin"}
        options = ("--port", str(port), "--log-level", "warning", "--ws-per-message-deflate", "false")
        command = (sys.executable, "-m", "uvicorn", "naive:app", *options)
        server = LiveServer(port, await asyncio.create_subprocess_exec(*command, env=environment), None, environment)
        try:
            await wait_until_live(server)
            yield server
        finally:
            await stop_process(server.process)


async def measure_acknowledgement(server: LiveServer, settings: Settings, user: User, room: str) -> None:
    """From sending to hearing it back, stored and numbered; beside it one row committed by the bare driver."""
    url = settings.database.url.get_secret_value().replace("+asyncpg", "")
    database = await asyncpg.connect(url)
    await database.execute("CREATE TABLE notes (id bigserial PRIMARY KEY, text text)")
    async with connect(f"{server.ws_url}/ws/chat/{room}", additional_headers=user.headers) as socket:
        await socket.recv()

        async def say() -> None:
            await socket.send(json.dumps({"type": "send_message", "text": TEXT}))
            while json.loads(await socket.recv())["type"] != "message_received":
                pass

        async def store() -> None:
            await database.execute("INSERT INTO notes (text) VALUES ($1)", TEXT)

        ours, bare = await in_turn(say, store, rounds=10, times=50)
    await database.close()
    print(f"acknowledged       p50 / p95 {percentiles(ours)}")
    print(f"one row, committed p50 / p95 {percentiles(bare)}; ratio {p50(ours) / p50(bare):.1f}")


async def measure() -> None:
    print(machine())
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=False, RATE_LIMIT_ENABLED="false") as server,
        naive_server() as naive,
    ):
        async with server.client() as client:
            user = await make_user(client)
            rooms = [await make_room(client, user, max_users=1000) for _ in range(3)]
        await settle()
        await measure_acknowledgement(server, settings, user, rooms[0])
        typing, said = json.dumps({"type": "typing"}), json.dumps({"type": "send_message", "text": TEXT})
        echoed = json.dumps({"type": "typing", "text": "x" * 200}, separators=(",", ":"))
        token = user.access_token
        for _ in range(3):
            ours = await fan_out(server.port, f"/ws/chat/{rooms[1]}", token, "typing", typing, SHOUTS)
            plain = await fan_out(naive.port, "/ws/room", "", "typing", echoed, SHOUTS)
            print(f"1 room x {LISTENERS}: {ours:,.0f} deliveries/s, naive loop {plain:,.0f}; ratio {ours / plain:.2f}")
        stored = await fan_out(server.port, f"/ws/chat/{rooms[2]}", token, "message_received", said, MESSAGES)
        print(f"stored and numbered: {stored / LISTENERS:,.0f} messages/s of one sender, {stored:,.0f} deliveries/s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        asyncio.run(listen(int(sys.argv[2]), *sys.argv[3:6], int(sys.argv[6])))
    else:
        asyncio.run(measure())
