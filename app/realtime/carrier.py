"""Redis pub/sub: carries frames between processes, as fast as it can and no more.

A message is the sender's name and the time in the first line, then one frame a line: its number, or `-`, and its text,
which as JSON has no line breaks. Frames of one channel that were waiting travel together.

Whatever is lost on the way is found again by the hub, so nothing here is retried; `lost` says when to look.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog
from redis.asyncio import Redis, RedisCluster
from uuid_utils.compat import uuid7

from app.events import Frame
from app.realtime.cancellation import cancel_until_done
from app.realtime.outages import REDIS_FAILURES
from app.realtime.subscriptions import Line, Lines, Subscriptions
from app.telemetry.meters import FANOUT_SECONDS, NOT_CARRIED

log = structlog.get_logger(__name__)

FROM_ELSEWHERE = FANOUT_SECONDS.labels("redis")
QUEUE_SIZE = 10_000
BATCH_SIZE = 200
CALL_PATIENCE = 1.0  # seconds


class Carrier:
    """`receive` gets frames of other processes; `lost` is called whenever frames may have been missed."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        prefix: str,
        *,
        receive: Callable[[Frame], None],
        lost: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}channel:"
        self._receive = receive
        self._lost = lost
        self._node = uuid7().hex
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(QUEUE_SIZE)
        self._is_publishing = True

    def start(self) -> None:
        self._publishing = asyncio.create_task(self._publish_forever())
        self._subscriptions = self._subscribe()

    async def stop(self) -> None:
        """Carry what is still waiting, then end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_PATIENCE):
                await self._outgoing.join()
        await cancel_until_done([self._publishing])
        await self._subscriptions.stop()

    def send(self, frame: Frame) -> None:
        with suppress(asyncio.QueueFull):
            self._outgoing.put_nowait(frame)

    async def join(self, channel_id: UUID) -> None:
        """Listen to a channel; returns when Redis has confirmed it, or cannot for now."""
        await self._subscriptions.join(self._prefix + str(channel_id))

    def leave(self, channel_id: UUID) -> None:
        """Stop listening, unless somebody has joined again by the time this is carried out."""
        self._subscriptions.leave(self._prefix + str(channel_id))

    def _subscribe(self) -> Subscriptions:
        keeper = self._prefix + "all"
        if isinstance(self._redis, RedisCluster):
            return Lines(self._redis, keeper, hear=self._hear, lost=self._lost)
        return Line(self._redis, keeper, hear=self._hear, lost=self._lost)

    def _hear(self, name: str, message: str) -> None:
        first, _, lines = message.partition("\n")
        node, _, sent_at = first.partition(" ")
        if node == self._node:
            return
        channel_id = UUID(name.removeprefix(self._prefix))
        for line in lines.split("\n"):
            seq, _, text = line.partition(" ")
            self._receive(Frame(channel_id, int(seq) if seq != "-" else None, text))
        if sent_at:  # the clocks of two machines need not agree
            FROM_ELSEWHERE.observe(max(0.0, time.time() - float(sent_at)))

    async def _publish_forever(self) -> None:
        while True:
            batch = [await self._outgoing.get()]
            while len(batch) < BATCH_SIZE and not self._outgoing.empty():
                batch.append(self._outgoing.get_nowait())
            try:
                async with asyncio.timeout(CALL_PATIENCE):
                    await self._publish(batch)
                self._is_publishing = True
            except REDIS_FAILURES as error:
                if self._is_publishing:
                    log.warning("realtime.not_carried", error=repr(error))
                self._is_publishing = False
                NOT_CARRIED.inc(len(batch))
            for _ in batch:
                self._outgoing.task_done()

    async def _publish(self, frames: list[Frame]) -> None:
        first = f"{self._node} {time.time():.6f}"
        lines: defaultdict[UUID, list[str]] = defaultdict(lambda: [first])
        for frame in frames:
            lines[frame.channel_id].append(f"{'-' if frame.seq is None else frame.seq} {frame.text}")
        command = "SPUBLISH" if isinstance(self._redis, RedisCluster) else "PUBLISH"
        async with self._redis.pipeline(transaction=False) as pipeline:
            for channel_id, packed in lines.items():
                pipeline.execute_command(command, self._prefix + str(channel_id), "\n".join(packed))
            await pipeline.execute()
