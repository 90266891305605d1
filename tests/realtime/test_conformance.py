"""The Autobahn cases, driven by kosoku against an echo over our WebSocket protocol and the server's own settings."""

import asyncio
import json
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.server import server_options
from app.settings import Settings
from tests.processes import free_port

CASES = 247
LEFT_OUT = ("-x", "9.*", "-x", "12.*", "-x", "13.*")  # speed; compression, which is off
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    with suppress(WebSocketDisconnect):
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])


async def until_started(server: uvicorn.Server) -> None:
    async with asyncio.timeout(10):
        while True:
            await asyncio.sleep(0.01)
            if server.started:
                return


def outcomes_in(folder: Path) -> dict[str, str]:
    (report,) = folder.rglob("index.json")
    agents = json.loads(report.read_text()).values()
    return {name: case["behavior"] for agent in agents for name, case in agent.items()}


async def test_every_case_of_autobahn_passes(tmp_path: Path):
    port = free_port()
    app = Starlette(routes=[WebSocketRoute("/{path:path}", echo)])
    options = server_options(Settings(_env_file=None)) | {"app": app, "factory": False, "port": port}
    server = uvicorn.Server(uvicorn.Config(**options))
    server.capture_signals = nullcontext  # they are pytest's
    serving = asyncio.create_task(server.serve())
    await until_started(server)
    command = (
        Path(sys.executable).parent / "kosoku",
        *LEFT_OUT,
        "--parallelism",
        "4",
        "--outdir",
        tmp_path,
        f"127.0.0.1:{port}",
    )
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    server.should_exit = True
    await serving
    outcomes = outcomes_in(tmp_path)
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in GOOD} == {}
    assert len(outcomes) == CASES
