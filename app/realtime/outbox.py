"""One listener's bounded outbox. A slow reader is cut off, never waited for."""

import asyncio
from collections import deque
from datetime import timedelta
from enum import IntEnum

REPLAY_PATIENCE = timedelta(seconds=30)


class CloseCode(IntEnum):
    """Why a connection ends (RFC 6455, section 7.4; 4000 and above are the contract's own)."""

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


class Outbox:
    """Frames on their way to one listener, at most `size` of them.

    One task takes frames out (`take`); any code of the event loop puts them in (`put`), without waiting.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: deque[str] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._cut_off: CloseCode | None = None

    def put(self, text: str) -> None:
        """Add a frame; a listener whose outbox is full is cut off."""
        if self._cut_off is not None:
            return
        if len(self._frames) >= self._size:
            self.cut_off(CloseCode.TOO_SLOW)
            return
        self._frames.append(text)
        self._filled.set()

    async def put_paced(self, text: str) -> None:
        """Add a frame as soon as there is room: for replays, which are longer than an outbox.

        Raises:
            CutOff: the listener took nothing for half a minute.
        """
        while len(self._frames) >= self._size and self._cut_off is None:
            self._emptied.clear()
            try:
                async with asyncio.timeout(REPLAY_PATIENCE.total_seconds()):
                    await self._emptied.wait()
            except TimeoutError:
                self.cut_off(CloseCode.TOO_SLOW)
        if self._cut_off is not None:
            raise CutOff(self._cut_off)
        self.put(text)

    def cut_off(self, code: CloseCode) -> None:
        """End the connection; what lies in the outbox is dropped, for the listener can ask for it again."""
        if self._cut_off is None:
            self._cut_off = code
            self._frames.clear()
            self._filled.set()
            self._emptied.set()

    async def take(self) -> str:
        """The next frame.

        Raises:
            CutOff: the connection has to end.
        """
        while not self._frames:
            if self._cut_off is not None:
                raise CutOff(self._cut_off)
            self._filled.clear()
            await self._filled.wait()
        frame = self._frames.popleft()
        self._emptied.set()
        return frame
