"""What this process listens to in Redis: on one connection, or in a cluster on one to each server that has channels.

In a cluster channels are sharded: a message stays with the server that its channel belongs to, instead of being told to
all servers. Where channels move, since the cluster is laid out anew or a replica takes over, they are followed.
https://valkey.io/topics/cluster-spec/#publishsubscribe
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.realtime.cancellation import cancel_until_done
from app.realtime.outages import REDIS_FAILURES

log = structlog.get_logger(__name__)

SILENCE: Final = 5.0  # seconds without a word before the connection is asked whether it lives
CALL_PATIENCE: Final = 1.0  # seconds
LAYOUT_PATIENCE: Final = 3.0  # seconds in which one of a cluster's servers says which channels are where
RETRY_PAUSE: Final = 0.5  # seconds; as often the log is asked while Redis is away

Hear = Callable[[str, str], None]
"""Gets the name of a channel, and what was published there."""


class Subscriptions(Protocol):
    """A `Line`, or the `Lines` of a cluster."""

    async def join(self, name: str) -> None: ...
    def leave(self, name: str) -> None: ...
    async def stop(self) -> None: ...


class Line:
    """One connection to one server, with RESP2, on which redis-py is a third faster for pub/sub.

    `lost` is called whenever messages may have been missed, `broken` when the connection has to be made anew.
    """

    def __init__(
        self,
        redis: Redis,
        keeper: str,
        *,
        hear: Hear,
        lost: Callable[[], None],
        is_sharded: bool = False,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._keeper = keeper  # is listened to always, so that the connection stays open while no channel is
        self._is_sharded = is_sharded
        self._hear = hear
        self._lost = lost
        self._broken = broken
        self._wanted: set[str] = set()
        self._told: set[str] = set()  # what Redis was asked for on this connection
        self._telling = asyncio.Lock()
        self._confirmed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._pubsub: PubSub | None = None
        self._tasks = {asyncio.create_task(self._listen_forever())}

    async def stop(self) -> None:
        await cancel_until_done(self._tasks)

    async def join(self, name: str) -> None:
        """Listen to a channel; returns when Redis has confirmed it, or cannot for now."""
        self._wanted.add(name)
        await self._tell()
        if self._pubsub is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_PATIENCE):
                    await self._confirmed[name].wait()

    def leave(self, name: str) -> None:
        """Stop listening, unless somebody has joined again by the time this is carried out."""
        self._wanted.discard(name)
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        """Bring Redis from what it was told to what is wanted by now; one at a time, so that the last word is right."""
        async with self._telling:
            missing, unwanted = self._wanted - self._told, self._told - self._wanted
            if self._pubsub is None or not (missing or unwanted):
                return
            try:
                async with asyncio.timeout(CALL_PATIENCE):
                    if missing:
                        await self._subscribe(self._pubsub, missing)
                    if unwanted:
                        self._forget(unwanted)
                        await self._unsubscribe(self._pubsub, unwanted)
            except REDIS_FAILURES:
                return  # told again by the listener, on this connection or the next
            self._told = (self._told | missing) - unwanted

    async def _subscribe(self, pubsub: PubSub, names: set[str]) -> None:
        if not self._is_sharded:
            await pubsub.subscribe(*names)
            return
        for name in names:  # one call may name channels of one slot only
            await pubsub.ssubscribe(name)

    async def _unsubscribe(self, pubsub: PubSub, names: set[str]) -> None:
        if not self._is_sharded:
            await pubsub.unsubscribe(*names)
            return
        for name in names:
            await pubsub.sunsubscribe(name)

    def _forget(self, names: set[str]) -> None:
        for name in names:
            self._confirmed.pop(name, None)

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._listen(pubsub)
            except Exception as error:  # whatever it is, the answer is a new connection
                log.warning("realtime.redis_lost", error=repr(error))
            finally:
                self._pubsub = None
            self._broken()
            self._lost()
            await asyncio.sleep(RETRY_PAUSE)

    async def _listen(self, pubsub: PubSub) -> None:
        self._told = set()
        self._confirmed.clear()
        async with asyncio.timeout(CALL_PATIENCE):
            await pubsub.subscribe(self._keeper)
        self._pubsub = pubsub
        await self._tell()
        self._lost()
        is_asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if message is not None:
                is_asked = False
                self._handle(message)
                continue
            if is_asked:
                raise TimeoutError("Redis does not answer a ping")
            is_asked = True
            async with asyncio.timeout(CALL_PATIENCE):
                await pubsub.ping()
            await self._tell()

    def _handle(self, message: Mapping[str, Any]) -> None:
        name = message["channel"]
        match message["type"]:
            case "message" | "smessage":
                self._hear(name, message["data"])
            case "subscribe" | "ssubscribe":
                if self._confirmed[name].is_set():
                    self._lost()  # redis-py reconnected and subscribed again without a word
                self._confirmed[name].set()
            case "sunsubscribe" if name in self._told:
                raise ConnectionError("The channel went to another server")


class Lines:
    """A line to each server to which channels of ours belong; they are sorted anew whenever a line has trouble."""

    def __init__(self, redis: RedisCluster, keeper: str, *, hear: Hear, lost: Callable[[], None]) -> None:
        self._redis = redis
        self._keeper = keeper
        self._hear = hear
        self._lost = lost
        self._servers: dict[str, str | None] = {}  # channel -> server on whose line it is; None: not known yet
        self._lines: dict[str, Line] = {}
        self._clients: dict[str, Redis] = {}
        self._in_trouble = asyncio.Event()
        self._in_trouble.set()  # where channels belong is not known yet
        self._sorting = asyncio.create_task(self._sort_forever())

    async def join(self, name: str) -> None:
        """Returns when Redis has confirmed it, or cannot for now."""
        self._servers.setdefault(name, None)
        line = self._sort(name)
        if line is not None:
            await line.join(name)

    def leave(self, name: str) -> None:
        server = self._servers.pop(name, None)
        if server in self._lines:
            self._lines[server].leave(name)

    async def stop(self) -> None:
        await cancel_until_done([self._sorting])
        for server in tuple(self._lines):
            await self._hang_up(server)

    async def _sort_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    await self._in_trouble.wait()
            try:
                if self._in_trouble.is_set():
                    await asyncio.sleep(RETRY_PAUSE if self._lines else 0)
                    self._in_trouble.clear()
                    await self._look_at_layout()
                await self._sort_all()
            except Exception as error:
                log.warning("realtime.cluster_layout_unknown", error=repr(error))
                self._in_trouble.set()
                await asyncio.sleep(RETRY_PAUSE)

    async def _look_at_layout(self) -> None:
        async with asyncio.timeout(LAYOUT_PATIENCE):
            await self._redis.aclose()  # so that it asks again
            await self._redis.initialize()

    async def _sort_all(self) -> None:
        """Join on the right line what is on a wrong one or on none; hang up where there is nothing left to hear."""
        wrong = [name for name, server in self._servers.items() if server != self._server_of(name)]
        lines = [(self._sort(name), name) for name in wrong]
        await asyncio.gather(*(line.join(name) for line, name in lines if line is not None))
        for server in set(self._lines) - set(self._servers.values()):
            await self._hang_up(server)
        if wrong:
            self._lost()

    def _sort(self, name: str) -> Line | None:
        """The line that the channel belongs on, and off any other; None while that is not known."""
        try:
            node = self._redis.get_node_from_key(name)
        except REDIS_FAILURES:
            node = None
        if node is None:
            return None
        before, self._servers[name] = self._servers[name], node.name
        if before != node.name and before in self._lines:
            self._lines[before].leave(name)
        if node.name not in self._lines:
            self._clients[node.name] = _client_of(node)
            self._lines[node.name] = Line(
                self._clients[node.name],
                self._keeper,
                hear=self._hear,
                lost=self._lost,
                is_sharded=True,
                broken=self._in_trouble.set,
            )
        return self._lines[node.name]

    def _server_of(self, name: str) -> str | None:
        node = self._redis.get_node_from_key(name)
        return None if node is None else str(node.name)

    async def _hang_up(self, server: str) -> None:
        await self._lines.pop(server).stop()
        await self._clients.pop(server).aclose()


def _client_of(node: ClusterNode) -> Redis:
    """For the one connection of a line, which is never renewed in silence."""
    options = node.connection_kwargs | {"protocol": 2, "retry": Retry(NoBackoff(), 0), "socket_timeout": None}
    return Redis.from_pool(ConnectionPool(connection_class=node.connection_class, **options))
