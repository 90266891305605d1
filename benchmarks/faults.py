"""Rooms under every fault: what was acknowledged reaches everybody once and in order, or this says what did not.

    python -m benchmarks.faults [SECONDS]

30 rooms with 6 people each, who replay real chat logs through two server processes. Meanwhile a server process, Redis
or a client's socket is killed at random, and PostgreSQL is stopped for a while. People are clients of
`clients/python`, which come back by themselves.
"""

import asyncio
import gzip
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from hearth_client import ConnectionEnded, Hearth, Refused, Room

from app.settings import Settings
from benchmarks.measuring import machine, postgres_id, prepared_settings
from tests.factories import make_user
from tests.processes import LiveServer, start_process, start_server, wait_until_live
from tests.rooms import invite_guest, make_room

LOGS = Path(os.environ.get("HEARTH_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "irc"
NO_LIMIT = "100000000/minute"
OPTIONS = {f"RATE_LIMIT_{name}": NO_LIMIT for name in ("REQUESTS", "MESSAGES", "FRAMES", "LOGIN", "FAILURES")}
PAUSE = 1.0  # seconds between two messages of one room, about
FAULT_INTERVAL = 4.0  # seconds
STOPPED_FOR = 3.0  # seconds of PostgreSQL
PATIENCE = 60.0  # seconds until everybody has heard everything, once nothing is broken any more


@dataclass
class Guest:
    """Somebody in a room: what was heard, as numbers and ids, and the ids of what was acknowledged."""

    room: Room
    heard: list[tuple[int, str]] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0

    async def listen(self) -> None:
        async for event in self.room:
            if event["type"] == "message_received":
                self.heard.append((event["seq"], event["id"]))

    async def say(self, text: str) -> None:
        try:
            self.acknowledged.append((await self.room.send(text))["id"])
        except Refused:
            self.refused += 1


@dataclass(frozen=True)
class Outcome:
    acknowledged: int
    deliveries: int
    refused: int
    lost: int
    doubled: int
    disordered: int
    faults: dict[str, int]

    def __str__(self) -> str:
        faults = ", ".join(f"{count} x {name}" for name, count in self.faults.items())
        return (
            f"{self.acknowledged:,} messages acknowledged, {self.deliveries:,} deliveries, {self.refused} refused; "
            f"{self.lost} lost, {self.doubled} doubled, {self.disordered} out of order; {faults}"
        )


class Saboteur:
    """Breaks one thing after another."""

    def __init__(
        self, settings: Settings, servers: Sequence[LiveServer], guests: Sequence[Guest], *, interval: float
    ) -> None:
        self._settings = settings
        self._interval = interval
        self._servers = servers
        self._guests = guests
        self.done: dict[str, int] = {}

    async def work(self, until: float) -> None:
        kinds = itertools.cycle(("socket", "redis", "postgres", "socket", "server"))
        while time.monotonic() < until:
            kind = next(kinds)
            await getattr(self, f"_break_{kind}")()
            self.done[kind] = self.done.get(kind, 0) + 1
            await asyncio.sleep(self._interval * random.uniform(0.5, 1.5))

    async def _break_socket(self) -> None:
        for guest in random.sample(list(self._guests), max(1, len(self._guests) // 10)):
            if guest.room._socket is not None:
                guest.room._socket.transport.abort()

    async def _break_server(self) -> None:
        server = random.choice(self._servers)
        server.process.kill()
        await server.process.wait()
        server.process = await start_process(server.environment, "serve")
        await wait_until_live(server)

    async def _break_redis(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self._socket_folder) in part for part in process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    async def _break_postgres(self) -> None:
        first = psutil.Process(postgres_id(self._settings))
        everyone = [first, *first.children(recursive=True)]
        for process in everyone:
            process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_FOR)
        for process in everyone:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    @property
    def _socket_folder(self) -> str:
        """Of this run's Valkey, whose command line names it."""
        return self._settings.redis.url.get_secret_value().removeprefix("unix://").partition("?")[0]


def lines() -> Iterator[str]:
    """What people said, for ever."""
    texts = []
    for path in sorted(LOGS.glob("*.messages.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [message["text"] for message in map(json.loads, file) if message.get("text", "").strip()]
    return itertools.cycle(texts or [f"Line {number}" for number in range(1000)])


@asynccontextmanager
async def guests_of(servers: Sequence[LiveServer], rooms: int, people: int) -> AsyncIterator[list[list[Guest]]]:
    """Everybody in their rooms, half of them on each server."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(servers[0].client())
        owner = await make_user(client)
        everybody = []
        for _ in range(rooms):
            room = await make_room(client, owner, max_users=people)
            tokens = [owner.access_token]
            while len(tokens) < people:
                tokens.append((await invite_guest(client, owner, room))["Authorization"].removeprefix("Bearer "))
            group = []
            for number, token in enumerate(tokens):
                hearth = await stack.enter_async_context(Hearth(servers[number % len(servers)].url, token=token))
                group.append(Guest(await stack.enter_async_context(hearth.room(room))))
            everybody.append(group)
        for guest in itertools.chain(*everybody):
            while guest.room.last_seq is None:
                await asyncio.sleep(0.05)
        yield everybody


async def talk(group: Sequence[Guest], texts: Iterator[str], until: float) -> None:
    """One after another, without waiting for each other."""
    async with asyncio.TaskGroup() as saying:
        for guest in itertools.cycle(group):
            if time.monotonic() > until:
                return
            saying.create_task(guest.say(next(texts)))
            await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))


async def settle(groups: Sequence[Sequence[Guest]]) -> None:
    """Until everybody in a room has heard the same number of messages, twice in a row."""
    end = time.monotonic() + PATIENCE
    before: list[list[int]] = []
    while time.monotonic() < end:
        counts = [[len(guest.heard) for guest in group] for group in groups]
        said = [sum(len(guest.acknowledged) for guest in group) for group in groups]
        if counts == before and all(
            min(count) == max(count) >= least for count, least in zip(counts, said, strict=True)
        ):
            return
        before = counts
        await asyncio.sleep(2)


def judge(groups: Sequence[Sequence[Guest]], faults: dict[str, int]) -> Outcome:
    lost = doubled = disordered = 0
    for group in groups:
        everything = {message for guest in group for _, message in guest.heard}
        everything.update(message for guest in group for message in guest.acknowledged)
        for guest in group:
            ids = [message for _, message in guest.heard]
            lost += len(everything - set(ids))
            doubled += len(ids) - len(set(ids))
            disordered += sum(1 for one, other in itertools.pairwise(guest.heard) if other[0] <= one[0])
    everybody = [guest for group in groups for guest in group]
    return Outcome(
        acknowledged=sum(len(guest.acknowledged) for guest in everybody),
        deliveries=sum(len(guest.heard) for guest in everybody),
        refused=sum(guest.refused for guest in everybody),
        lost=lost,
        doubled=doubled,
        disordered=disordered,
        faults=faults,
    )


async def run(
    settings: Settings, *, rooms: int, people: int, seconds: float, interval: float = FAULT_INTERVAL
) -> Outcome:
    """Talk for so many `seconds` while things break, then see who heard what."""
    async with (
        start_server(settings, worker=False, **OPTIONS) as one,
        start_server(settings, worker=False, **OPTIONS) as other,
        guests_of((one, other), rooms, people) as groups,
    ):
        everybody = [guest for group in groups for guest in group]
        listening = [asyncio.create_task(guest.listen()) for guest in everybody]
        saboteur = Saboteur(settings, (one, other), everybody, interval=interval)
        until = time.monotonic() + seconds
        texts = lines()
        async with asyncio.TaskGroup() as work:
            work.create_task(saboteur.work(until))
            for group in groups:
                work.create_task(talk(group, texts, until))
        await settle(groups)
        for task in listening:
            task.cancel()
        with suppress(ConnectionEnded):
            await asyncio.gather(*listening, return_exceptions=True)
        return judge(groups, saboteur.done)


async def main(seconds: float) -> None:
    print(machine())
    async with prepared_settings() as settings:
        print(await run(settings, rooms=30, people=6, seconds=seconds))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 120.0))
