"""`hearth chat`: a room in the terminal. It reconnects by itself and goes on from the last message it has seen."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.markup import escape
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

RETRY_PAUSE = 1.0  # seconds
LAST_PATIENCE = 10.0  # seconds in which what was said last may still be heard
FINAL_CODES = {
    4401: "You are not signed in.",
    4403: "You may not enter.",
    4404: "No such room.",
    4409: "The room is full.",
}


class Screen:
    """Prints frames as a conversation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_streaming = False
        self.last_seq: int | None = None
        self.unheard: dict[str, str] = {}  # what was sent by its `client_id`, until the room or an error answers it
        self.answered = asyncio.Event()

    def show(self, frame: dict[str, Any]) -> None:
        self.last_seq = frame.get("seq", self.last_seq)
        match frame["type"]:
            case "welcome":
                self.last_seq = frame["last_seq"] if self.last_seq is None else self.last_seq
                names = ", ".join(person["name"] for person in frame["participants"])
                self.note(f"You are {frame['you']['name']}. Here: {names}")
            case "user_joined":
                self.note(f"{frame['user']['name']} joined")
            case "user_left":
                self.note(f"{frame['user']['name']} left")
            case "spirit_token":
                self._is_streaming = True
                self._console.print(frame["delta"], end="", markup=False, highlight=False, style="cyan")
            case "message_received":
                self._message(frame)
                self._forget(frame["client_id"])
            case "error":
                self.note(frame["message"])
                self._forget(frame["details"].get("client_id"))

    def _message(self, frame: dict[str, Any]) -> None:
        if self._is_streaming and frame["is_spirit"]:
            self._console.print()  # its text was shown while it came
        else:
            self._console.print(f"[bold]{escape(frame['user_name'])}[/]: {escape(frame['text'])}", highlight=False)
        self._is_streaming = False
        for citation in frame["citations"]:
            page = f", page {citation['page']}" if citation["page"] else ""
            self.note(f"[{citation['marker']}] {citation['title']}{page}")

    def _forget(self, client_id: str | None) -> None:
        if client_id is not None:
            self.unheard.pop(client_id, None)
            self.answered.set()

    def note(self, text: str) -> None:
        self._console.print(f"[dim]{escape(text)}[/]", highlight=False)


async def _read_lines(lines: asyncio.Queue[str | None]) -> None:
    """Standard input, line by line, for as long as the conversation lasts; None at its end."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            await lines.put(line.strip())
    await lines.put(None)


async def _send_lines(socket: ClientConnection, screen: Screen, lines: asyncio.Queue[str | None]) -> None:
    """Until the last one was answered. What a lost connection may have swallowed is sent again, and said once."""
    for client_id, unheard in list(screen.unheard.items()):
        await _send(socket, client_id, unheard)
    while (line := await lines.get()) is not None:
        client_id = uuid4().hex
        screen.unheard[client_id] = line
        await _send(socket, client_id, line)
    lines.put_nowait(None)  # also after another connection
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_PATIENCE):
            while screen.unheard:
                screen.answered.clear()
                await screen.answered.wait()


async def _send(socket: ClientConnection, client_id: str, line: str) -> None:
    await socket.send(json.dumps({"type": "send_message", "text": line, "client_id": client_id}))


async def _read_frames(socket: ClientConnection, screen: Screen) -> None:
    async for frame in socket:
        screen.show(json.loads(frame))


async def converse(url: str, session_id: str, create_ticket: Callable[[], str], console: Console) -> None:
    """Talk until standard input ends; a lost connection is opened again where it was left."""
    screen = Screen(console)
    lines: asyncio.Queue[str | None] = asyncio.Queue(100)
    typing = asyncio.create_task(_read_lines(lines))
    try:
        while not await _visit(url, session_id, create_ticket, screen, lines):
            console.print("[dim]The connection is lost; trying again …[/]")
            await asyncio.sleep(RETRY_PAUSE)
    finally:
        typing.cancel()


async def _visit(
    url: str, session_id: str, create_ticket: Callable[[], str], screen: Screen, lines: asyncio.Queue[str | None]
) -> bool:
    """One connection's length of the conversation; True when it is over."""
    ticket = await asyncio.to_thread(create_ticket)
    resume = "" if screen.last_seq is None else f"&after_seq={screen.last_seq}"
    address = f"{url.replace('http', 'ws', 1)}/ws/chat/{session_id}?ticket={ticket}{resume}"
    try:
        async with connect(address) as socket:
            reading = asyncio.create_task(_read_frames(socket, screen))
            writing = asyncio.create_task(_send_lines(socket, screen, lines))
            done, pending = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if writing in done and writing.exception() is None:
                return True
            await reading
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 1006
        if code in FINAL_CODES:
            screen.note(FINAL_CODES[code])
            return True
    except OSError:
        pass
    return False
