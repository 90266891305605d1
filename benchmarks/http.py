"""`/health` and an authenticated list of 50 against a bare FastAPI application that runs the same SQL.

It answers with the same fields, and asks nobody who they are.

python -m benchmarks.http
"""

import asyncio
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from sqlalchemy.dialects.postgresql import asyncpg

from app.repositories.sessions import listed_rooms
from app.settings import Settings
from benchmarks.measuring import in_turn, machine, p50, percentiles, prepared_settings, resident_mib, settle
from tests.processes import LiveServer, free_port, start_server, stop_process, wait_until_live

ROUNDS, TIMES = 10, 100
ROOMS = 50
NO_LIMIT = "10000000/minute"  # counted all the same

BARE = textwrap.dedent(
    """
    import os
    from contextlib import asynccontextmanager
    from datetime import datetime
    from uuid import UUID
    import asyncpg
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Room(BaseModel):
        id: UUID; name: str; max_users: int; spirit_mode: str; project_id: UUID; owner_id: UUID
        is_active: bool; shares_documents: bool; created_at: datetime; updated_at: datetime

    class Rooms(BaseModel):
        items: list[Room]; next_cursor: str | None

    @asynccontextmanager
    async def lifespan(app):
        url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
        async with asyncpg.create_pool(url) as app.state.pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health")
    async def health() -> dict[str, str]:
        await app.state.pool.fetchval("SELECT 1")
        return {"status": "healthy"}

    @app.get("/rooms")
    async def rooms(user_id: UUID, limit: int) -> Rooms:
        rows = await app.state.pool.fetch(os.environ["SQL"], user_id, "removed", limit + 1)
        return Rooms(items=[Room(**row) for row in rows[:limit]], next_cursor=None)
    """
)


@asynccontextmanager
async def bare_server(settings: Settings) -> AsyncIterator[LiveServer]:
    """The reference: the same framework, server and database, and nothing else."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE)
        port = free_port()
        environment = {
            "DATABASE_URL": settings.database.url.get_secret_value(),
            "SQL": str(listed_rooms(is_guests=False, goes_on=False).compile(dialect=asyncpg.dialect())),
            "PYTHONPATH": folder,
            "PATH": "/usr/bin",
        }
        options = ("--port", str(port), "--log-level", "warning", "--no-access-log")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "bare:app", *options, env=environment
        )
        server = LiveServer(port, process, None, environment)
        try:
            await wait_until_live(server)
            yield server
        finally:
            await stop_process(process)


async def prepare_rooms(client: httpx.AsyncClient) -> str:
    """An account with fifty rooms, signed in; its id."""
    account = {"email": "bench@example.com", "password": "a long password", "name": "Bench"}
    (await client.post("/api/v1/auth/register", json=account)).raise_for_status()
    form = {"username": account["email"], "password": account["password"]}
    token = (await client.post("/api/v1/auth/login", data=form)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    for number in range(ROOMS):
        (await client.post("/api/v1/sessions", json={"name": f"room {number}"})).raise_for_status()
    return str((await client.get("/api/v1/users/me")).json()["id"])


def get(client: httpx.AsyncClient, path: str) -> Callable[[], Awaitable[object]]:
    async def call() -> None:
        (await client.get(path)).raise_for_status()

    return call


async def load(client: httpx.AsyncClient, path: str, *, connections: int, total: int) -> tuple[float, list[float]]:
    """Requests a second of `connections` clients that ask one after another, and the seconds that each answer took.

    The clients are as light as can be: they share two processors with the server, and httpx takes longer than it does.
    """
    url = httpx.URL(str(client.base_url))
    token = client.headers.get("Authorization")
    lines = [f"GET {path} HTTP/1.1", f"Host: {url.host}:{url.port}", *([f"Authorization: {token}"] if token else [])]
    request = "\r\n".join([*lines, "", ""]).encode()
    took: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        for _ in range(total // connections):
            asked = time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b" 200 " in head.split(b"\r\n", 1)[0], head
            await reader.readexactly(int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]))
            took.append(time.perf_counter() - asked)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return len(took) / (time.perf_counter() - began), took


async def main() -> None:
    print(machine())
    limits = httpx.Limits(max_connections=256, keepalive_expiry=2)  # less than the reference keeps a connection
    async with (
        prepared_settings() as settings,
        start_server(settings, worker=True, RATE_LIMIT_REQUESTS=NO_LIMIT) as server,
        bare_server(settings) as bare,
        httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as ours,
        httpx.AsyncClient(base_url=bare.url, limits=limits, timeout=30) as theirs,
    ):
        user_id = await prepare_rooms(ours)
        await settle()
        assert server.worker is not None
        print(f"memory idle (PSS): server {resident_mib(server.process.pid):.0f} MiB, ", end="")
        print(f"worker {resident_mib(server.worker.pid):.0f} MiB, bare {resident_mib(bare.process.pid):.0f} MiB")
        print("what                     hearth p50 / p95          bare p50 / p95       p50 ratio")
        for name, path, reference in (
            ("/health", "/health", "/health"),
            ("list of 50", f"/api/v1/sessions?limit={ROOMS}", f"/rooms?user_id={user_id}&limit={ROOMS}"),
        ):
            mine, others = await in_turn(get(ours, path), get(theirs, reference), rounds=ROUNDS, times=TIMES)
            print(f"{name:<20} {percentiles(mine):>22} {percentiles(others):>22} {p50(mine) / p50(others):>10.2f}")
            for connections in (64, 256):
                (mine_rate, mine), (bare_rate, others) = [
                    await load(client, asked, connections=connections, total=2048)
                    for client, asked in ((ours, path), (theirs, reference))
                ]
                print(f"  {connections} connections: {mine_rate:.0f}/s against {bare_rate:.0f}/s", end=" = ")
                print(f"{mine_rate / bare_rate:.2f}; p50 / p95 {percentiles(mine)} against {percentiles(others)}")


if __name__ == "__main__":
    asyncio.run(main())
