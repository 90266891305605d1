"""A store that speaks S3: a server process of its own, with one bucket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from app.settings.workspace import StorageSettings
from tests.processes import free_port, stop_process

KEY, SECRET, BUCKET = "hearth-tests", "a secret of forty bytes, or a few more", "memories"
START_PATIENCE = 20.0  # seconds


@asynccontextmanager
async def serve_objects(folder: Path) -> AsyncIterator[StorageSettings]:
    """How to reach it, for the length of the block."""
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    environment = os.environ | {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    command = ("-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--log-level", "error", "--no-access-log", env=environment
    )
    try:
        await _wait_for(port)
        yield StorageSettings(
            backend="s3",
            bucket=BUCKET,
            prefix="files",
            endpoint=f"http://127.0.0.1:{port}",
            access_key=SecretStr(KEY),
            secret_key=SecretStr(SECRET),
        )
    finally:
        await stop_process(process)


async def _wait_for(port: int) -> None:
    async with asyncio.timeout(START_PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
