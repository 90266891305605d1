"""The MCP server, as programs of others meet it: the Inspector's command line and the conformance suite."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.resources import Resources
from tests.factories import make_key, make_user
from tests.library import LIGHTHOUSE, add_text
from tests.processes import LiveServer

INSPECTOR = "@modelcontextprotocol/inspector@0.15.0"  # the newest that runs on Node 20
CONFORMANCE = "@modelcontextprotocol/conformance@0.1.6"
APPLYING = ("server-initialize", "tools-list", "resources-list")
"""The others ask for tools, prompts and resources that are made for them alone."""


@asynccontextmanager
async def with_key(live: LiveServer, key: str) -> AsyncIterator[str]:
    """The server's address for programs that send no credentials: a relay writes the key into each request."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            request, rest = head.split(b"\r\n", 1)
            kept = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            beyond, onward = await asyncio.open_connection("127.0.0.1", live.port)
            added = f"X-API-Key: {key}\r\nConnection: close\r\n".encode()
            onward.write(request + b"\r\n" + added + b"\r\n".join(kept))
            sending = asyncio.create_task(pump(reader, onward))
            await pump(beyond, writer)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            onward.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()


async def run(package: str, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
    """What a Node program says; it has to be in npm's cache, since a test fetches nothing."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("Node is not installed, and so none of its MCP clients")
    process = await asyncio.create_subprocess_exec(
        *(npx, "--offline", "--yes", package, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "npm_config_loglevel": "error"},
        cwd=cwd,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    if b"ENOTCACHED" in output:
        pytest.skip(f"{package} was not fetched yet: `npx --yes {package} --version` does so")
    return process.returncode or 0, output.decode()


@pytest.fixture
async def address(live: LiveServer, committed: Resources) -> AsyncIterator[str]:
    async with live.client() as http:
        ada = await make_user(http)
        await add_text(http, committed, ada, LIGHTHOUSE, "Gull Rock")
        key = await make_key(http, ada, scopes=["read", "write"])
    async with with_key(live, key["key"]) as url:
        yield url


async def test_the_inspector_lists_and_calls_the_tools(address: str):
    async def inspect(*arguments: str) -> dict[str, Any]:
        code, output = await run(INSPECTOR, "--cli", address, "--transport", "http", *arguments)
        assert code == 0, output
        return json.loads(output)

    tools = {tool["name"] for tool in (await inspect("--method", "tools/list"))["tools"]}
    assert tools >= {"search", "ask", "add_memory"}
    calling = ("--method", "tools/call", "--tool-name")
    found, kept = await asyncio.gather(
        inspect(*calling, "search", "--tool-arg", "query=How high is the tower?", "top_k=1"),
        inspect(*calling, "add_memory", "--tool-arg", "content=We saw Gull Rock."),
    )
    assert found["structuredContent"]["items"][0]["title"] == "Gull Rock"
    assert kept["structuredContent"]["title"] == "We saw Gull Rock."


async def test_the_conformance_scenarios_that_apply_pass(address: str, tmp_path: Path):
    checking = [
        run(CONFORMANCE, "server", "--url", address, "--scenario", scenario, cwd=tmp_path) for scenario in APPLYING
    ]
    for code, output in await asyncio.gather(*checking):
        assert code == 0, output
        assert "SUCCESS" in output, output
        assert "FAILURE" not in output, output
