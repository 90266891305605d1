"""What connections cost: memory when idle, a thousand that come back at once, and one that does not read.

    python -m benchmarks.connections

1,000 people with log-ins of their own, ten in each of 100 rooms. The clients are a process of their own; PostgreSQL is
reached through a proxy that counts questions.
"""

import asyncio
import os
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from uuid import UUID

import psutil
from sqlalchemy import make_url
from uuid_utils.compat import uuid7

from app.events import utc_now
from app.models import Login, LoginKind, Participant, User
from app.resources import Resources, open_resources
from app.security import Claims, TokenType, make_tokens
from app.settings import Settings
from benchmarks.crowd import Crowd, Plan, crowd, p99
from benchmarks.measuring import machine, prepared_settings, settle
from tests.factories import make_user
from tests.processes import LiveServer, start_server
from tests.rooms import make_room

ROOMS, MEMBERS = 100, 10
MISSED = 5  # messages that everybody who comes back has missed
NO_LIMIT = "100000000/minute"
OPTIONS = {"RATE_LIMIT_REQUESTS": NO_LIMIT, "RATE_LIMIT_MESSAGES": NO_LIMIT, "RATE_LIMIT_FRAMES": NO_LIMIT}
GROUP = 50  # people that come together while memory is measured
QUERY, EXECUTE = b"Q", b"E"
SSL_REQUEST = (80877103).to_bytes(4, "big")
TRANSACTION = (b"BEGIN", b"COMMIT", b"ROLLBACK")
STALLED_FRAMES, STALLED_RATE = 400, 100
STALLED_ROUNDS = 8


