"""Rooms over a cluster of Redis servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.settings import Settings
from tests.factories import make_user
from tests.processes import start_server
from tests.realtime.nodes import Node, Reader, open_node, reading
from tests.redis_cluster import RedisClusterServers, redis_cluster
from tests.rooms import invite_guest, make_room, visit


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisClusterServers]:
    async with redis_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
async def nodes(committed_settings: Settings, cluster: RedisClusterServers) -> AsyncIterator[list[Node]]:
    """Two processes over one database and one cluster."""
    async with AsyncExitStack() as stack:
        opening = [open_node(committed_settings, redis_url=cluster.url, is_cluster=True) for _ in range(2)]
        yield [await stack.enter_async_context(node) for node in opening]


@pytest.fixture
def name_of(committed_settings: Settings) -> Callable[[UUID], str]:
    """What Redis calls a room's channel."""
    return lambda channel: f"{committed_settings.redis.prefix}channel:{channel}"


async def hear_typing(reader: Reader, node: Node, channel: UUID) -> None:
    """Type at `node` until it is heard: while a channel moves, what is not numbered may be lost."""
    async with asyncio.timeout(15):
        heard = len(reader.others)
        while len(reader.others) == heard:
            node.type(channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.until_told(heard + 1)


async def test_channels_are_spread_over_the_servers_and_carry_everything_once(
    nodes: list[Node], cluster: RedisClusterServers, name_of: Callable[[UUID], str]
):
    channels = [await nodes[0].open_channel() for _ in range(12)]
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(nodes[1], channel)) for channel in channels]
        for reader, channel in zip(readers, channels, strict=True):
            await hear_typing(reader, nodes[0], channel)
            await asyncio.gather(*(nodes[0].post(channel) for _ in range(5)))
            await reader.until(5)
            assert reader.seqs == [1, 2, 3, 4, 5]
        assert nodes[1].log.reads == 0  # all of it came through Redis
        for number, client in enumerate(cluster.clients):
            belong = {name_of(channel) for channel in channels if await cluster.owner_of(name_of(channel)) == number}
            assert set(await client.pubsub_shardchannels(name_of("*"))) == belong


async def test_a_channel_is_followed_to_another_server(
    nodes: list[Node], cluster: RedisClusterServers, name_of: Callable[[UUID], str]
):
    channel = await nodes[0].open_channel()
    async with reading(nodes[1], channel) as reader:
        await hear_typing(reader, nodes[0], channel)
        await nodes[0].post(channel)
        for server in (3, 0):  # the first has had nothing to do so far
            await cluster.move(name_of(channel), server)
            await nodes[0].post(channel)
            await hear_typing(reader, nodes[0], channel)
            assert await cluster.clients[server].pubsub_shardchannels(name_of(channel)) == [name_of(channel)]
        await nodes[0].post(channel)
        await reader.until(4)
        assert reader.seqs == [1, 2, 3, 4]


async def test_two_servers_over_a_cluster_are_one_house(committed_settings: Settings, cluster: RedisClusterServers):
    everything = {"REDIS_URL": cluster.url, "REDIS_CLUSTER": "true", "RATE_LIMIT_REQUESTS": "1000/minute"}
    async with AsyncExitStack() as stack:
        starting = (start_server(committed_settings, worker=False, **everything) for _ in range(2))
        starting = map(stack.enter_async_context, starting)
        here, there = await asyncio.gather(*starting)
        client = await stack.enter_async_context(here.client())
        ada = await make_user(client, name="Ada")
        await check_a_room(client, ada, here, there)
        health = (await client.get("/health")).json()
        assert health["checks"]["redis"]["status"] == "healthy"


async def check_a_room(client: AsyncClient, ada, here, there) -> None:
    room = await make_room(client, ada)
    guest = await invite_guest(client, ada, room)
    ticket = (await client.post("/api/v1/ws-tickets", headers=ada.headers)).json()["ticket"]
    async with visit(here, room, query=f"?ticket={ticket}") as first, visit(there, room, guest) as second:
        await first.next_of("welcome")
        await second.next_of("welcome")
        await first.say("hello")
        await second.say("hello to you")
        assert sorted(await first.hear(2)) == ["hello", "hello to you"] == sorted(await second.hear(2))
        await second.send("typing")
        assert (await first.next_of("typing"))["user"]["name"] == "Guest"
    body = {"text": "Remember the lamp.", "title": "Lamp"}
    assert (await client.post("/api/v1/documents", json=body, headers=ada.headers)).status_code in {201, 202}
