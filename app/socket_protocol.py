"""uvicorn's WebSockets with a way past it, for frames that are encoded once and written to many."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from app.heartbeats import HeartbeatProtocol
from app.realtime.outbox import PREPARED_FRAMES

BATCH: Final = 64  # frames that wait for one write
LINGER: Final = 10.0  # seconds in which a client may still read what it was sent before the connection was closed


class Conversation(ServerProtocol):
    """A peer may say goodbye in the middle of a message: the rest of it will not come, and that is no error."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class SocketProtocol(HeartbeatProtocol):
    """The connection itself is the sink (`app.realtime.outbox.Sink`) that the application finds in its scope."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = Conversation(
            extensions=self.conn.available_extensions, max_size=self.config.ws_max_size, logger=self.conn.logger
        )
        self._has_room: Callable[[], None] | None = None
        self._is_writable = True
        self._waiting: list[bytes] = []

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][PREPARED_FRAMES] = self  # type: ignore[assignment]  # an object

    def notify(self, has_room: Callable[[], None]) -> None:
        """Call `has_room` whenever frames can be written again after `write` has said no."""
        self._has_room = has_room

    def write(self, frame: bytes) -> bool:
        """Write a whole frame; whether the next may follow at once.

        A write costs more than all that comes before it, so the frames of one turn of the event loop are one write.
        """
        if not self._waiting:
            self.loop.call_soon(self._flush)
        self._waiting.append(frame)
        if len(self._waiting) >= BATCH:
            self._flush()
        return self._is_writable

    def _flush(self) -> None:
        """Of a connection that ends, nobody wants what is left."""
        frames, self._waiting = self._waiting, []
        if frames and not (self.close_sent or self.transport.is_closing()):
            self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    async def send(self, message: ASGISendEvent) -> None:
        self._flush()
        await super().send(message)
        if message["type"] == "websocket.accept":
            del self.request, self.response  # 3 KB that nobody reads again

    def shutdown(self) -> None:
        self._flush()
        super().shutdown()

    def pause_writing(self) -> None:
        self._is_writable = False
        super().pause_writing()

    def resume_writing(self) -> None:
        self._is_writable = True
        super().resume_writing()
        if self._has_room is not None:
            self._has_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_room = None
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The transport closes once all is written: with a client that reads nothing, never."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(LINGER, self.transport.abort)
