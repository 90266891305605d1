"""The client for browsers and Node against a live server, and its types."""

import asyncio
import json
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from clients.generate import PYTHON, TYPESCRIPT, python, typescript
from tests.factories import make_user
from tests.processes import LiveServer, start_process, wait_until_live
from tests.rooms import invite_guest, make_room

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
SCRIPT = Path(__file__).with_name("room.mjs")
COMPILER = "typescript@7.0.2"
OLDEST_NODE = 20
PATIENCE = 30  # seconds


class Program:
    """A person in a room, played by Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self.heard: list[dict[str, Any]] = []

    async def tell(self, **command: Any) -> None:
        self._stdin.write(json.dumps(command).encode() + b"\n")
        await self._stdin.drain()

    async def hear(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while line := await self._stdout.readline():
                event = json.loads(line)
                self.heard.append(event)
                if event["type"] == kind:
                    return event
        raise AssertionError(f"Node ended without {kind!r}: {self.heard}")

    @property
    def messages(self) -> list[str]:
        return [event["text"] for event in self.heard if event["type"] == "message_received"]


def node() -> list[str]:
    """How to run Node with a WebSocket in it."""
    program = shutil.which("node")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
    major = int(version[1:].partition(".")[0] or 0)
    if program is None or major < OLDEST_NODE:
        pytest.skip(f"The TypeScript client is tested with Node {OLDEST_NODE} or newer; there is {version or 'none'}")
    return [program] if major >= 22 else [program, "--experimental-websocket", "--no-warnings"]


@asynccontextmanager
async def play(server: LiveServer, token: str, room: str) -> AsyncIterator[Program]:
    command = [*node(), str(SCRIPT), server.url, token, room]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**24)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_room_is_followed_without_loss_through_a_crash_of_the_server(start_another):
    node()
    server = await start_another()
    async with server.client() as client:
        ada = await make_user(client)
        room = await make_room(client, ada)
        guest = (await invite_guest(client, ada, room))["Authorization"].removeprefix("Bearer ")
    async with play(server, ada.access_token, room) as one, play(server, guest, room) as other:
        assert (await one.hear("welcome"))["you"]["name"] == "Ada"
        await other.hear("welcome")
        await one.tell(say="before")
        assert (await one.hear("kept"))["message"]["text"] == "before"
        await other.hear("message_received")

        server.process.kill()
        await server.process.wait()
        await one.tell(say="while it is away")  # waits for the server, and is said once
        server.process = await start_process(server.environment, "serve")
        await wait_until_live(server)
        kept = (await one.hear("kept"))["message"]
        await other.tell(say="after")
        await other.hear("kept")
        for program in (one, other):
            while program.messages[-1] != "after":
                await program.hear("message_received")
        expected = ["before", "while it is away", "after"]
        assert one.messages == other.messages == expected
        assert kept["seq"] == 2

        await other.tell(leave=True)
        await other.hear("left")


async def test_documents_are_added_asked_about_and_what_is_refused_has_its_code(live):
    node()
    async with live.client() as client:
        ada = await make_user(client)
        room = await make_room(client, ada)
    async with play(live, ada.access_token, room) as program:
        await program.hear("welcome")
        await program.tell(add="The ferry to Tern Island leaves at half past nine.")
        assert (await program.hear("added"))["document"]["status"] == "ready"
        await program.tell(question="When does the ferry to Tern Island leave?")
        answer = await program.hear("answer")
        assert "half past nine" in answer["text"]
        assert answer["text"] == answer["done"]["answer"]
        await program.tell(say=" ")
        assert (await program.hear("refused"))["code"] == "VALIDATION_ERROR"
        await program.tell(read="/documents/00000000-0000-7000-8000-000000000000")
        failed = await program.hear("failed")
        assert (failed["code"], failed["known"]) == ("RESOURCE_NOT_FOUND", True)
    async with play(live, ada.access_token, "00000000-0000-7000-8000-000000000000") as nowhere:
        assert (await nowhere.hear("ended"))["code"] == 4404


@pytest.mark.parametrize(("path", "made"), [(TYPESCRIPT, typescript), (PYTHON, python)])
def test_the_types_of_the_clients_are_those_of_the_server(path, made):
    hint = "the protocol has changed: `make docs` writes the types of the clients anew"
    assert path.read_text(encoding="utf-8") == made(), hint


def test_the_declarations_are_those_of_the_code(tmp_path):
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("Node is not installed, and so no TypeScript")
    for source in [*CLIENT.glob("*.js"), CLIENT / "types.d.ts", CLIENT / "tsconfig.json", CLIENT / "package.json"]:
        shutil.copy(source, tmp_path)
    offline = [npx, "--offline", "--yes", "-p", COMPILER, "tsc"]  # a test fetches nothing
    environment = {**os.environ, "npm_config_loglevel": "error"}
    if subprocess.run([*offline, "--version"], env=environment, capture_output=True).returncode != 0:
        pytest.skip("TypeScript was not fetched yet: `make lint-api` does so")
    checked = subprocess.run([*offline, "-p", str(tmp_path)], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    for name in ("hearth.d.ts", "connection.d.ts", "streams.d.ts"):
        assert (tmp_path / name).read_text() == (CLIENT / name).read_text(), f"`make lint-api` writes {name} anew"
