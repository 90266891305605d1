import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import delete

from app.events import Frame
from app.models import Channel, EventRow
from app.realtime.outbox import CloseCode
from app.settings import Settings
from tests.realtime.nodes import Node, Proxy, open_node, reading


@pytest.fixture
async def nodes(committed_settings: Settings) -> AsyncIterator[list[Node]]:
    """Three processes over one database and one Redis."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_node(committed_settings)) for _ in range(3)]


@pytest.fixture
async def proxy(committed_settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(committed_settings.redis.url.get_secret_value()) as opened:
        yield opened


async def forget(node: Node, channel: UUID, *, up_to: int) -> None:
    """What the end of the log's retention does."""
    async with node.sessions.changing() as session:
        await session.execute(delete(EventRow).where(EventRow.channel_id == channel, EventRow.seq <= up_to))
        await session.commit()


async def test_everybody_gets_everything_once_and_in_order_whatever_the_process(nodes: list[Node]):
    channel = await nodes[0].open_channel()
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(reading(node, channel)) for node in nodes for _ in range(2)]
        await asyncio.gather(*(node.post(channel, str(number)) for number in range(30) for node in nodes))
        for reader in readers:
            await reader.until(90)
            assert reader.seqs == list(range(1, 91))


async def test_several_who_enter_a_new_room_at_once_all_hear_the_next_word(nodes: list[Node]):
    for _ in range(10):
        channel = await nodes[0].open_channel()
        async with AsyncExitStack() as stack:
            entering = (stack.enter_async_context(reading(nodes[number % 2], channel)) for number in range(8))
            readers = await asyncio.gather(*entering)
            await nodes[2].post(channel)
            for reader in readers:
                await reader.until(1)


async def test_entering_and_leaving_a_room_at_once_loses_and_doubles_nothing(nodes: list[Node]):
    here, elsewhere = nodes[:2]
    channel = await here.open_channel()
    is_over = asyncio.Event()

    async def come_and_go(pause: float) -> list[int]:
        seqs: list[int] = []
        while not is_over.is_set():
            async with reading(here, channel, seqs[-1] if seqs else 0) as reader:
                await asyncio.sleep(pause)
            seqs += reader.seqs
        async with reading(here, channel, seqs[-1] if seqs else 0) as reader:
            await reader.until(100) if not seqs or seqs[-1] < 100 else None
        return seqs + reader.seqs

    visitors = [asyncio.create_task(come_and_go(0.001 * number)) for number in range(5)]
    for _ in range(100):
        await elsewhere.post(channel)
    is_over.set()
    for visitor in visitors:
        assert await visitor == list(range(1, 101))

    async with reading(here, channel) as reader:  # and Redis is still listened to, without a sweep
        await elsewhere.post(channel)
        await reader.until(101)


async def test_what_a_crash_kept_from_being_published_comes_before_what_follows_it(nodes: list[Node]):
    here, elsewhere = nodes[:2]
    channel = await here.open_channel()
    async with reading(here, channel) as reader:
        await elsewhere.post(channel, is_carried=False)
        await elsewhere.post(channel, is_carried=False)
        await elsewhere.post(channel)
        await reader.until(3)
        assert reader.seqs == [1, 2, 3]


async def test_what_a_crash_kept_from_being_published_is_found_by_the_sweep(committed_settings: Settings):
    async with open_node(committed_settings, sweep_interval=0.1) as node:
        channel = await node.open_channel()
        async with reading(node, channel) as reader:
            await node.post(channel, is_carried=False)
            await reader.until(1)


async def test_frames_that_overtake_each_other_are_put_in_order_without_asking_the_log(nodes: list[Node]):
    channel = await nodes[0].open_channel()
    async with reading(nodes[0], channel) as reader:
        for seq in (2, 3, 1, 1):
            nodes[1].hub.publish(Frame(channel, seq, f'{{"seq": {seq}}}'))
        await reader.until(3)
        assert reader.seqs == [1, 2, 3]
    assert nodes[0].log.reads == 0


