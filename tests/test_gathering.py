import asyncio
from collections.abc import Sequence

import pytest

from app.gathering import Gathering


class Answers:
    """Doubles numbers; the first batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []
        self.go_on = asyncio.Event()

    async def double(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append(numbers)
        await self.go_on.wait()
        if 13 in numbers:
            raise ConnectionError("no luck")
        return [2 * number for number in numbers]


async def ask_all(gathering: Gathering[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    asking = [asyncio.create_task(gathering.ask(number)) for number in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return asking


async def test_what_comes_while_others_are_answered_goes_together():
    answers = Answers()
    gathering = Gathering(answers.double, most=3)
    asking = await ask_all(gathering, [1, 2]) + await ask_all(gathering, [3, 4, 5, 6])
    answers.go_on.set()
    assert await asyncio.gather(*asking) == [2, 4, 6, 8, 10, 12]
    assert answers.batches == [[1, 2], [3, 4, 5], [6]]


async def test_a_failure_is_everybodys_who_waits_and_nobodys_who_comes_later():
    answers = Answers()
    gathering = Gathering(answers.double, most=2)
    asking = await ask_all(gathering, [13, 1]) + await ask_all(gathering, [2])
    answers.go_on.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 3
    assert await gathering.ask(4) == 8


async def test_whoever_stops_waiting_keeps_nobody_from_an_answer():
    answers = Answers()
    gathering = Gathering(answers.double, most=8)
    impatient, patient = await ask_all(gathering, [1, 2])
    impatient.cancel()
    answers.go_on.set()
    assert await patient == 4
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_whoever_asks_in_the_moment_in_which_the_last_answer_comes_is_answered():
    async def double(numbers: Sequence[int]) -> Sequence[int]:
        return [2 * number for number in numbers]

    gathering = Gathering(double, most=8)

    async def ask_again(number: int) -> int:
        for _ in range(50):
            for _ in range(number):
                await asyncio.sleep(0)
            assert await gathering.ask(number) == 2 * number
        return number

    async with asyncio.timeout(5):
        assert await asyncio.gather(*map(ask_again, range(6))) == list(range(6))


async def test_alone_nobody_waits_and_in_a_storm_those_who_are_on_their_way_are_waited_for():
    answers = Answers()
    answers.go_on.set()
    gathering = Gathering(answers.double, most=100, longest_pause=0.2)
    loop = asyncio.get_running_loop()

    async def time_of(numbers: Sequence[int]) -> float:
        started = loop.time()
        await asyncio.gather(*await ask_all(gathering, numbers))
        return loop.time() - started

    assert max([await time_of([number]) for number in range(12)]) < 0.1
    assert len(answers.batches) == 12  # one after the other, and no storm
    assert await time_of(range(20, 40)) < 0.1
    late = asyncio.create_task(time_of([50, 51]))
    await asyncio.sleep(0.05)
    assert await gathering.ask(52) == 104
    assert await late >= 0.1
    assert answers.batches[12:] == [list(range(20, 40)), [50, 51, 52]]
