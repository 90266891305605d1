"""Messages that are committed to disk before anybody sees them: how many a second, and how late.

    python -m benchmarks.messages

100 rooms with 10 listeners each and one who speaks; one server process, PostgreSQL, Valkey and the clients on the same
machine; limits on. The reference is one row a transaction with the bare driver.
"""

import asyncio
import json
import statistics
import time

import asyncpg
from websockets.asyncio.client import connect

from app.settings import Settings
from benchmarks.crowd import Plan, crowd, p99
from benchmarks.measuring import in_turn, machine, p50, percentiles, prepared_settings, settle
from tests.factories import User, make_user
from tests.processes import LiveServer, start_server
from tests.rooms import make_room

ROOMS, LISTENERS = 100, 10
ROUNDS = 3
SECONDS = 4.0
RATE = 300  # messages a second in all rooms together, for latencies
WINDOW = 4  # messages of one room that are on their way at once
BARE_CONNECTIONS = 20
TEXT = "The kettle is on, come over when you like. " * 3
NO_LIMIT = "100000000/minute"
OPTIONS = {
    "RATE_LIMIT_REQUESTS": NO_LIMIT,
    "RATE_LIMIT_MESSAGES": NO_LIMIT,
    "RATE_LIMIT_FRAMES": NO_LIMIT,
    "REALTIME_HEARTBEAT": "600",
}


async def measure_acknowledgement(server: LiveServer, settings: Settings, user: User, room: str) -> None:
    """From sending to hearing it back, stored and numbered; beside it one row committed by the bare driver."""
    database = await _bare_connection(settings)
    await database.execute("CREATE TABLE notes (id bigserial PRIMARY KEY, text text)")
    async with connect(f"{server.ws_url}/ws/chat/{room}", additional_headers=user.headers) as socket:
        await socket.recv()

        async def say() -> None:
            await socket.send(json.dumps({"type": "send_message", "text": TEXT}))
            while json.loads(await socket.recv())["type"] != "message_received":
                pass

        async def store() -> None:
            await database.execute("INSERT INTO notes (text) VALUES ($1)", TEXT)

        ours, bare = await in_turn(say, store, rounds=10, times=50)
    await database.close()
    print(f"acknowledged, idle p50 / p95 {percentiles(ours)}")
    print(f"one row, committed p50 / p95 {percentiles(bare)}; ratio {p50(ours) / p50(bare):.1f}")


async def bare_rate(settings: Settings) -> float:
    """Rows a second, each committed, on several connections of the bare driver."""
    connections = [await _bare_connection(settings) for _ in range(BARE_CONNECTIONS)]
    end = time.perf_counter() + SECONDS

    async def store(connection: asyncpg.Connection) -> int:
        count = 0
        while time.perf_counter() < end:
            await connection.execute("INSERT INTO notes (text) VALUES ($1)", TEXT)
            count += 1
        return count

    total = sum(await asyncio.gather(*(store(connection) for connection in connections)))
    for connection in connections:
        await connection.close()
    return total / SECONDS


async def _bare_connection(settings: Settings) -> asyncpg.Connection:
    return await asyncpg.connect(settings.database.url.get_secret_value().replace("+asyncpg", ""))


async def measure() -> None:
    print(machine())
    async with (
        prepared_settings(commits_to_disk=True) as settings,
        start_server(settings, worker=False, **OPTIONS) as server,
    ):
        async with server.client() as client:
            user = await make_user(client)
            rooms = [await make_room(client, user, max_users=1000) for _ in range(ROOMS)]
        await settle()
        await measure_acknowledgement(server, settings, user, rooms[0])
        shout = json.dumps({"type": "send_message", "text": TEXT})
        plan = Plan(
            server.port,
            [f"/ws/chat/{room}" for room in rooms],
            f"Authorization: Bearer {user.access_token}\r\n",
            LISTENERS,
            shout,
            '"type":"message_received"',
            ready='"type":"welcome"',
        )
        async with crowd(plan) as clients:
            for _ in range(ROUNDS):
                flood = await clients.flood(SECONDS, WINDOW)
                bare = await bare_rate(settings)
                late = await clients.pace(SECONDS, RATE / ROOMS)
                stored = flood.deliveries / LISTENERS
                print(
                    f"{ROOMS} rooms x {LISTENERS}: {stored:,.0f} messages/s, {flood.deliveries:,.0f} deliveries/s; "
                    f"rows/s of the bare driver {bare:,.0f}, ratio {stored / bare:.2f}; "
                    f"at {RATE}/s p50 {statistics.median(late) * 1000:.1f}, p99 {p99(late) * 1000:.1f} ms"
                )


if __name__ == "__main__":
    asyncio.run(measure())