@pytest.mark.parametrize("retries", [0, 3])
async def test_a_lost_subscription_delays_and_loses_nothing(committed_settings: Settings, retries: int):
    """With retries, redis-py subscribes again without a word."""
    redis = Redis.from_url(committed_settings.redis.url.get_secret_value())
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(open_node(committed_settings, retries=retries)) for _ in range(3))
        nodes = await asyncio.gather(*opening)
        channel = await nodes[0].open_channel()
        readers = [await stack.enter_async_context(reading(node, channel)) for node in nodes]
        for round_ in range(3):
            await nodes[round_].post(channel)
            await nodes[round_].post(channel, is_carried=False)
            await redis.client_kill_filter(_type="pubsub")
        for reader in readers:
            await reader.until(6)
            assert reader.seqs == list(range(1, 7))
        await asyncio.sleep(1)  # all are connected again
        for node in nodes:
            node.type(channel)
        for reader in readers:
            await reader.until_told(3)
    await redis.aclose()


@pytest.mark.parametrize("outage", ["cut", "stall"])
async def test_an_open_room_goes_on_while_redis_is_away(committed_settings: Settings, proxy: Proxy, outage: str):
    async with (
        open_node(committed_settings, redis_url=proxy.url, sweep_interval=0.5) as here,
        open_node(committed_settings) as elsewhere,
    ):
        channel = await here.open_channel()
        async with reading(here, channel) as reader, reading(elsewhere, channel) as far_reader:
            await elsewhere.post(channel)
            await reader.until(1)
            getattr(proxy, outage)()
            for _ in range(5):
                started = time.monotonic()
                await here.post(channel)
                assert time.monotonic() - started < 0.5, "posting does not wait for Redis"
                await elsewhere.post(channel)
            await reader.until(11, patience=1.5)
            proxy.restore()
            await elsewhere.post(channel)
            await far_reader.until(12)
            await reader.until(12)
            assert reader.seqs == far_reader.seqs == list(range(1, 13))

            async with asyncio.timeout(5):  # what has no number flows again too
                while not reader.others:
                    elsewhere.type(channel)
                    await asyncio.sleep(0.1)


async def test_rooms_open_without_redis_and_hear_of_others_by_the_sweep(committed_settings: Settings, proxy: Proxy):
    proxy.cut()
    async with open_node(committed_settings, redis_url=proxy.url) as here, open_node(committed_settings) as elsewhere:
        channel = await here.open_channel()
        async with reading(here, channel) as reader:
            await elsewhere.post(channel)
            await reader.until(1, patience=1.5)


async def test_a_slow_reader_is_cut_off_and_comes_back_without_loss(committed_settings: Settings):
    async with open_node(committed_settings, outbox_size=8) as node:
        channel = await node.open_channel()
        async with node.hub.attach(channel) as sleeper, reading(node, channel) as healthy:
            await node.hub.follow(sleeper)
            for _ in range(20):
                await node.post(channel)
            await healthy.until(20)
            assert await sleeper.outbox.end is CloseCode.TOO_SLOW
            assert healthy.seqs == list(range(1, 21))
        async with reading(node, channel, after_seq=3) as returned:  # a replay longer than the outbox
            await returned.until(20)
            assert returned.seqs == list(range(4, 21))


async def test_what_is_said_during_a_replay_follows_it(nodes: list[Node]):
    channel = await nodes[0].open_channel()
    for _ in range(300):  # more than the ring holds
        await nodes[0].post(channel)
    async with AsyncExitStack() as stack:
        talking = asyncio.gather(*(nodes[number % 3].post(channel) for number in range(60)))
        entering = (
            stack.enter_async_context(reading(node, channel, after)) for node in nodes for after in (0, 150, 299)
        )
        readers = await asyncio.gather(*entering)
        await talking
        for reader, after in zip(readers, (0, 150, 299) * 3, strict=True):
            await reader.until(360)
            assert reader.seqs == list(range(after + 1, 361))


async def test_a_storm_of_returning_clients_is_served_from_memory(nodes: list[Node]):
    channel = await nodes[0].open_channel()
    for _ in range(50):
        await nodes[1].post(channel)
    async with AsyncExitStack() as stack:
        entering = (stack.enter_async_context(reading(nodes[0], channel, 20)) for _ in range(200))
        for reader in await asyncio.gather(*entering):
            await reader.until(50)
            assert reader.seqs == list(range(21, 51))
    assert nodes[0].log.reads == 1, "the first one reads for all"


