"""The promise of rooms, while servers, Redis, PostgreSQL and sockets fail: in full by `python -m benchmarks.faults`."""

from benchmarks.faults import run
from benchmarks.measuring import prepared_settings


async def test_what_was_acknowledged_reaches_everybody_once_and_in_order_whatever_breaks():
    async with prepared_settings() as settings:
        outcome = await run(settings, rooms=3, people=3, seconds=20, interval=1.0)
    assert (outcome.lost, outcome.doubled, outcome.disordered) == (0, 0, 0), outcome
    assert outcome.acknowledged > 20, outcome
    assert set(outcome.faults) == {"socket", "server", "redis", "postgres"}, outcome
