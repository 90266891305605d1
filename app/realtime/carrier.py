"""Redis pub/sub: carries frames between processes, as fast as it can and no more.

One connection per process, with RESP2, on which redis-py is a third faster for pub/sub. Whatever is lost on the way
is found again by the hub, so nothing here is retried.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from uuid_utils.compat import uuid7

from app.events import Frame

log = structlog.get_logger(__name__)

QUEUE_SIZE = 10_000
BATCH_SIZE = 200
SILENCE = 5.0  # seconds without a word before the connection is asked whether it lives
RETRY_PAUSE = 0.5  # seconds


class Carrier:
    """`receive` gets frames of other processes; `lost` is called whenever frames may have been missed."""

    def __init__(
        self, redis: Redis, prefix: str, *, receive: Callable[[Frame], None], lost: Callable[[], None]
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}channel:"
        self._receive = receive
        self._lost = lost
        self._node = uuid7().hex
        self._wanted: set[UUID] = set()
        self._confirmed: set[str] = set()
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(QUEUE_SIZE)
        self._pubsub: PubSub | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_connected(self) -> bool:
        return self._pubsub is not None

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen_forever()), asyncio.create_task(self._publish_forever())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, frame: Frame) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            log.warning("realtime.not_carried", channel_id=str(frame.channel_id))

    async def join(self, channel_id: UUID) -> None:
        self._wanted.add(channel_id)
        await self._tell("subscribe", [channel_id])

    def leave(self, channel_id: UUID) -> None:
        """Stop listening, unless somebody has joined again by the time this is carried out."""
        self._wanted.discard(channel_id)
        self._tasks.append(asyncio.create_task(self._leave(channel_id)))
        self._tasks = [task for task in self._tasks if not task.done()]

    async def _leave(self, channel_id: UUID) -> None:
        if channel_id not in self._wanted:
            await self._tell("unsubscribe", [channel_id])
        if channel_id in self._wanted:  # joined while we were leaving
            await self._tell("subscribe", [channel_id])
            self._lost()

    async def _tell(self, command: str, channel_ids: Iterable[UUID]) -> None:
        names = [self._prefix + str(channel_id) for channel_id in channel_ids]
        if self._pubsub is None or not names:
            return  # all that is wanted is subscribed on connecting
        if command == "unsubscribe":
            self._confirmed.difference_update(names)
        with contextlib.suppress(RedisError, OSError):  # the listener notices too, and starts afresh
            await getattr(self._pubsub, command)(*names)

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._listen(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("realtime.redis_lost", error=str(error))
            finally:
                self._pubsub = None
            await asyncio.sleep(RETRY_PAUSE)

    async def _listen(self, pubsub: PubSub) -> None:
        self._confirmed = set()
        await pubsub.subscribe(self._prefix + "all")  # keeps the subscription open while no channel is
        self._pubsub = pubsub
        await self._tell("subscribe", tuple(self._wanted))
        self._lost()
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if message is not None:
                asked = False
                self._handle(message)
            elif asked:
                raise TimeoutError("Redis does not answer a ping")
            else:
                asked = True
                await pubsub.ping()

    def _handle(self, message: dict[str, str]) -> None:
        if message["type"] == "subscribe":
            if message["channel"] in self._confirmed:
                self._lost()  # redis-py reconnected and subscribed again without a word
            self._confirmed.add(message["channel"])
        elif message["type"] == "message":
            node, seq, text = message["data"].split(" ", 2)
            if node != self._node:
                channel_id = UUID(message["channel"].removeprefix(self._prefix))
                self._receive(Frame(channel_id, int(seq) if seq != "-" else None, text))

    async def _publish_forever(self) -> None:
        while True:
            batch = [await self._outgoing.get()]
            while len(batch) < BATCH_SIZE and not self._outgoing.empty():
                batch.append(self._outgoing.get_nowait())
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for frame in batch:
                        seq = "-" if frame.seq is None else frame.seq
                        pipeline.publish(self._prefix + str(frame.channel_id), f"{self._node} {seq} {frame.text}")
                    await pipeline.execute()
            except (RedisError, OSError) as error:
                log.warning("realtime.not_carried", frames=len(batch), error=str(error))
