"""How long `hearth run` takes until it answers, the first time and with everything there; and what it then holds.

python -m benchmarks.start
"""

import asyncio
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psutil

from benchmarks.measuring import machine
from tests.data_dirs import temporary_data_dir
from tests.processes import free_port

WARM_STARTS = 5
SETTLED = 5  # seconds
REFERENCE = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/health/live')\nasync def live(): return {}\n"


@asynccontextmanager
async def started(port: int, environment: dict[str, str], *command: str) -> AsyncIterator[tuple[int, float]]:
    """Start, wait for the first answer, stop with Ctrl-C: the id of the process, and the seconds that it took."""
    began = time.perf_counter()
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
    yield process.pid, time.perf_counter() - began
    process.send_signal(signal.SIGINT)
    await process.wait()


async def seconds_until_live(port: int, environment: dict[str, str], *command: str) -> float:
    async with started(port, environment, *command) as (_, took):
        return took


async def use(url: str) -> None:
    """Have a document read and found, so that server and worker have loaded their models."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        account = {"email": "ada@example.com", "password": "only for this benchmark", "name": "Ada"}
        (await client.post("/auth/register", json=account)).raise_for_status()
        form = {"username": account["email"], "password": account["password"]}
        tokens = (await client.post("/auth/login", data=form)).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        (await client.post("/documents", json={"text": "The lamp is lit at nine."})).raise_for_status()
        while not (await client.post("/search", json={"query": "When is it lit?"})).raise_for_status().json()["items"]:
            await asyncio.sleep(0.1)


def held(process_id: int) -> dict[str, float]:
    """MiB (proportional set size) by what the processes are called; PostgreSQL and Valkey apart."""
    everyone = [psutil.Process(process_id), *psutil.Process(process_id).children(recursive=True)]
    sizes: Counter[str] = Counter()
    for one in everyone:
        if one.name().startswith(("postgres", "valkey")):
            continue
        name = one.name() if one.name() in ("hearth serve", "hearth worker") else "supervisor and the rest"
        sizes[name] += one.memory_full_info().pss / 2**20
    return sizes


def tell(when: str, sizes: dict[str, float]) -> None:
    of_both = sizes["hearth serve"] + sizes["hearth worker"]
    each = ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items()))
    print(f"memory {when} (PSS, MiB): server and worker {of_both:.0f}; {each}")


async def main() -> None:
    print(machine())
    with temporary_data_dir() as folder:
        port = free_port()
        ours = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port)}
        cold = await seconds_until_live(port, ours, "app", "run")
        warm = [await seconds_until_live(port, ours, "app", "run") for _ in range(WARM_STARTS)]
        async with started(port, ours, "app", "run") as (process_id, _):
            await asyncio.sleep(SETTLED)
            tell("idle", held(process_id))
            await use(f"http://127.0.0.1:{port}")
            await asyncio.sleep(SETTLED)
            tell("after a document and a question", held(process_id))
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