async def test_a_client_that_saw_more_on_a_faster_node_gets_nothing_twice(committed_settings: Settings, proxy: Proxy):
    async with open_node(committed_settings) as fast, open_node(committed_settings, redis_url=proxy.url) as slow:
        channel = await fast.open_channel()
        async with reading(slow, channel), reading(fast, channel) as reader:
            proxy.stall()
            for _ in range(5):
                await fast.post(channel)
            await reader.until(5)
            async with reading(slow, channel, after_seq=5) as moved:
                assert await slow.hub.can_replay(moved.listener, 5)
                proxy.restore()
                await fast.post(channel)
                await moved.until(6)
                assert moved.seqs == [6]


async def test_a_replay_on_a_node_that_lags_behind_ends_where_its_live_listeners_stand(
    committed_settings: Settings, proxy: Proxy
):
    async with open_node(committed_settings) as fast, open_node(committed_settings, redis_url=proxy.url) as slow:
        channel = await fast.open_channel()
        for _ in range(200):
            await fast.post(channel)
        await forget(fast, channel, up_to=60)
        async with reading(slow, channel) as live:
            proxy.stall()
            for _ in range(5):
                await fast.post(channel)
            async with reading(slow, channel, after_seq=50) as returned:
                proxy.restore()
                await fast.post(channel)
                await live.until(206)
                await returned.until(206)
                assert returned.seqs == list(range(61, 207))


async def test_nobody_is_in_a_room_before_redis_has_confirmed_it(committed_settings: Settings, proxy: Proxy):
    async with open_node(committed_settings, redis_url=proxy.url) as slow, open_node(committed_settings) as fast:
        channel = await fast.open_channel()
        async with reading(slow, channel), AsyncExitStack() as stack:
            other = await fast.open_channel()
            proxy.stall()
            entering = asyncio.create_task(stack.enter_async_context(reading(slow, other)))
            await asyncio.sleep(0.1)
            assert not entering.done()
            proxy.restore()
            reader = await entering
            await fast.post(other)
            await reader.until(1)


async def test_a_number_that_the_log_has_forgotten_or_never_gave_cannot_be_replayed(nodes: list[Node]):
    node = nodes[0]
    channel = await node.open_channel()
    for _ in range(5):
        await node.post(channel)
    await forget(node, channel, up_to=3)
    async with node.hub.attach(channel) as listener:
        assert [await node.hub.can_replay(listener, seq) for seq in (None, 0, 2, 3, 5, 6)] == [
            True, False, False, True, True, False,
        ]  # fmt: skip
    async with reading(node, channel, after_seq=0) as reader:
        await reader.until(5)
        assert reader.seqs == [4, 5]


async def test_those_in_a_room_that_is_deleted_are_told_to_leave(committed_settings: Settings):
    async with open_node(committed_settings, sweep_interval=0.1) as node:
        channel = await node.open_channel()
        async with reading(node, channel) as reader:
            async with node.sessions.changing() as session:
                await session.execute(delete(Channel).where(Channel.id == channel))
                await session.commit()
            await reader.until_cut_off()
            assert reader.cut_off is CloseCode.NO_SUCH_ROOM


async def test_what_happens_between_entering_and_following_is_held(nodes: list[Node]):
    channel = await nodes[0].open_channel()
    async with nodes[0].hub.attach(channel) as listener:
        nodes[0].type(channel, "Grace")
        nodes[1].type(channel, "Edsger")
        await nodes[1].post(channel)
        await asyncio.sleep(0.1)
        listener.outbox.put("first")
        await nodes[0].hub.follow(listener, 0)
        async with asyncio.timeout(5):
            frames = [await listener.outbox.take() for _ in range(4)]
    assert frames[0] == "first"
    assert ["Grace" in frames[1], "Edsger" in frames[2], '"seq":1' in frames[3]] == [True] * 3


async def test_a_hub_that_closes_tells_its_listeners_and_carries_their_last_words(
    nodes: list[Node], committed_settings: Settings
):
    channel = await nodes[0].open_channel()
    async with reading(nodes[0], channel) as stays:
        async with open_node(committed_settings, heartbeat=timedelta(seconds=1)) as closing, AsyncExitStack() as stack:
            leaves = await stack.enter_async_context(reading(closing, channel))
            closing.hub.cut_off_everyone(CloseCode.RESTARTING)
            await leaves.until_cut_off()
            for _ in range(500):
                closing.type(channel)
        assert leaves.cut_off is CloseCode.RESTARTING
        await stays.until_told(500)
