"""How long `hearth run` takes until it answers: the first time, and with everything there.

python -m benchmarks.start
"""

import asyncio
import os
import signal
import statistics
import sys
import time

import httpx

from benchmarks.measuring import machine
from tests.data_dirs import temporary_data_dir
from tests.processes import free_port

WARM_STARTS = 5
REFERENCE = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/health/live')\nasync def live(): return {}\n"


async def seconds_until_live(port: int, environment: dict[str, str], *command: str) -> float:
    """Start, wait for the first answer, stop with Ctrl-C."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/health/live")).status_code == 200:
                    break
            except httpx.HTTPError:
                await asyncio.sleep(0.02)
    took = time.perf_counter() - started
    process.send_signal(signal.SIGINT)
    await process.wait()
    return took


async def main() -> None:
    print(machine())
    with temporary_data_dir() as folder:
        port = free_port()
        ours = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port)}
        cold = await seconds_until_live(port, ours, "app.cli", "run")
        warm = [await seconds_until_live(port, ours, "app.cli", "run") for _ in range(WARM_STARTS)]
        (folder / "bare.py").write_text(REFERENCE)
        bare_environment = {**os.environ, "PYTHONPATH": str(folder)}
        uvicorn = ("uvicorn", "bare:app", "--port", str(port))
        bare = [await seconds_until_live(port, bare_environment, *uvicorn) for _ in range(WARM_STARTS)]
    reference = statistics.median(bare)
    print(f"bare FastAPI {reference:.2f} s")
    print(f"cold (empty data folder) {cold:.2f} s = {cold / reference:.1f} × bare")
    print(f"warm {statistics.median(warm):.2f} s = {statistics.median(warm) / reference:.1f} × bare")


if __name__ == "__main__":
    asyncio.run(main())
