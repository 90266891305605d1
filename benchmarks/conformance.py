"""The Autobahn cases against an echo over our WebSocket protocol, with the server's own settings.

    KOSOKU=/tmp/references/bin/kosoku python -m benchmarks.conformance

`KOSOKU` is the command of the package of that name. Compression is off, so its cases do not count.
"""

import asyncio
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.server import server_options
from app.settings import Settings
from tests.processes import free_port

WITHOUT = ("12.*", "13.*")  # compression
LARGEST_CASE = 16 * 2**20  # bytes; our own limit is lower


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        return


def read_reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.rglob("index.json")]


async def measure() -> None:
    port = free_port()
    app = Starlette(routes=[WebSocketRoute("/{path:path}", echo)])
    options = server_options(Settings(_env_file=None)) | {"app": app, "factory": False, "port": port}
    server = uvicorn.Server(uvicorn.Config(**(options | {"ws_max_size": LARGEST_CASE})))
    serving = asyncio.create_task(server.serve())
    with TemporaryDirectory() as folder:
        without = [word for cases in WITHOUT for word in ("--exclude", cases)]
        command = (os.environ["KOSOKU"], *without, "--outdir", folder, f"127.0.0.1:{port}")
        process = await asyncio.create_subprocess_exec(*command, cwd=folder)
        await process.wait()
        reports = read_reports(Path(folder))
    server.should_exit = True
    await serving
    outcomes = [case["behavior"] for report in reports for agent in report.values() for case in agent.values()]
    print({outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}, f"of {len(outcomes)} cases")


if __name__ == "__main__":
    asyncio.run(measure())
