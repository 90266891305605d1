import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from app.errors import ServiceUnavailable, SessionFull
from app.events import Person
from app.realtime.cancellation import cancel_until_done
from app.settings import Settings
from tests.realtime.nodes import Node, Proxy, open_node, reading


def person(name: str) -> Person:
    return Person(id=uuid7(), name=name)


@pytest.fixture
async def nodes(committed_settings: Settings) -> AsyncIterator[list[Node]]:
    """Two processes whose seats expire quickly."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_node(committed_settings, seat_ttl=0.9)) for _ in range(2)]


async def names(node: Node, room: UUID) -> list[str]:
    return [who.name for who in await node.presence.people(room)]


async def until_empty(node: Node, room: UUID) -> None:
    for _ in range(100):
        if not await names(node, room):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("somebody is still there")


async def test_a_room_fills_to_its_last_place_whoever_comes_at_once(nodes: list[Node]):
    room, inside, refused = uuid7(), [], []
    async with AsyncExitStack() as stack:

        async def enter(number: int) -> None:
            seat = nodes[number % 2].presence.seat(room, person(str(number)), max_users=6)
            try:
                inside.append(await stack.enter_async_context(seat))
            except SessionFull as full:
                refused.append(full.details["max_users"])

        await asyncio.gather(*(enter(number) for number in range(40)))
        assert (len(inside), refused) == (6, [6] * 34)
        assert await names(nodes[0], room) == await names(nodes[1], room)
    async with nodes[0].presence.seat(room, person("Ada"), max_users=1):  # all places are free again
        assert await names(nodes[1], room) == ["Ada"]


async def test_several_connections_of_one_person_are_one_participant(nodes: list[Node]):
    room, ada = uuid7(), person("Ada")
    async with reading(nodes[1], room) as watcher:
        async with nodes[0].presence.seat(room, ada, max_users=1):
            async with nodes[1].presence.seat(room, ada, max_users=1):
                assert await names(nodes[0], room) == ["Ada"]
                with pytest.raises(SessionFull):
                    async with nodes[0].presence.seat(room, person("Grace"), max_users=1):
                        raise AssertionError("never inside")
            assert await names(nodes[0], room) == ["Ada"]
        await watcher.until_told(2)
        told = [(frame["type"], frame["user"]["name"], frame["participants"]) for frame in watcher.others]
        assert told == [("user_joined", "Ada", 1), ("user_left", "Ada", 0)]


async def test_leaving_is_clean_however_it_comes_about(nodes: list[Node]):
    room = uuid7()

    async def stay(who: str) -> None:
        async with nodes[0].presence.seat(room, person(who), max_users=6):
            if who == "fails":
                raise RuntimeError
            await asyncio.sleep(60)

    for who in ("fails", "is cancelled"):
        visit = asyncio.create_task(stay(who))
        await asyncio.sleep(0.05)
        visit.cancel()
        with suppress(RuntimeError, asyncio.CancelledError):
            await visit
        await until_empty(nodes[1], room)
    for steps in range(20):  # wherever they are on their way in
        entering = asyncio.create_task(stay("changes their mind"))
        for _ in range(steps):
            await asyncio.sleep(0)
        await cancel_until_done([entering])
    await until_empty(nodes[1], room)


async def test_a_process_that_closes_gives_up_its_seats(nodes: list[Node], committed_settings: Settings):
    room = uuid7()
    async with reading(nodes[0], room) as watcher, AsyncExitStack() as stack:
        async with open_node(committed_settings) as closing:
            await stack.enter_async_context(closing.presence.seat(room, person("Ada"), max_users=6))
        assert await names(nodes[0], room) == []
        await watcher.until_told(2)
        assert [frame["type"] for frame in watcher.others] == ["user_joined", "user_left"]


async def test_seats_are_renewed_as_long_as_their_process_lives(nodes: list[Node]):
    room = uuid7()
    async with reading(nodes[1], room) as watcher, nodes[0].presence.seat(room, person("Ada"), max_users=6):
        for _ in range(7):
            await asyncio.sleep(0.2)
            assert await names(nodes[1], room) == ["Ada"]
        time.sleep(1)  # noqa: ASYNC251 - held up for longer than a seat lives
        await asyncio.sleep(0.4)
        assert await names(nodes[1], room) == ["Ada"]
        assert [frame["type"] for frame in watcher.others] == ["user_joined"]


async def test_the_people_of_a_killed_process_are_announced_as_gone_once(
    nodes: list[Node], committed_settings: Settings
):
    room = uuid7()
    async with (
        Proxy(committed_settings.redis.url.get_secret_value()) as proxy,
        open_node(committed_settings, redis_url=proxy.url, seat_ttl=0.9) as killed,
        reading(nodes[0], room) as watcher,
        nodes[0].presence.seat(room, person("Ada"), max_users=6),
        nodes[1].presence.seat(room, person("Grace"), max_users=6),
        killed.presence.seat(room, person("Edsger"), max_users=6),
    ):
        await watcher.until_told(3)
        proxy.cut()  # nothing of that process reaches Redis any more
        await watcher.until_told(4)
        assert await names(nodes[0], room) == ["Ada", "Grace"]
        await asyncio.sleep(0.5)
        left = [frame["user"]["name"] for frame in watcher.others if frame["type"] == "user_left"]
        assert left == ["Edsger"]
        assert watcher.others[3]["participants"] == 2

        proxy.restore()  # and if it was not dead after all, its people come back
        await watcher.until_told(5)
        assert (watcher.others[4]["type"], watcher.others[4]["user"]["name"]) == ("user_joined", "Edsger")


async def test_nobody_enters_while_redis_is_away_and_those_inside_stay(committed_settings: Settings):
    room = uuid7()
    async with Proxy(committed_settings.redis.url.get_secret_value()) as proxy, AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_node(committed_settings, redis_url=proxy.url, seat_ttl=0.6))
        watcher = await stack.enter_async_context(reading(node, room))
        async with node.presence.seat(room, person("Ada"), max_users=6):
            proxy.cut()
            with pytest.raises(ServiceUnavailable):
                async with node.presence.seat(room, person("Grace"), max_users=6):
                    raise AssertionError("never inside")
            with pytest.raises(ServiceUnavailable):
                await node.presence.people(room)
            await asyncio.sleep(1)  # longer than a seat lives
            proxy.restore()
            assert await names(node, room) == ["Ada"], "who could not renew is not gone"
            await asyncio.sleep(1)
            assert await names(node, room) == ["Ada"]
        assert [frame["type"] for frame in watcher.others] == ["user_joined"]
