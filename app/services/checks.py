"""What is asked when somebody wants to know whether everything works."""

import asyncio
from datetime import timedelta

from app.errors import ServiceUnavailable
from app.foundation import Foundation
from app.repositories import OpenUnitOfWork
from app.services.health import HealthService
from app.services.time_sense import warm_up


def build_health(foundation: Foundation, uow: OpenUnitOfWork) -> HealthService:
    async def database() -> None:
        async with uow(is_reading=True) as reading:
            problem = await reading.schema.find_problem()
        if problem is not None:
            raise ServiceUnavailable(problem)

    async def redis() -> None:
        await foundation.redis.ping()

    async def embedder() -> None:
        await foundation.embedder.check()
        await asyncio.to_thread(warm_up)  # what questions need besides, loaded once
        if foundation.sparse is not None:
            await foundation.sparse.check()

    async def llm() -> None:
        if foundation.llm is not None:
            await foundation.llm.check()

    async def queue() -> None:
        async with uow() as transaction:
            await transaction.tasks.check_backlog()

    probes = {
        "database": database,
        "redis": redis,
        "workspace": foundation.storage.check,
        "embedder": embedder,
        "llm": llm,
        "queue": queue,
    }
    if foundation.vectors is not None:
        probes["vectors"] = foundation.vectors.check
    return HealthService(
        probes,
        fresh_for={"embedder": timedelta(seconds=30), "llm": timedelta(seconds=30), "workspace": timedelta(seconds=5)},
    )