@dataclass(frozen=True)
class Person:
    room: str
    token: str
    user_id: UUID

    def handshake(self, after_seq: int | None) -> bytes:
        query = "" if after_seq is None else f"?after_seq={after_seq}"
        return (
            f"GET /ws/chat/{self.room}{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nAuthorization: Bearer {self.token}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()


class Counter:
    """Between a server and PostgreSQL: counts what is asked, beginnings and ends of transactions apart."""

    def __init__(self, folder: str) -> None:
        self._target = f"{folder}/.s.PGSQL.5432"
        self.questions = 0
        self.transactions = 0

    async def __aenter__(self) -> "Counter":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            opening = await self._opening(reader)
            if opening[4:] == SSL_REQUEST:
                writer.write(b"N")
                opening = await self._opening(reader)
            far_writer.write(opening)
            self._back = asyncio.create_task(self._copy(far_reader, writer))
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
                self._count(head[:1], body)
                far_writer.write(head + body)
        far_writer.close()

    async def _opening(self, reader: asyncio.StreamReader) -> bytes:
        length = await reader.readexactly(4)
        return length + await reader.readexactly(int.from_bytes(length, "big") - 4)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    def _count(self, kind: bytes, body: bytes) -> None:
        if kind == EXECUTE or (kind == QUERY and not body.startswith(TRANSACTION)):
            self.questions += 1
        elif kind == QUERY:
            self.transactions += 1


@asynccontextmanager
async def counted(settings: Settings) -> AsyncIterator[tuple[Settings, Counter]]:
    url = make_url(settings.database.url.get_secret_value())
    async with Counter(str(url.query["host"])) as counter:
        through = url.set(host="127.0.0.1", port=counter.port, query={})
        database = settings.database.model_copy(
            update={"url": type(settings.database.url)(through.render_as_string(hide_password=False))}
        )
        yield settings.model_copy(update={"database": database}), counter


async def make_people(resources: Resources, rooms: Sequence[str]) -> list[Person]:
    """With log-ins of their own, made without passwords, for hashing a thousand takes its time."""
    tokens = make_tokens(resources.settings)
    people = []
    async with resources.uow() as uow:
        for room in rooms:
            for number in range(MEMBERS):
                user_id, login_id = uuid7(), uuid7()
                uow.users.add(User(id=user_id, name=f"Person {number}", email=f"{user_id.hex}@example.com"))
                await uow.flush()
                end = utc_now() + timedelta(days=1)
                uow.logins.add(Login(id=login_id, user_id=user_id, kind=LoginKind.TOKEN, expires_at=end))
                uow._session.add(Participant(session_id=UUID(room), user_id=user_id))
                claims = Claims(TokenType.ACCESS, user_id, login_id=login_id)
                people.append(Person(room, tokens.issue(claims, timedelta(hours=1)), user_id))
    return people


class Returning(asyncio.Protocol):
    """One who comes back, and is there when the last message has come."""

    def __init__(self, handshake: bytes, is_there: asyncio.Future[float], last: bytes) -> None:
        self._handshake = handshake
        self._is_there = is_there
        self._last = last
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._last in self._data and not self._is_there.done():
            self._is_there.set_result(time.perf_counter())
            self._data = b""

    def connection_lost(self, _: Exception | None) -> None:
        if not self._is_there.done():
            self._is_there.set_exception(ConnectionError(self._data[-300:].decode(errors="replace")))


async def come_back(
    server: LiveServer, people: Sequence[Person], after_seq: int | None, last: bytes
) -> tuple[list[float], list[asyncio.BaseTransport]]:
    """Seconds until each is live again, with everything that was missed."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    futures: list[asyncio.Future[float]] = [loop.create_future() for _ in people]

    async def connect(person: Person, future: asyncio.Future[float]) -> asyncio.BaseTransport:
        transport, _ = await loop.create_connection(
            lambda: Returning(person.handshake(after_seq), future, last), "127.0.0.1", server.port
        )
        return transport

    transports = await asyncio.gather(*map(connect, people, futures))
    return [at - started for at in await asyncio.gather(*futures)], transports


async def measure_memory(server: LiveServer, people: Sequence[Person]) -> list[asyncio.BaseTransport]:
    process = psutil.Process(server.process.pid)
    transports = []
    for start in range(0, len(people), GROUP):
        _, more = await come_back(server, people[start : start + GROUP], None, b'"welcome"')
        transports += more
        if start == 0:
            await settle(3)
            before = process.memory_full_info().uss
    await settle(5)
    cost = (process.memory_full_info().uss - before) / (len(people) - GROUP)
    print(f"memory of an idle connection, {len(people):,} people in {ROOMS} rooms: {cost / 1024:.1f} KiB")
    return transports


async def measure_storm(
    settings: Settings, people: Sequence[Person], name: str, *, after_seq: int, last: bytes
) -> None:
    async with (
        counted(settings) as (through, counter),
        start_server(through, worker=False, **OPTIONS) as server,
    ):
        await settle(3)
        before, transactions = counter.questions, counter.transactions
        took, transports = await come_back(server, people, after_seq, last)
        questions = counter.questions - before
        print(
            f"{name}: {len(people):,} come back at once: all live after {max(took):.2f} s (half after "
            f"{sorted(took)[len(took) // 2]:.2f} s), {questions} questions to the database, "
            f"{(counter.transactions - transactions) // 2} transactions"
        )
        for transport in transports:
            transport.abort()


def stall(server: LiveServer, person: Person) -> socket.socket:
    """Somebody who enters the room and never reads."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect(("127.0.0.1", server.port))
    opened.sendall(person.handshake(None))
    return opened


async def measure_stalled(server: LiveServer, person: Person, headers: str) -> None:
    """Latencies of 100 who read, with one among them who does not, and twice without, in turn: how much the two
    without differ is what this machine cannot tell apart. Of each, the median of the rounds' p99.
    """
    plan = Plan(
        server.port,
        [f"/ws/chat/{person.room}"],
        headers,
        100,
        '{"type":"typing"}',
        '"type":"typing"',
        ready='"type":"welcome"',
    )
    healthy: list[float] = []
    beside: list[float] = []
    control: list[float] = []
    async with crowd(plan) as clients:
        for _ in range(STALLED_ROUNDS):
            healthy.append(await _slowest(clients))
            sleeper = stall(server, person)
            beside.append(await _slowest(clients))
            sleeper.close()
            await settle(0.5)
            control.append(await _slowest(clients))
    with_it, without, again = (median(rounds) for rounds in (beside, healthy, control))
    print(
        f"one of 101 does not read: p99 of the others {with_it * 1000:.2f} ms, without it {without * 1000:.2f} ms, "
        f"ratio {with_it / without:.2f}; without it once more {again * 1000:.2f} ms, ratio {again / without:.2f}"
    )


async def _slowest(clients: Crowd) -> float:
    """The p99, after so much at once that the buffers of who does not read are full."""
    await clients.flood(1.0, 64)
    await settle(0.5)
    return p99(await clients.pace(STALLED_FRAMES / STALLED_RATE, STALLED_RATE))


async def measure() -> None:
    print(machine())
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(prepared_settings())
        resources = await stack.enter_async_context(open_resources(settings))
        last = f'"seq":{MISSED}'.encode()
        options = OPTIONS | {"REALTIME_HEARTBEAT": "600"}
        async with start_server(settings, worker=False, **options) as server:
            async with server.client() as client:
                user = await make_user(client)
                rooms = [await make_room(client, user, max_users=1000) for _ in range(ROOMS + 1)]
            people = await make_people(resources, rooms[:ROOMS])
            crowded = [replace(person, room=rooms[ROOMS]) for person in people]
            async with resources.uow() as uow:
                for person in people:
                    await uow.sessions.add_participant(UUID(rooms[ROOMS]), person.user_id)
            for transport in await measure_memory(server, people):
                transport.abort()
            await settle(3)
            async with server.client() as client:
                for room in rooms:
                    for number in range(MISSED):
                        path = f"/api/v1/chat/{room}/messages"
                        await client.post(path, json={"text": f"Hello {number}"}, headers=user.headers)
            await measure_stalled(server, people[0], f"Authorization: Bearer {user.access_token}\r\n")
        await measure_storm(settings, people, f"{ROOMS} rooms x {MEMBERS}", after_seq=1, last=last)
        await measure_storm(settings, crowded, f"1 room x {len(crowded):,}", after_seq=1, last=last)


if __name__ == "__main__":
    asyncio.run(measure())
