"""Several processes' worth of hubs in one test, and a Redis that can be taken away."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from uuid_utils.compat import uuid7

from app.events import Frame, MessageReceived, UserTyping
from app.realtime.channels import Listener
from app.realtime.hub import Hub
from app.realtime.outbox import CloseCode, CutOff
from app.realtime.presence import Presence
from app.repositories import UnitOfWork
from app.repositories.engine import Sessions, create_engine
from app.settings import RealtimeSettings, Settings

PATIENCE = 5.0  # seconds


class Log:
    """The event log as a hub reads it; counts how often it is asked for frames."""

    def __init__(self, sessions: Sessions) -> None:
        self._uow = partial(UnitOfWork, sessions, lambda _: None)
        self.reads = 0

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]:
        self.reads += 1
        async with self._uow() as uow:
            return await uow.events.list_after(channel_id, seq, limit=limit)

    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]:
        async with self._uow() as uow:
            return await uow.events.last_seqs(channel_ids)

    async def first_seq(self, channel_id: UUID) -> int | None:
        async with self._uow() as uow:
            return await uow.events.first_seq(channel_id)


@dataclass
class Node:
    """What one server process has."""

    hub: Hub
    presence: Presence
    log: Log
    sessions: Sessions
    redis: Redis | RedisCluster

    async def open_channel(self) -> UUID:
        channel_id = uuid7()
        async with UnitOfWork(self.sessions, self.hub.publish) as uow:
            uow.events.open(channel_id)
        return channel_id

    async def post(self, channel_id: UUID, text: str = "hello", *, is_carried: bool = True) -> int:
        """Store and publish a message; one that is not carried is what a crash after the commit leaves."""
        event = MessageReceived(session_id=channel_id, user_id=None, user_name="Ada", text=text, is_spirit=False)
        async with UnitOfWork(self.sessions, self.hub.publish if is_carried else lambda _: None) as uow:
            return await uow.events.append(channel_id, event)

    def type(self, channel_id: UUID, name: str = "Ada") -> None:
        event = UserTyping(session_id=channel_id, user={"id": uuid7(), "name": name})
        self.hub.publish(Frame(channel_id, None, event.model_dump_json()))

    async def seqs_of_log(self, channel_id: UUID) -> list[int | None]:
        return [frame.seq for frame in await self.log.list_after(channel_id, 0, limit=100_000)]


@dataclass
class Reader:
    """A client that reads all it gets."""

    listener: Listener
    seqs: list[int] = field(default_factory=list)
    others: list[dict] = field(default_factory=list)
    cut_off: CloseCode | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        try:
            while True:
                frame = json.loads(await self.listener.outbox.take())
                if "seq" in frame:
                    self.seqs.append(frame["seq"])
                else:
                    self.others.append(frame)
                self._news.set()
        except CutOff as cut:
            self.cut_off = cut.code
            self._news.set()

    async def until(self, seq: int, patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            while not self.seqs or self.seqs[-1] < seq:
                self._news.clear()
                await self._news.wait()

    async def until_told(self, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.others) < count:
                self._news.clear()
                await self._news.wait()

    async def until_cut_off(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.cut_off is None:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def reading(node: Node, channel_id: UUID, after_seq: int | None = None) -> AsyncIterator[Reader]:
    async with node.hub.attach(channel_id) as listener:
        reader = Reader(listener)
        task = asyncio.create_task(reader.read())
        await node.hub.follow(listener, after_seq)
        yield reader
        task.cancel()


@asynccontextmanager
async def open_node(
    settings: Settings, *, redis_url: str | None = None, retries: int = 0, is_cluster: bool = False, **realtime: object
) -> AsyncIterator[Node]:
    """A hub and a presence as in a process of its own. Sweeps are rare, so that tests see what Redis does alone."""
    url = redis_url or settings.redis.url.get_secret_value()
    tuned = RealtimeSettings(**{"sweep_interval": 60, **realtime})
    retry = Retry(NoBackoff(), retries)
    redis = (RedisCluster if is_cluster else Redis).from_url(
        url, decode_responses=True, protocol=2, socket_connect_timeout=1, retry=retry
    )
    engine = create_engine(settings.database)
    sessions = Sessions.over(engine)
    log = Log(sessions)
    prefix = settings.redis.prefix
    async with Hub(redis, log, tuned, prefix=prefix) as hub, Presence(redis, hub.publish, tuned, prefix=prefix) as here:
        yield Node(hub, here, log, sessions, redis)
    await redis.aclose()
    await engine.dispose()


class Proxy:
    """Stands between a node and Redis. `cut` closes and refuses connections; `stall` keeps them and says nothing."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._pumps: set[asyncio.Task] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        self._is_cut = True
        for pump in self._pumps:
            pump.cancel()

    def restore(self) -> None:
        self._is_cut = False
        self._flows.set()

    def stall(self) -> None:
        self._flows.clear()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address, _, _ = self._target.removeprefix("unix://").removeprefix("redis://").partition("?")
        if self._target.startswith("unix"):
            return await asyncio.open_unix_connection(address)
        host, _, port = address.partition("/")[0].partition(":")
        return await asyncio.open_connection(host, int(port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
            self._pumps.discard(pump)
        writer.close()
        far_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
