"""What a process knows of a room, project or user with local listeners. No input or output: that is the hub's part."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from app.events import Event, Frame
from app.realtime.outbox import CloseCode, Outbox

RING_SIZE = 256
MOST_WAITING = 1024  # frames kept behind a gap; what is beyond is read from the log
MOST_HELD = 256
TAKES_BACK = ('{"type":"message_edited"', '{"type":"message_deleted"')
"""So begin frames of events that change what earlier ones tell: the log is changed, and the ring has to forget."""


class Listener:
    """One connection's place in a channel, with its outbox."""

    def __init__(self, channel: "Channel", outbox_size: int) -> None:
        self.channel = channel
        self.outbox = Outbox(outbox_size)
        self.ignores: Callable[[str], bool] | None = None
        """Tells which ephemeral frames this listener has already had in another form."""
        self._held: deque[str] | None = deque(maxlen=MOST_HELD)

    @property
    def last_seq(self) -> int:
        """Number of the channel's latest event."""
        return self.channel.last_seq

    def send(self, event: Event) -> None:
        """Tell this listener alone."""
        self.outbox.put(event.model_dump_json())

    def hear(self, text: str) -> None:
        """Take an ephemeral frame; until `release` it is held."""
        if self._held is not None:
            self._held.append(text)
        elif self.ignores is None or not self.ignores(text):
            self.outbox.put(text)

    def release(self) -> None:
        held, self._held = self._held, None
        for text in held or ():
            self.hear(text)


@dataclass(eq=False)
class Channel:
    """Numbered frames leave here in order: what comes too early waits for those before it."""

    id: UUID
    last_seq: int = 0
    is_open: bool = False  # the log was asked where it stands
    is_logged: bool = False  # the log knows this channel
    listeners: set[Listener] = field(default_factory=set)
    live: set[Listener] = field(default_factory=set)  # those who have had everything up to `last_seq`
    ring: deque[Frame] = field(default_factory=lambda: deque(maxlen=RING_SIZE))  # ends with `last_seq`, without gaps
    forgotten: int = 0  # how often the ring had to forget
    waiting: dict[int, Frame] = field(default_factory=dict)
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)
    healing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def open(self, last_seq: int | None) -> None:
        """The log stands at `last_seq`; None: it does not know this channel."""
        self.is_open, self.is_logged, self.last_seq = True, last_seq is not None, last_seq or 0
        self._deliver_waiting()

    def announce(self, text: str, besides: Listener | None = None) -> None:
        for listener in self.listeners:
            if listener is not besides:
                listener.hear(text)

    def receive(self, frame: Frame, seq: int) -> bool:
        """Give a numbered frame to the live listeners, in its turn; False while earlier ones are missing."""
        if self.is_open and seq == self.last_seq + 1:
            self._deliver(frame, seq)
        elif (not self.is_open or seq > self.last_seq) and len(self.waiting) < MOST_WAITING:
            self.waiting[seq] = frame
        self._deliver_waiting()
        return not self.waiting or not self.is_open

    def catch_up(self, frames: Iterable[Frame]) -> None:
        """Deliver what was read from the log: a number is visible there only when all before it are."""
        for frame in frames:
            if frame.seq is not None and frame.seq > self.last_seq:
                self._deliver(frame, frame.seq)
        self._deliver_waiting()

    def cut_off(self, code: CloseCode) -> None:
        for listener in tuple(self.listeners):
            listener.outbox.cut_off(code)

    def ring_reaches(self, seq: int) -> bool:
        """Whether the ring holds everything after `seq`."""
        return self.last_seq - seq <= len(self.ring)

    def ring_after(self, seq: int) -> Sequence[Frame]:
        return tuple(islice(self.ring, len(self.ring) - max(self.last_seq - seq, 0), None))

    def extend_ring(self, frames: Sequence[Frame]) -> None:
        """Put `frames`, read from the log, before those of the ring; unless there is a gap in between."""
        first = self.last_seq - len(self.ring) + 1
        older = [frame for frame in frames if frame.seq is not None and frame.seq < first]
        if older and older[-1].seq == first - 1:
            self.ring = deque([*older, *self.ring], maxlen=RING_SIZE)

    def _deliver(self, frame: Frame, seq: int) -> None:
        if seq != self.last_seq + 1:  # the log has forgotten what was in between
            self.ring.clear()
        if frame.text.startswith(TAKES_BACK):
            self.ring.clear()
            self.forgotten += 1
        self.last_seq = seq
        self.ring.append(frame)
        for listener in self.live:
            listener.outbox.put(frame.text)

    def _deliver_waiting(self) -> None:
        if not self.waiting or not self.is_open:
            return
        while frame := self.waiting.pop(self.last_seq + 1, None):
            self._deliver(frame, self.last_seq + 1)
        for seq in [seq for seq in self.waiting if seq <= self.last_seq]:
            del self.waiting[seq]
