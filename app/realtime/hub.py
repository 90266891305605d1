"""Connections and fan-out: PostgreSQL remembers, Redis hurries.

Each process has one hub with one Redis subscription. A frame is given to local listeners at once and carried to the
other processes by Redis. The hub knows the last number it delivered in each channel; a gap, a lost Redis connection, or the
slow sweep make it read the missing rows from the event log. So a dead Redis, or a crash between commit and publish,
delays an event and never loses or doubles it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self
from uuid import UUID

import structlog
from redis.asyncio import Redis

from app.events import Event, Frame
from app.realtime.carrier import Carrier
from app.realtime.outbox import CloseCode, Outbox
from app.settings import RealtimeSettings

log = structlog.get_logger(__name__)

RING_SIZE = 256
READ_SIZE = 200
REORDER_PATIENCE = 0.02  # seconds in which an earlier number, published a moment later, may still arrive
DEGRADED_SWEEP = 0.5  # seconds between sweeps while Redis carries nothing


class EventLog(Protocol):
    """What the hub asks of the durable log."""

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]: ...
    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]: ...
    async def first_seq(self, channel_id: UUID) -> int | None: ...


@dataclass(eq=False)
class Channel:
    """What this process knows of a room, project or user with local listeners."""

    id: UUID
    last_seq: int | None = None  # None until the log was asked
    holders: int = 0
    live: set["Listener"] = field(default_factory=set)
    ring: deque[Frame] = field(default_factory=lambda: deque(maxlen=RING_SIZE))
    waiting: dict[int, Frame] = field(default_factory=dict)
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    healing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def ring_after(self, seq: int) -> list[Frame]:
        """Frames after `seq`, if the ring holds all of them; else none."""
        if not self.ring or (self.ring[0].seq or 0) > seq + 1:
            return []
        return [frame for frame in self.ring if (frame.seq or 0) > seq]


class Listener:
    """One connection's place in a channel: its outbox, and the last number that was put there."""

    def __init__(self, channel: Channel, outbox_size: int) -> None:
        self.channel = channel
        self.outbox = Outbox(outbox_size)
        self.position = channel.last_seq or 0

    @property
    def last_seq(self) -> int:
        """Number of the channel's latest event."""
        return self.channel.last_seq or 0

    def send(self, event: Event) -> None:
        """Tell this listener alone."""
        self.outbox.put(event.model_dump_json())


