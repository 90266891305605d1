"""Frames without a number (typing, tokens) from one to many: hub, Redis and sockets alone, beside three others.

    REFERENCE_PYTHON=/tmp/references/bin/python python -m benchmarks.fanout

`REFERENCE_PYTHON` has python-socketio, broadcaster, redis, starlette, uvicorn[standard]; without it only the naive loop
is compared with. One server process each, the clients in a process of their own; all in turn, several rounds.
"""

import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr

from app.embedded.valkey import bundled_program
from app.settings import Settings
from benchmarks.crowd import Crowd, Plan, crowd, p99
from benchmarks.measuring import machine, prepared_settings
from tests.factories import make_user
from tests.processes import REPOSITORY, LiveServer, free_port, start_server, stop_process, wait_until_live
from tests.rooms import make_room

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = 2.0
FILLER = json.dumps({"type": "typing", "text": "x" * 200}, separators=(",", ":"))  # as long as our frame
REFERENCE_PYTHON = os.environ.get("REFERENCE_PYTHON")
RULED_OUT_PINGS = ("--ws-ping-interval", "600", "--ws-ping-timeout", "600", "--ws-per-message-deflate", "false")


@dataclass(frozen=True)
class Scenario:
    rooms: int
    listeners: int
    window: int  # frames of one room that are on their way at once
    rate: float  # frames a second in each room, for latencies

    def __str__(self) -> str:
        return f"{self.rooms} x {self.listeners:,}"


@dataclass
class Contender:
    name: str
    plan: Plan
    crowd: Crowd | None = None
    deliveries: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


SCENARIOS = (Scenario(1, 100, 256, 50), Scenario(1, 1000, 64, 8), Scenario(100, 10, 16, 5))


@asynccontextmanager
async def redis_on_tcp() -> AsyncIterator[str]:
    port = free_port()
    options = ("--port", str(port), "--save", "", "--loglevel", "warning", "--logfile", os.devnull)
    process = await asyncio.create_subprocess_exec(str(bundled_program()), *options)
    try:
        await asyncio.sleep(0.5)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        await stop_process(process)


@asynccontextmanager
async def reference(name: str, settings: Settings) -> AsyncIterator[LiveServer]:
    port = free_port()
    environment = {"PATH": "/usr/bin", "REDIS_URL": settings.redis.url.get_secret_value()}
    options = ("--port", str(port), "--log-level", "warning", *RULED_OUT_PINGS)
    python = sys.executable if name == "naive" else REFERENCE_PYTHON
    assert python is not None
    command = (python, "-m", "uvicorn", f"benchmarks.references.{name}:app", *options)
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=REPOSITORY)
    server = LiveServer(port, process, None, environment)
    try:
        await wait_until_live(server)
        yield server
    finally:
        await stop_process(process)


def reference_plan(name: str, port: int, scenario: Scenario) -> Plan:
    rooms = [f"room{number}" for number in range(scenario.rooms)]
    if name == "with_socketio":
        paths = [f"/socket.io/?EIO=4&transport=websocket&room={room}" for room in rooms]
        shout = f'42["typing",{FILLER}]'
        return Plan(port, paths, "", scenario.listeners, shout, '["typing"', greeting="40", ready='40{"sid"')
    return Plan(port, [f"/ws/{room}" for room in rooms], "", scenario.listeners, FILLER, '"type":"typing"')


async def own_plan(server: LiveServer, scenario: Scenario) -> Plan:
    async with server.client() as client:
        user = await make_user(client)
        rooms = [await make_room(client, user, max_users=1000) for _ in range(scenario.rooms)]
    headers = f"Authorization: Bearer {user.access_token}\r\n"
    paths = [f"/ws/chat/{room}" for room in rooms]
    shout = json.dumps({"type": "typing"})
    return Plan(server.port, paths, headers, scenario.listeners, shout, '"type":"typing"', ready='"type":"welcome"')


async def compete(contenders: list[Contender], scenario: Scenario) -> None:
    async with AsyncExitStack() as stack:
        for contender in contenders:
            contender.crowd = await stack.enter_async_context(crowd(contender.plan))
        for _ in range(ROUNDS):
            for contender in contenders:
                await take_turn(contender, scenario)
    ours = statistics.median(contenders[0].deliveries)
    for contender in contenders:
        if not contender.latencies:
            print(f"{scenario!s:>9}  {contender.name:16} delivers nothing any more")
            continue
        rate = statistics.median(contender.deliveries)
        middle, late = statistics.median(contender.latencies), p99(contender.latencies)
        print(
            f"{scenario!s:>9}  {contender.name:16} {rate:>9,.0f} deliveries/s, ours {ours / rate:5.2f} x; "
            f"at {scenario.rate:.0f}/s a room p50 {middle * 1000:6.2f}, p99 {late * 1000:6.2f} ms"
        )


async def take_turn(contender: Contender, scenario: Scenario) -> None:
    """A server that closes connections has no further turn."""
    if contender.crowd is None:
        return
    try:
        flood = await contender.crowd.flood(SECONDS, scenario.window)
        contender.deliveries.append(flood.deliveries)
        contender.latencies += await contender.crowd.pace(SECONDS, scenario.rate)
    except ConnectionError as error:
        print(f"{scenario!s:>9}  {contender.name:16} {error}")
        contender.crowd = None


async def measure() -> None:
    print(machine())
    names = ["naive"] + (["with_broadcaster", "with_socketio"] if REFERENCE_PYTHON else [])
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(prepared_settings())
        url = SecretStr(await stack.enter_async_context(redis_on_tcp()))  # broadcaster knows no Unix sockets
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": url})})
        options = {"RATE_LIMIT_ENABLED": "false", "REALTIME_HEARTBEAT": "600"}
        ours = await stack.enter_async_context(start_server(settings, worker=False, **options))
        others = {name: await stack.enter_async_context(reference(name, settings)) for name in names}
        for scenario in SCENARIOS:
            contenders = [Contender("hearth", await own_plan(ours, scenario))]
            for name, server in others.items():
                contenders.append(Contender(name, reference_plan(name, server.port, scenario)))
            await compete(contenders, scenario)


if __name__ == "__main__":
    asyncio.run(measure())
