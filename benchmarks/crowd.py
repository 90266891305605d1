"""Many WebSocket clients in one cheap process, for they share the machine with the server they measure.

They count how often a marker occurs in what they receive, instead of parsing it. Runs as a process of its own that
takes orders as JSON lines: `{"connect": …}`, `{"flood": …}`, `{"pace": …}`; `Crowd` gives them.
"""

import asyncio
import itertools
import json
import os
import select
import socket
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

PATIENCE = 60.0  # seconds
BURST = 16  # frames that a flooding sender writes at once


@dataclass(frozen=True)
class Plan:
    """Where to connect. The first client of each room only speaks; `greeting` is what every client says first."""

    port: int
    paths: Sequence[str]  # one a room
    headers: str
    listeners: int  # in each room
    shout: str
    marker: str
    greeting: str = ""
    ready: str = ""  # what a client has received when it is in the room


@dataclass(frozen=True)
class Flood:
    deliveries: float  # a second
    load: float  # of the clients' process, of one core


class Client:
    def __init__(self, plan: Plan, room: int) -> None:
        self.room = room
        self.count = 0
        self.tail = b""
        self.is_ready = False
        self._plan = plan
        self.socket = socket.create_connection(("127.0.0.1", plan.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            (
                f"GET {plan.paths[room]} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\n{plan.headers}Sec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
            ).encode()
        )

    def enter(self) -> None:
        """Read until the client is in the room."""
        self.socket.settimeout(PATIENCE)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        if not data.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(data.decode(errors="replace"))
        if self._plan.greeting:
            self.socket.sendall(masked(self._plan.greeting))
        while self._plan.ready.encode() not in data:
            data += self._some()
        self.socket.setblocking(False)

    def _some(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("closed while entering")
        return data


def masked(text: str) -> bytes:
    """A client's frame, with the mask 0, which changes nothing."""
    payload = text.encode()
    length = len(payload)
    head = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return b"\x81" + head + bytes(4) + payload


class Swarm:
    def __init__(self, plan: Plan) -> None:
        self._marker = plan.marker.encode()
        self._frame = masked(plan.shout)
        rooms = range(len(plan.paths))
        self._speakers = [self._client(plan, room) for room in rooms]
        self._listeners = [[self._client(plan, room) for _ in range(plan.listeners)] for room in rooms]
        everyone = itertools.chain(self._speakers, *self._listeners)
        self._everyone = {client.socket.fileno(): client for client in everyone}
        self._poll = select.epoll()
        for number in self._everyone:
            self._poll.register(number, select.EPOLLIN)
        self._sent = [0] * len(rooms)
        self._quieten(1.0)

    def flood(self, seconds: float, window: int) -> dict[str, float]:
        """As many deliveries as there can be, while at most `window` frames of a room are on their way."""
        self._flood_for(0.3, window)
        counted, used, started = self._total(), time.process_time(), time.perf_counter()
        self._flood_for(seconds, window)
        took = time.perf_counter() - started
        result = {"deliveries": (self._total() - counted) / took, "load": (time.process_time() - used) / took}
        self._quieten(0.5)
        return result

    def pace(self, seconds: float, rate: float) -> list[float]:
        """Seconds from sending to receiving, for `rate` frames a second in each room."""
        rooms = len(self._speakers)
        base = [[client.count for client in room] for room in self._listeners]
        sent: list[list[float]] = [[] for _ in range(rooms)]
        position = {
            client: (room, at) for room, members in enumerate(self._listeners) for at, client in enumerate(members)
        }
        latencies: list[float] = []
        interval = 1 / (rate * rooms)
        started = time.perf_counter()
        number, end = 0, started + seconds
        while (now := time.perf_counter()) < end + 0.5:
            due = started + number * interval
            if now >= due and due < end:
                room = number % rooms
                sent[room].append(time.perf_counter())
                self._speakers[room].socket.send(self._frame)
                number += 1
                continue
            for client, news in self._receive(min(max(due - now, 0), 0.05) if due < end else 0.05):
                if client in position:
                    room, at = position[client]
                    first, arrived = client.count - news - base[room][at], time.perf_counter()
                    latencies += [arrived - sent[room][first + index] for index in range(news)]
        return latencies

    def _client(self, plan: Plan, room: int) -> Client:
        client = Client(plan, room)
        client.enter()
        return client

    def _flood_for(self, seconds: float, window: int) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for room, speaker in enumerate(self._speakers):
                slowest = min(client.count for client in self._listeners[room])
                free = slowest + window - self._sent[room]
                if free >= min(BURST, window):
                    speaker.socket.send(self._frame * free)
                    self._sent[room] += free
            for _ in self._receive(0.01):
                pass

    def _quieten(self, seconds: float) -> None:
        """Until nothing more comes; counting begins anew."""
        last = time.perf_counter()
        while time.perf_counter() - last < seconds:
            for _, news in self._receive(0.05):
                last = time.perf_counter() if news else last
        for client in self._everyone.values():
            client.count = 0
        self._sent = [0] * len(self._speakers)

    def _receive(self, wait: float) -> list[tuple[Client, int]]:
        heard = []
        for number, _ in self._poll.poll(wait):
            client = self._everyone[number]
            data = client.socket.recv(262_144)
            if not data:
                raise ConnectionError("the server closed a connection")
            text = client.tail + data
            news = text.count(self._marker)
            client.tail = text[1 - len(self._marker) :]
            client.count += news
            heard.append((client, news))
        return heard

    def _total(self) -> int:
        return sum(client.count for room in self._listeners for client in room)


def obey() -> None:
    """The process: one answer a line for one order a line."""
    swarm: Swarm | None = None
    for line in sys.stdin:
        match json.loads(line):
            case {"connect": plan}:
                swarm = Swarm(Plan(**plan))
                answer: object = "ready"
            case {"flood": [seconds, window]} if swarm:
                answer = swarm.flood(seconds, window)
            case {"pace": [seconds, rate]} if swarm:
                answer = swarm.pace(seconds, rate)
        print(json.dumps(answer), flush=True)


class Crowd:
    """The other end: gives the orders."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def connect(self, plan: Plan) -> None:
        await self._order(connect=asdict(plan))

    async def flood(self, seconds: float, window: int) -> Flood:
        return Flood(**await self._order(flood=[seconds, window]))

    async def pace(self, seconds: float, rate: float) -> list[float]:
        latencies: list[float] = await self._order(pace=[seconds, rate])
        return latencies

    async def _order(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not answer:
            raise ConnectionError("the clients' process ended")
        return json.loads(answer)


@asynccontextmanager
async def crowd(plan: Plan) -> AsyncIterator[Crowd]:
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "limit": 2**27}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.crowd", **pipes)
    try:
        opened = Crowd(process)
        await opened.connect(plan)
        yield opened
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


if __name__ == "__main__":
    obey()
