"""One listener's bounded outbox. A slow reader is cut off, never waited for."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final, Protocol

from app.telemetry.meters import CUT_OFF

REPLAY_PATIENCE = timedelta(seconds=30)
PREPARED_FRAMES: Final = "hearth.prepared_frames"
"""Under this name a connection's scope has its `Sink` among the extensions, where the server offers one."""

FINAL_TEXT: Final = b"\x81"


class CloseCode(IntEnum):
    """Why a connection ends (RFC 6455, section 7.4; 4000 and above are the contract's own)."""

    INTERNAL_ERROR = 1011
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    NOT_AUTHENTICATED = 4401
    NOT_ALLOWED = 4403
    NO_SUCH_ROOM = 4404
    TOO_SLOW = 4408
    ROOM_FULL = 4409
    TOO_MANY_MESSAGES = 4429


class CutOff(Exception):
    """The connection has to end with `code`."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


class Sink(Protocol):
    """A socket that takes whole WebSocket frames."""

    def notify(self, has_room: Callable[[], None]) -> None: ...

    def write(self, frame: bytes) -> bool: ...


@lru_cache(maxsize=64)
def encoded(text: str) -> bytes:
    """The unmasked WebSocket frame of `text` (RFC 6455, section 5.2), made once for all who get it."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return b"%b%c%b" % (FINAL_TEXT, length, payload)
    if length < 65_536:
        return b"%b\x7e%b%b" % (FINAL_TEXT, length.to_bytes(2, "big"), payload)
    return b"%b\x7f%b%b" % (FINAL_TEXT, length.to_bytes(8, "big"), payload)


class Outbox:
    """Frames on their way to one listener, at most `size` of them.

    One task takes frames out (`take`), or they go straight into a sink; any code of the event loop puts them in
    (`put`), without waiting. `end` is done when the connection has to end: a task that is stuck in a socket nobody
    reads takes nothing, and must be told so.
    """

    def __init__(self, size: int) -> None:
        self.end: asyncio.Future[CloseCode] = asyncio.get_running_loop().create_future()
        self._size = size
        self._frames: deque[str] = deque()
        self._changed: asyncio.Event | None = None  # made when somebody waits: most connections never do
        self._drained: asyncio.Event | None = None
        self._sink: Sink | None = None
        self._write: Callable[[bytes], bool] | None = None  # as long as the sink takes frames at once

    @property
    def is_cut_off(self) -> bool:
        return self.end.done()

    def pour_into(self, sink: Sink) -> None:
        """From now on no task takes frames: they are written as they come, and wait here only for a full sink."""
        self._sink = sink
        sink.notify(self._pour)
        self._pour()

    def put(self, text: str) -> None:
        """Add a frame; a listener whose outbox is full is cut off."""
        if self._write is not None:
            if not self._write(encoded(text)):
                self._write = None
        elif self.is_cut_off:
            return
        elif len(self._frames) >= self._size:
            self.cut_off(CloseCode.TOO_SLOW)
        else:
            self._frames.append(text)
            _tell(self._changed)

    async def put_paced(self, text: str) -> None:
        """Add a frame of a replay, which may be longer than an outbox: as soon as it is at most half full.

        The other half is for what happens once the listener is live.

        Raises:
            CutOff: the connection has to end, or the listener took nothing for half a minute.
        """
        while len(self._frames) >= self._size // 2 and not self.is_cut_off:
            self._drained = asyncio.Event()
            try:
                async with asyncio.timeout(REPLAY_PATIENCE.total_seconds()):
                    await self._drained.wait()
            except TimeoutError:
                self.cut_off(CloseCode.TOO_SLOW)
        if self.is_cut_off:
            raise CutOff(self.end.result())
        self.put(text)

    def cut_off(self, code: CloseCode) -> None:
        """End the connection; what lies in the outbox is dropped, for the listener can ask for it again."""
        if self.is_cut_off:
            return
        CUT_OFF.labels(code.name.lower()).inc()
        self.end.set_result(code)
        self._write = None
        self._frames.clear()
        _tell(self._changed)
        _tell(self._drained)

    async def take(self) -> str:
        """The next frame.

        Raises:
            CutOff: the connection has to end.
        """
        while not self._frames:
            if self.is_cut_off:
                raise CutOff(self.end.result())
            self._changed = asyncio.Event()
            await self._changed.wait()
        frame = self._frames.popleft()
        _tell(self._drained)
        return frame

    def _pour(self) -> None:
        """The sink has room."""
        if self._sink is None or self.is_cut_off:
            return
        takes_more = True
        while self._frames and takes_more:
            takes_more = self._sink.write(encoded(self._frames.popleft()))
        self._write = self._sink.write if takes_more else None
        _tell(self._drained)


def _tell(event: asyncio.Event | None) -> None:
    if event is not None:
        event.set()
