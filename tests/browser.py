"""A browser without a window, driven by its own debugging protocol."""

import asyncio
import json
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")
PATIENCE = 60.0  # seconds


class Page:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._sent += 1
        await self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while (told := json.loads(await self._socket.recv())).get("id") != self._sent:
            pass
        return told["result"]

    async def run(self, expression: str) -> Any:
        """What JavaScript says."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait for it to be true."""
        async with asyncio.timeout(PATIENCE):
            while not (value := await self.run(expression)):
                await asyncio.sleep(0.05)
        return value

    async def fill(self, **fields: str) -> None:
        """Fields of forms, by their names."""
        for name, value in fields.items():
            await self.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")


@asynccontextmanager
async def browse(address: str, folder: Path) -> AsyncIterator[Page]:
    """A page at `address`; `folder` is the browser's own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"There is no browser here: none of {', '.join(NAMES)}")
    command = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, stdout=DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            assert process.stderr is not None
            while not (found := re.search(rb"ws://([\d.:]+)", await process.stderr.readline())):
                assert process.returncode is None, "the browser ended at its start"
            async with AsyncClient(trust_env=False) as client:
                tabs = (await client.get(f"http://{found[1].decode()}/json")).json()
        debugger = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        async with connect(debugger, max_size=None) as socket:
            page = Page(socket)
            await page.call("Page.navigate", url=address)
            await page.until("document.readyState === 'complete'")
            yield page
    finally:
        process.kill()
        await process.wait()
