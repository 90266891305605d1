"""What `hearth run` does with its children, and what becomes of them without it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.settings import Settings
from app.supervisor import Children, run
from tests.children import dies_at_once, hears_nothing
from tests.data_dirs import temporary_data_dir
from tests.factories import login, register
from tests.processes import REPOSITORY, free_port

PATIENCE = 20.0  # seconds
START_PATIENCE = 60.0
# Python reads this at its start, in every process: whoever looks outside is refused, and is found out.
BLOCKED = """
import ipaddress, pathlib, sys

def refuse(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    try:
        is_near = host in (None, "", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_near = False
    if not is_near:
        pathlib.Path(%r).open("a").write(f"{sys.argv} {host}\\n")
        raise OSError(f"the outside is blocked: {host}")

sys.addaudithook(refuse)
"""
SUPERVISOR = """
import asyncio, os, sys
from app.supervisor import Children
from tests.children import ends_with_parent

async def main():
    async with Children(dict(os.environ), asyncio.Event()).kept_running("child", ends_with_parent, sys.argv[1]):
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as folder:
        yield folder


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_in(session: int) -> list[str]:
    """Whatever runs in it, but for what has ended and waits to be seen."""
    told = [(process, process.info) for process in psutil.process_iter(["name", "status", "cmdline"])]
    return [
        f"{info['name']} {info['cmdline']}"
        for process, info in told
        if info["status"] != psutil.STATUS_ZOMBIE and session_of(process.pid) == session
    ]


def session_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def is_written(file: Path) -> bool:
    return file.exists() and file.read_text().endswith("\n")


async def test_a_child_that_dies_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    children = Children(dict(os.environ), asyncio.Event())
    began = time.monotonic()
    async with children.kept_running("child", dies_at_once, str(starts)):
        await eventually(lambda: starts.exists() and len(starts.read_text().splitlines()) == 3)
    assert time.monotonic() - began > 0.5 + 1.0


async def test_a_child_that_does_not_listen_is_killed_at_once_in_a_hurry(tmp_path: Path) -> None:
    file, hurry = tmp_path / "pid", asyncio.Event()
    async with Children(dict(os.environ), hurry).kept_running("child", hears_nothing, str(file)):
        await eventually(lambda: is_written(file))
        hurry.set()
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert not is_running(int(file.read_text()))


async def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = (sys.executable, "-c", SUPERVISOR, str(file))
    supervisor = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY)
    await eventually(lambda: is_written(file))
    child = int(file.read_text())
    assert is_running(child)

    supervisor.kill()
    await supervisor.wait()

    await eventually(lambda: not is_running(child))


async def test_a_taken_port_is_said_once_and_nothing_starts(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert await run(Settings(_env_file=None, port=port, data_dir=data_dir)) == 1
    assert f"Cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
    assert is_empty(data_dir)


async def kill_what_children_come_from(supervisor: int) -> None:
    """Its children are ended then and start anew, from a new one."""
    forking = [one for one in psutil.Process(supervisor).children() if "forkserver" in " ".join(one.cmdline())]
    if sys.platform == "linux":
        (nursery,) = forking
        children = nursery.children()
        assert {child.name() for child in children} == {"hearth serve", "hearth worker"}
        nursery.kill()
        await eventually(lambda: not any(is_running(child.pid) for child in children))


async def answer_to_a_stranger(url: str, name: str = "ada") -> str:
    """Register, upload, ask."""
    await eventually_live(url)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        await register(client, f"{name}@example.com")
        tokens = (await login(client, f"{name}@example.com")).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        accepted = await client.post("/api/v1/documents", json={"text": "The lamp is lit at nine.", "title": "Lamp"})
        path = f"/api/v1/documents/{accepted.json()['document']['id']}"
        async with asyncio.timeout(PATIENCE):
            while (await client.get(path)).json()["status"] != "ready":
                await asyncio.sleep(0.1)
        answer: str = (await client.post("/api/v1/query", json={"question": "When is the lamp lit?"})).json()["answer"]
        return answer


async def eventually_live(url: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(START_PATIENCE):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health/live")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def test_one_command_serves_and_one_interrupt_ends_everything_cleanly(data_dir: Path, tmp_path: Path) -> None:
    """The first start with an empty data folder, and with everything outside this machine out of reach."""
    environment = environment_of_a_stranger(data_dir, free_port())
    looked_outside = tmp_path / "looked-outside"
    (tmp_path / "sitecustomize.py").write_text(BLOCKED % str(looked_outside))
    environment["PYTHONPATH"] = str(tmp_path)
    first = await start(environment)
    try:
        url = f"http://127.0.0.1:{environment['PORT']}"
        greeting = await read_until(first, b"Ctrl-C")
        assert f"{url}/docs" in greeting
        assert f"{url}/api/v1/auth/register" in greeting
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/health/live")).status_code == 200
        assert "lit at nine" in await answer_to_a_stranger(url)
        await kill_what_children_come_from(first.pid)
        assert "lit at nine" in await answer_to_a_stranger(url, name="bob")
        assert not looked_outside.exists(), looked_outside.read_text()
    finally:
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does
        said = (await asyncio.wait_for(first.stdout.read(), PATIENCE)).decode()
    assert await first.wait() == 0
    assert "Traceback" not in said
    assert "Stopped." in said
    for server in ("postgres", "valkey"):
        assert not (data_dir / f"{server}.run").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(environment["PORT"]))) != 0
    await eventually(lambda: not processes_in(first.pid))


def environment_of_a_stranger(data_dir: Path, port: int) -> dict[str, str]:
    """Nothing but the defaults, in a folder and on a port of its own."""
    return {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), "PORT": str(port), "LOG_LEVEL": "warning"}


async def start(environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "run"),
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def read_until(process: asyncio.subprocess.Process, words: bytes) -> str:
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(START_PATIENCE):
        while words not in said:
            line = await process.stdout.readline()
            assert line, said.decode()
            said += line
    return said.decode()
