"""Health answers at once and tells the truth."""

import asyncio
import time
from datetime import timedelta

from app.errors import ServiceUnavailable
from app.services.health import HealthService

ALWAYS_ASK = timedelta(0)


class Dependency:
    """Well, broken or hanging, as the test says."""

    def __init__(self) -> None:
        self.state = "well"
        self.asked = 0

    async def probe(self) -> None:
        self.asked += 1
        if self.state == "hanging":
            await asyncio.sleep(3600)
        if self.state == "broken":
            raise ServiceUnavailable("the disk is full")


def health_of(**dependencies: Dependency) -> HealthService:
    probes = {name: dependency.probe for name, dependency in dependencies.items()}
    return HealthService(probes, fresh_for=dict.fromkeys(probes, ALWAYS_ASK))


async def test_a_broken_part_degrades_and_a_broken_database_is_unhealthy():
    database, workspace = Dependency(), Dependency()
    service = health_of(database=database, workspace=workspace)
    assert (await service.check()).status == "healthy"

    workspace.state = "broken"
    health = await service.check()
    assert (health.status, health.checks["workspace"].message) == ("degraded", "the disk is full")

    database.state = "broken"
    assert (await service.check()).status == "unhealthy"

    workspace.state = database.state = "well"
    assert (await service.check()).status == "healthy"


async def test_a_hanging_dependency_does_not_hold_the_answer_and_is_asked_only_once_at_a_time():
    database = Dependency()
    database.state = "hanging"
    service = health_of(database=database)
    for _ in range(3):
        started = time.perf_counter()
        health = await service.check()
        assert time.perf_counter() - started < 0.5
        assert (health.status, health.checks["database"].message) == ("unhealthy", "does not answer")
    assert database.asked == 1


async def test_the_first_answer_of_a_server_that_starts_may_take_longer_but_not_for_ever():
    quick, database = Dependency(), Dependency()
    database.state = "hanging"

    async def load() -> None:
        await asyncio.sleep(0.3)

    service = HealthService({"embedder": load}, fresh_for={})
    service.begin()
    assert (await service.check()).status == "healthy"

    service = health_of(database=database, workspace=quick)
    started = time.perf_counter()
    service.begin()
    assert (await service.check()).status == "unhealthy"
    assert (await service.check()).status == "unhealthy"
    assert 0.9 < time.perf_counter() - started < 1.5
    assert (database.asked, quick.asked) == (1, 3)


async def test_what_is_being_asked_comes_to_its_end_before_what_it_uses_is_closed():
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        asked.set()
        await asyncio.sleep(0.2)
        answered.set()

    database = Dependency()
    database.state = "hanging"
    service = HealthService({"workspace": slow, "database": database.probe}, fresh_for={})
    service.begin()
    await asked.wait()
    started = time.monotonic()
    await service.aclose()
    assert answered.is_set()
    assert time.monotonic() - started < 3, "what hangs is left"
