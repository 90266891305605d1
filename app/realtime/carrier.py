"""Redis pub/sub: carries frames between processes, as fast as it can and no more.

A message is the sender's name in the first line, then one frame a line: its number, or `-`, and its text, which as JSON
has no line breaks. Frames of one channel that were waiting travel together.

One connection per process, with RESP2, on which redis-py is a third faster for pub/sub. Whatever is lost on the way is
found again by the hub, so nothing here is retried; `lost` says when to look.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from uuid_utils.compat import uuid7

from app.events import Frame
from app.realtime.cancellation import cancel_until_done

log = structlog.get_logger(__name__)

QUEUE_SIZE = 10_000
BATCH_SIZE = 200
SILENCE = 5.0  # seconds without a word before the connection is asked whether it lives
CALL_PATIENCE = 1.0  # seconds
RETRY_PAUSE = 0.5  # seconds; as often the log is asked while Redis is away


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
        self._wanted: set[str] = set()
        self._told: set[str] = set()  # what Redis was asked for on this connection
        self._telling = asyncio.Lock()
        self._confirmed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(QUEUE_SIZE)
        self._pubsub: PubSub | None = None
        self._is_publishing = True
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        for work in (self._listen_forever(), self._publish_forever()):
            self._tasks.add(asyncio.create_task(work))

    async def stop(self) -> None:
        """Carry what is still waiting, then end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_PATIENCE):
                await self._outgoing.join()
        await cancel_until_done(self._tasks)

    def send(self, frame: Frame) -> None:
        with suppress(asyncio.QueueFull):
            self._outgoing.put_nowait(frame)

    async def join(self, channel_id: UUID) -> None:
        """Listen to a channel; returns when Redis has confirmed it, or cannot for now."""
        name = self._prefix + str(channel_id)
        self._wanted.add(name)
        await self._tell()
        if self._pubsub is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_PATIENCE):
                    await self._confirmed[name].wait()

    def leave(self, channel_id: UUID) -> None:
        """Stop listening, unless somebody has joined again by the time this is carried out."""
        self._wanted.discard(self._prefix + str(channel_id))
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
                        await self._pubsub.subscribe(*missing)
                    if unwanted:
                        self._forget(unwanted)
                        await self._pubsub.unsubscribe(*unwanted)
            except (RedisError, OSError):
                return  # told again by the listener, on this connection or the next
            self._told = (self._told | missing) - unwanted

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
            self._lost()
            await asyncio.sleep(RETRY_PAUSE)

    async def _listen(self, pubsub: PubSub) -> None:
        self._told = set()
        self._confirmed.clear()
        async with asyncio.timeout(CALL_PATIENCE):
            await pubsub.subscribe(self._prefix + "all")  # keeps the subscription open while no channel is
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

    def _handle(self, message: dict[str, str]) -> None:
        name = message["channel"]
        match message["type"]:
            case "message":
                node, _, lines = message["data"].partition("\n")
                if node != self._node:
                    self._unpack(UUID(name.removeprefix(self._prefix)), lines)
            case "subscribe":
                if self._confirmed[name].is_set():
                    self._lost()  # redis-py reconnected and subscribed again without a word
                self._confirmed[name].set()

    def _unpack(self, channel_id: UUID, lines: str) -> None:
        for line in lines.split("\n"):
            seq, _, text = line.partition(" ")
            self._receive(Frame(channel_id, int(seq) if seq != "-" else None, text))

    async def _publish_forever(self) -> None:
        while True:
            batch = [await self._outgoing.get()]
            while len(batch) < BATCH_SIZE and not self._outgoing.empty():
                batch.append(self._outgoing.get_nowait())
            try:
                async with asyncio.timeout(CALL_PATIENCE):
                    await self._publish(batch)
                self._is_publishing = True
            except (RedisError, OSError) as error:
                if self._is_publishing:
                    log.warning("realtime.not_carried", error=repr(error))
                self._is_publishing = False
            for _ in batch:
                self._outgoing.task_done()

    async def _publish(self, frames: list[Frame]) -> None:
        lines: defaultdict[UUID, list[str]] = defaultdict(lambda: [self._node])
        for frame in frames:
            lines[frame.channel_id].append(f"{'-' if frame.seq is None else frame.seq} {frame.text}")
        async with self._redis.pipeline(transaction=False) as pipeline:
            for channel_id, packed in lines.items():
                pipeline.publish(self._prefix + str(channel_id), "\n".join(packed))
            await pipeline.execute()
