from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from app.events import SpiritToken
from app.permissions import Principal, Role, Scope
from app.realtime.state import AnswerState, Tickets
from app.settings import Settings
from tests.realtime.nodes import Proxy


@pytest.fixture
async def redis(committed_settings: Settings) -> AsyncIterator[Redis]:
    opened = Redis.from_url(committed_settings.redis.url.get_secret_value(), decode_responses=True)
    yield opened
    await opened.aclose()


def token(room: UUID, in_reply_to: UUID, delta: str, offset: int | None) -> str:
    event = SpiritToken(session_id=room, in_reply_to=in_reply_to, delta=delta, offset=offset)
    return event.model_dump_json()


async def test_whoever_comes_in_the_middle_of_an_answer_gets_each_piece_once(redis: Redis):
    answers, room, question = AnswerState(redis, prefix="test:"), uuid7(), uuid7()
    assert await answers.get(room) is None
    assert await answers.append(room, question, "Añ") == 0
    assert await answers.append(room, question, "o 🕯") == 2  # code points, not bytes
    so_far = await answers.get(room)
    assert so_far is not None
    assert (so_far.in_reply_to, so_far.text) == (question, "Año 🕯")

    assert so_far.contains(token(room, question, "o 🕯", 2))
    assert not so_far.contains(token(room, question, " nuevo", 5))
    assert not so_far.contains(token(room, uuid7(), "Año", 0))
    assert not so_far.contains(token(room, question, "unplaced", None))

    following = uuid7()
    assert await answers.append(room, following, "Next") == 0
    so_far = await answers.get(room)
    assert so_far is not None
    assert (so_far.in_reply_to, so_far.text) == (following, "Next")
    await answers.clear(room)
    assert await answers.get(room) is None


async def test_an_answer_goes_on_while_redis_is_away(committed_settings: Settings):
    async with Proxy(committed_settings.redis.url.get_secret_value()) as proxy:
        redis = Redis.from_url(proxy.url, decode_responses=True, retry=None)
        answers, room = AnswerState(redis, prefix="test:"), uuid7()
        proxy.cut()
        assert await answers.append(room, uuid7(), "unheard") is None
        assert await answers.get(room) is None
        await answers.clear(room)
        await redis.aclose()


async def test_a_ticket_stands_for_its_caller_once(redis: Redis):
    tickets = Tickets(redis, prefix="test:")
    principal = Principal(uuid7(), "Ada", Role.GUEST, frozenset({Scope.READ}), room_id=uuid7())
    ticket = await tickets.issue(principal)
    assert await tickets.redeem(ticket) == principal
    assert await tickets.redeem(ticket) is None
    assert await tickets.redeem("never issued") is None
    assert ticket not in "".join([key async for key in redis.scan_iter("test:*")])
