"""Connections and fan-out: PostgreSQL remembers, Redis hurries.

Each process has one hub with one Redis subscription. A frame is given to local listeners at once and carried to the
other processes by Redis. The hub knows the last number it delivered in each channel; a gap, a lost Redis connection,
or the slow sweep make it read the missing rows from the event log. So a dead Redis, or a crash between commit and
publish, delays an event and never loses or doubles it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Protocol, Self
from uuid import UUID

import structlog
from redis.asyncio import Redis, RedisCluster

from app.events import Frame
from app.realtime.cancellation import cancel_until_done
from app.realtime.carrier import Carrier
from app.realtime.channels import RING_SIZE, Channel, Listener
from app.realtime.outbox import CloseCode
from app.settings import RealtimeSettings
from app.telemetry.meters import FANOUT_SECONDS

log = structlog.get_logger(__name__)

HERE = FANOUT_SECONDS.labels("local")
READ_SIZE = 200
LEAST_FILLING = 32  # events that the ring is filled with: not everybody comes back from the same one
REORDER_PATIENCE = 0.02  # seconds in which an earlier number, published a moment later, may still arrive


class EventLog(Protocol):
    """What the hub asks of the durable log."""

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]: ...
    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]: ...
    async def first_seq(self, channel_id: UUID) -> int | None: ...


class Hub:
    def __init__(
        self, redis: Redis | RedisCluster, events: EventLog, settings: RealtimeSettings, *, prefix: str
    ) -> None:
        self._events = events
        self._settings = settings
        self._channels: dict[UUID, Channel] = {}
        self._carrier = Carrier(redis, prefix, receive=self._receive, lost=self._sweep_soon)
        self._sweep_wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._carrier.start()
        self._spawn(self._sweep_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut_off_everyone(CloseCode.RESTARTING)
        await self._carrier.stop()
        await cancel_until_done(self._tasks)

    @property
    def connections(self) -> int:
        return sum(len(channel.listeners) for channel in self._channels.values())

    @property
    def rooms(self) -> int:
        return len(self._channels)

    def publish(self, frame: Frame, *, besides: Listener | None = None) -> None:
        """Give `frame` to everybody in its channel: here at once, elsewhere through Redis. Never waits, never fails.

        An ephemeral frame is not given to the listener `besides`.
        """
        started = time.perf_counter()
        self._receive(frame, besides)
        HERE.observe(time.perf_counter() - started)
        self._carrier.send(frame)

    @contextlib.asynccontextmanager
    async def attach(self, channel_id: UUID) -> AsyncIterator[Listener]:
        """A place in the channel for the length of the block. Nothing arrives before `follow` is called.

        Ephemeral frames from now on are held for `follow`, so whatever is read in between misses none.
        """
        channel = self._channels.setdefault(channel_id, Channel(channel_id))
        listener = Listener(channel, self._settings.outbox_size)
        channel.listeners.add(listener)
        try:
            await self._open(channel)
            yield listener
        finally:
            channel.listeners.discard(listener)
            channel.live.discard(listener)
            if not channel.listeners:
                del self._channels[channel_id]
                self._carrier.leave(channel_id)

    async def can_replay(self, listener: Listener, after_seq: int | None) -> bool:
        """Whether everything after `after_seq` can still be replayed; None asks for nothing."""
        channel = listener.channel
        if after_seq is None:
            return True
        if after_seq > channel.last_seq:  # seen on another node, which was faster; or never given out by this log
            await self._heal(channel)
        if after_seq >= channel.last_seq or channel.ring_reaches(after_seq):
            return after_seq <= channel.last_seq
        await self._fill_ring(channel, after_seq)
        if channel.ring_reaches(after_seq):
            return True
        first = await self._events.first_seq(channel.id)
        return first is not None and first <= after_seq + 1

    async def follow(self, listener: Listener, after_seq: int | None = None) -> None:
        """Replay what came after `after_seq` (None: nothing), then live. Returns once the listener is live.

        Raises:
            CutOff: the listener does not read.
        """
        channel = listener.channel
        listener.release()
        channel.live.discard(listener)
        if after_seq is not None:
            if after_seq > channel.last_seq:
                await self._heal(channel)
            await self._replay(listener, after_seq)
        channel.live.add(listener)  # no await since the last look at last_seq, so nothing falls in between

    def cut_off_everyone(self, code: CloseCode) -> None:
        for channel in self._channels.values():
            channel.cut_off(code)

    async def _open(self, channel: Channel) -> None:
        """Subscribe first, then ask where the log stands: what comes in between waits in `waiting`."""
        async with channel.opening:
            if not channel.is_open:
                await self._carrier.join(channel.id)
                seqs = await self._events.last_seqs([channel.id])
                channel.open(seqs.get(channel.id))

    async def _replay(self, listener: Listener, position: int) -> None:
        channel = listener.channel
        while position < channel.last_seq:
            frames = await self._frames_after(channel, position)
            if not frames:
                break  # the log has forgotten them
            for frame in frames:
                await listener.outbox.put_paced(frame.text)
                position = frame.seq or position

    async def _frames_after(self, channel: Channel, seq: int) -> Sequence[Frame]:
        """The next frames after `seq`, none beyond what live listeners have had. The first reader fills the ring."""
        await self._fill_ring(channel, seq)
        if channel.ring_reaches(seq):
            return channel.ring_after(seq)
        frames = await self._events.list_after(channel.id, seq, limit=READ_SIZE)
        return [frame for frame in frames if (frame.seq or 0) <= channel.last_seq]

    async def _fill_ring(self, channel: Channel, seq: int) -> None:
        """So that it holds what comes after `seq`, if it can: whoever comes back next needs no question any more."""
        if channel.last_seq - seq > RING_SIZE or channel.ring_reaches(seq):
            return
        async with channel.filling:
            if not channel.ring_reaches(seq):
                forgotten = channel.forgotten
                start = max(0, min(seq, channel.last_seq - LEAST_FILLING))
                frames = await self._events.list_after(channel.id, start, limit=RING_SIZE)
                if forgotten == channel.forgotten:  # else they may tell what was taken back meanwhile
                    channel.extend_ring(frames)

    def _receive(self, frame: Frame, besides: Listener | None = None) -> None:
        channel = self._channels.get(frame.channel_id)
        if channel is None:
            return
        if frame.seq is None:
            channel.announce(frame.text, besides)
        elif not channel.receive(frame, frame.seq):
            asyncio.get_running_loop().call_later(REORDER_PATIENCE, self._heal_if_waiting, channel)

    def _heal_if_waiting(self, channel: Channel) -> None:
        if channel.waiting and channel.listeners and not channel.healing.locked():
            self._spawn(self._try_to_heal(channel))

    async def _try_to_heal(self, channel: Channel) -> None:
        try:
            await self._heal(channel)
        except Exception as error:  # the next sweep tries again
            log.warning("realtime.heal_failed", channel_id=str(channel.id), error=repr(error))

    async def _heal(self, channel: Channel) -> None:
        """Read from the log what did not arrive."""
        async with channel.healing:
            is_behind = True
            while is_behind:
                frames = await self._events.list_after(channel.id, channel.last_seq, limit=READ_SIZE)
                channel.catch_up(frames)
                is_behind = len(frames) == READ_SIZE

    def _sweep_soon(self) -> None:
        self._sweep_wanted.set()

    async def _sweep_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.sweep_interval.total_seconds()):
                    await self._sweep_wanted.wait()
            self._sweep_wanted.clear()
            try:
                await self._sweep()
            except Exception as error:
                log.warning("realtime.sweep_failed", error=repr(error))

    async def _sweep(self) -> None:
        """Ask the log once for all local channels: catch up where it is ahead, close what is deleted."""
        known = [channel for channel in self._channels.values() if channel.is_open]
        if not known:
            return
        seqs = await self._events.last_seqs([channel.id for channel in known])
        for channel in known:
            if channel.is_logged and channel.id not in seqs:
                channel.cut_off(CloseCode.NO_SUCH_ROOM)
            elif seqs.get(channel.id, 0) > channel.last_seq:
                await self._heal(channel)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
