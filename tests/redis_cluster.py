"""A real cluster: three servers that have a third of the slots each, and a fourth that has none yet."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.cluster import key_slot
from redis.exceptions import RedisError

from app.embedded.valkey import bundled_program
from tests.processes import free_port

SLOTS = 16_384
PATIENCE = 20.0  # seconds


class RedisClusterServers:
    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        self.clients = [Redis(port=port, decode_responses=True) for port in ports]
        self.url = f"redis://127.0.0.1:{ports[0]}"

    async def owner_of(self, name: str) -> int:
        """Which of the servers has the channel or key."""
        for first, last, (_, port, *_), *_ in await self._layout():
            if first <= key_slot(name.encode()) <= last:
                return self.ports.index(port)
        raise AssertionError("a slot of nobody's")

    async def move(self, name: str, to: int) -> None:
        """Give the slot of a channel or key to another server, keys and all."""
        slot, source = key_slot(name.encode()), await self.owner_of(name)
        ids = [await client.execute_command("CLUSTER", "MYID") for client in self.clients]
        await self.clients[to].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await self.clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
        keys = await self.clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        if keys:
            target = ("127.0.0.1", self.ports[to], "", 0, 5000, "KEYS", *keys)
            await self.clients[source].execute_command("MIGRATE", *target)
        for server in (to, source, *set(range(len(self.ports))) - {to, source}):
            await self.clients[server].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[to])

    async def _layout(self) -> Sequence[Sequence[object]]:
        return await self.clients[0].execute_command("CLUSTER SLOTS")


def _command(folder: Path, port: int) -> list[str]:
    folder.mkdir()
    options = {
        "port": port,
        "cluster-port": free_port(),
        "bind": "127.0.0.1",
        "cluster-enabled": "yes",
        "cluster-config-file": "nodes.conf",
        "cluster-allow-replica-migration": "no",  # a server without slots stays what it is
        "dir": folder,
        "save": "",
    }
    return [str(bundled_program()), *(str(word) for name, value in options.items() for word in (f"--{name}", value))]


@asynccontextmanager
async def redis_cluster(folder: Path) -> AsyncIterator[RedisClusterServers]:
    servers = RedisClusterServers([free_port() for _ in range(4)])
    commands = [_command(folder / str(port), port) for port in servers.ports]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]  # noqa: ASYNC220 - takes no time
    try:
        async with asyncio.timeout(PATIENCE):
            await _form(servers, [int(command[command.index("--cluster-port") + 1]) for command in commands])
        yield servers
    finally:
        for client in servers.clients:
            await client.aclose()
        for process in processes:
            process.kill()
            process.wait()


async def _form(servers: RedisClusterServers, bus_ports: Sequence[int]) -> None:
    for client in servers.clients:
        while True:
            with suppress(RedisError, OSError):
                await client.ping()
                break
            await asyncio.sleep(0.02)
    third = SLOTS // 3
    for number, client in enumerate(servers.clients[:3]):
        last = SLOTS - 1 if number == 2 else (number + 1) * third - 1
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * third, last)
    for port, bus_port in zip(servers.ports[1:], bus_ports[1:], strict=True):
        await servers.clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus_port)
    for client in servers.clients:
        await _until_whole(client)


async def _until_whole(client: Redis) -> None:
    while True:
        information = str(await client.execute_command("CLUSTER INFO"))
        if re.search("cluster_state\\W+ok", information) and re.search("cluster_known_nodes\\W+4", information):
            return
        await asyncio.sleep(0.05)
