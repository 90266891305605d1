"""A WebSocket that comes back by itself, and tells every numbered event once and in order."""

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self, cast

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hearth_client.errors import ConnectionEnded, HearthError, Refused
from hearth_client.types import MessageReceived

Event = dict[str, Any]
Address = Callable[[int | None], Awaitable[str]]
CatchUp = Callable[[int], AsyncIterator[Event]]

FINAL_CODES = frozenset({4400, 4401, 4403, 4404, 4409})
FIRST_PAUSE = 0.25  # seconds before the first attempt to come back
LONGEST_PAUSE = 15.0
PING_INTERVAL = 20.0  # seconds; the line is dead when nothing is heard for about twice as long
OPEN_PATIENCE = 20.0


class Channel:
    """`async with` it to be connected, `async for` over it to hear its events.

    The loop ends with the block; it raises ConnectionEnded when the server ends the connection for good.
    """

    def __init__(self, address: Address, *, after_seq: int | None = None, catch_up: CatchUp | None = None) -> None:
        self.last_seq = after_seq
        self._address = address
        self._catch_up = catch_up
        self._heard: asyncio.Queue[Event | None] = asyncio.Queue()
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._end()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while (event := await self._heard.get()) is not None:
            yield event
        self._heard.put_nowait(None)
        if self._failure is not None:
            raise self._failure

    async def tell(self, command: dict[str, Any]) -> bool:
        """Send any command of the protocol; False when there is no connection at the moment."""
        try:
            if self._socket is None:
                return False
            await self._socket.send(json.dumps(command))
        except ConnectionClosed:
            return False
        return True

    async def _welcomed(self) -> None:
        """What was on its way when the connection was lost is sent again here."""

    def _on_event(self, event: Event) -> None: ...

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    async with connect(
                        await self._address(self.last_seq),
                        max_size=None,
                        open_timeout=OPEN_PATIENCE,
                        ping_interval=PING_INTERVAL,
                        ping_timeout=PING_INTERVAL,
                    ) as socket:
                        await self._listen(socket)
                except ConnectionClosed as closed:
                    if (code := closed.rcvd.code if closed.rcvd else 1006) in FINAL_CODES:
                        raise ConnectionEnded(code) from None
                except HearthError as error:
                    if 400 <= error.status < 500 and error.status not in {408, 429}:
                        raise
                except (OSError, httpx.TransportError, InvalidHandshake):
                    pass
                finally:
                    self._socket = None
                if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (spreads clients, guards nothing)
                pause = min(pause * 2, LONGEST_PAUSE)
        except Exception as failure:
            self._failure = failure
            self._end()

    async def _listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            event: Event = json.loads(text)
            if event["type"] == "welcome":
                await self._begin(event)
                self._socket = socket
            seq = event.get("seq")
            if seq is not None and self.last_seq is not None and seq <= self.last_seq:
                continue  # it came twice
            self.last_seq = self.last_seq if seq is None else seq
            self._hear(event)
            if event["type"] == "welcome":
                await self._welcomed()

    async def _begin(self, welcome: Event) -> None:
        if self.last_seq is None:
            self.last_seq = welcome["last_seq"]
        elif not welcome["recovered"] and self._catch_up is not None:
            async for event in self._catch_up(self.last_seq):
                self.last_seq = event["seq"]
                self._hear(event)

    def _hear(self, event: Event) -> None:
        self._heard.put_nowait(event)
        self._on_event(event)

    def _end(self) -> None:
        self._heard.put_nowait(None)


class Room(Channel):
    """Whoever is connected is in it."""

    def __init__(self, address: Address, *, after_seq: int | None = None, catch_up: CatchUp | None = None) -> None:
        super().__init__(address, after_seq=after_seq, catch_up=catch_up)
        self._unheard: dict[str, tuple[dict[str, Any], asyncio.Future[Event]]] = {}

    async def send(self, text: str, **fields: Any) -> MessageReceived:
        """Say something, and return the message once it is kept.

        When the connection is lost on the way it is sent again under the same `client_id`, which makes no second
        message.

        Raises:
            Refused: the server did not take it.
            ConnectionEnded: the connection ended before it was heard.
        """
        client_id = str(uuid.uuid4())
        command = {"type": "send_message", "text": text, "client_id": client_id, **fields}
        heard: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            raise self._failure or ConnectionEnded(1000)
        self._unheard[client_id] = command, heard
        try:
            await self.tell(command)
            return cast("MessageReceived", await heard)
        finally:
            self._unheard.pop(client_id, None)

    async def typing(self) -> None:
        await self.tell({"type": "typing"})

    async def stop(self) -> None:
        """End the spirit's answer where it is."""
        await self.tell({"type": "stop"})

    async def _welcomed(self) -> None:
        for command, _ in list(self._unheard.values()):
            await self.tell(command)

    def _on_event(self, event: Event) -> None:
        if event["type"] == "message_received":
            self._settle(event.get("client_id"), event)
        elif event["type"] == "error":
            refused = Refused(event["error_code"], event["message"], event["details"])
            self._settle(event["details"].get("client_id"), refused)

    def _settle(self, client_id: str | None, outcome: Event | Exception) -> None:
        if client_id is None or client_id not in self._unheard:
            return
        _, heard = self._unheard.pop(client_id)
        with contextlib.suppress(asyncio.InvalidStateError):
            if isinstance(outcome, Exception):
                heard.set_exception(outcome)
            else:
                heard.set_result(outcome)

    def _end(self) -> None:
        super()._end()
        for client_id in list(self._unheard):
            self._settle(client_id, self._failure or ConnectionEnded(1000))


class ProjectFeed(Channel):
    """A project's tasks."""

    async def start(self, task_type: str, params: dict[str, Any] | None = None, quality: str = "standard") -> bool:
        """Start a task; its `task_started` and all that follows is heard here."""
        command = {"type": "start_generation", "task_type": task_type, "params": params or {}, "quality": quality}
        return await self.tell(command)

    async def cancel(self, task_id: str) -> bool:
        return await self.tell({"type": "cancel_task", "task_id": task_id})

    async def retry(self, task_id: str) -> bool:
        """Try a task again that has failed or was cancelled."""
        return await self.tell({"type": "retry_task", "task_id": task_id})