class Hub:
    def __init__(self, redis: Redis, events: EventLog, settings: RealtimeSettings, *, prefix: str) -> None:
        self._events = events
        self._settings = settings
        self._channels: dict[UUID, Channel] = {}
        self._carrier = Carrier(redis, prefix, receive=self._receive, lost=self._sweep_soon)
        self._sweep_wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._carrier.start()
        self._spawn(self._sweep_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut_off_everyone(CloseCode.RESTARTING)
        await self._carrier.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        return sum(channel.holders for channel in self._channels.values())

    @property
    def rooms(self) -> int:
        return len(self._channels)

    def publish(self, frame: Frame) -> None:
        """Give `frame` to everybody in its channel: here at once, elsewhere through Redis. Never waits, never fails."""
        self._receive(frame)
        self._carrier.send(frame)

    @contextlib.asynccontextmanager
    async def attach(self, channel_id: UUID) -> AsyncIterator[Listener]:
        """A place in the channel for the length of the block. Nothing arrives before `follow` is called."""
        channel = self._channels.setdefault(channel_id, Channel(channel_id))
        channel.holders += 1
        try:
            await self._open(channel)
            listener = Listener(channel, self._settings.outbox_size)
            try:
                yield listener
            finally:
                channel.live.discard(listener)
        finally:
            channel.holders -= 1
            if channel.holders == 0 and self._channels.get(channel_id) is channel:
                del self._channels[channel_id]
                self._carrier.leave(channel_id)

    async def can_replay(self, listener: Listener, after_seq: int | None) -> bool:
        """Whether everything after `after_seq` can still be replayed."""
        if after_seq is None or after_seq >= listener.last_seq or listener.channel.ring_after(after_seq):
            return True
        first = await self._events.first_seq(listener.channel.id)
        return first is not None and first <= after_seq + 1

    async def follow(self, listener: Listener, after_seq: int | None = None) -> None:
        """Replay what came after `after_seq` (None: nothing), then live. Returns once the listener is live.

        Raises:
            CutOff: the listener does not read.
        """
        channel = listener.channel
        channel.live.discard(listener)
        listener.position = listener.last_seq if after_seq is None else min(after_seq, listener.last_seq)
        while listener.position < listener.last_seq:
            frames = channel.ring_after(listener.position) or await self._events.list_after(
                channel.id, listener.position, limit=READ_SIZE
            )
            if not frames:
                break  # older than the log's retention
            for frame in frames:
                await listener.outbox.put_paced(frame.text)
                listener.position = frame.seq or 0
        channel.live.add(listener)  # no await since the last look at last_seq, so nothing falls in between

    def cut_off_everyone(self, code: CloseCode) -> None:
        for channel in self._channels.values():
            for listener in channel.live:
                listener.outbox.cut_off(code)

    async def _open(self, channel: Channel) -> None:
        """Subscribe first, then ask where the log stands: what comes in between waits in `waiting`."""
        async with channel.opening:
            if channel.last_seq is None:
                await self._carrier.join(channel.id)
                seqs = await self._events.last_seqs([channel.id])
                channel.last_seq = seqs.get(channel.id, 0)
                self._deliver_waiting(channel)

    def _receive(self, frame: Frame) -> None:
        channel = self._channels.get(frame.channel_id)
        if channel is None:
            return
        if frame.seq is None:
            for listener in channel.live:
                listener.outbox.put(frame.text)
        elif channel.last_seq is None:
            channel.waiting[frame.seq] = frame
        elif frame.seq == channel.last_seq + 1:
            self._deliver(channel, frame)
            self._deliver_waiting(channel)
        elif frame.seq > channel.last_seq:
            channel.waiting[frame.seq] = frame
            asyncio.get_running_loop().call_later(REORDER_PATIENCE, self._heal_if_waiting, channel)

    def _deliver(self, channel: Channel, frame: Frame) -> None:
        channel.last_seq = frame.seq
        channel.ring.append(frame)
        for listener in channel.live:
            listener.outbox.put(frame.text)

    def _deliver_waiting(self, channel: Channel) -> None:
        while frame := channel.waiting.pop((channel.last_seq or 0) + 1, None):
            self._deliver(channel, frame)
        for seq in [seq for seq in channel.waiting if seq <= (channel.last_seq or 0)]:
            del channel.waiting[seq]

    def _heal_if_waiting(self, channel: Channel) -> None:
        if channel.waiting and channel.holders and not channel.healing.locked():
            self._spawn(self._heal(channel))

    async def _heal(self, channel: Channel) -> None:
        """Read from the log what did not arrive. A number is visible there only when all lower ones are."""
        async with channel.healing:
            try:
                while frames := await self._events.list_after(channel.id, channel.last_seq or 0, limit=READ_SIZE):
                    for frame in frames:
                        if frame.seq == (channel.last_seq or 0) + 1:
                            self._deliver(channel, frame)
                    self._deliver_waiting(channel)
                    if len(frames) < READ_SIZE:
                        break
            except Exception as error:
                log.warning("realtime.heal_failed", channel_id=str(channel.id), error=str(error))

    def _sweep_soon(self) -> None:
        self._sweep_wanted.set()

    async def _sweep_forever(self) -> None:
        while True:
            pause = self._settings.sweep_interval.total_seconds() if self._carrier.is_connected else DEGRADED_SWEEP
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._sweep_wanted.wait()
            self._sweep_wanted.clear()
            try:
                await self._sweep()
            except Exception as error:
                log.warning("realtime.sweep_failed", error=str(error))

    async def _sweep(self) -> None:
        """Ask the log once for all local channels, and catch up where it is ahead."""
        known = [channel for channel in self._channels.values() if channel.last_seq is not None]
        if not known:
            return
        seqs = await self._events.last_seqs([channel.id for channel in known])
        for channel in known:
            if seqs.get(channel.id, 0) > (channel.last_seq or 0):
                await self._heal(channel)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
