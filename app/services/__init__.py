"""What the product does. Built once, stateless, called by every door: HTTP, WebSocket, tasks and the command line."""

from dataclasses import dataclass
from datetime import timedelta

from app.foundation import Foundation
from app.realtime.hub import Hub
from app.repositories import OpenUnitOfWork
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService


@dataclass(frozen=True, slots=True)
class Services:
    """One attribute per noun."""

    health: HealthService
    idempotency: IdempotencyService


def build_services(foundation: Foundation, uow: OpenUnitOfWork, hub: Hub) -> Services:
    """Wire every service; each takes only what it needs."""
    return Services(
        health=_build_health(foundation, uow),
        idempotency=IdempotencyService(uow),
    )


def _build_health(foundation: Foundation, uow: OpenUnitOfWork) -> HealthService:
    async def database() -> None:
        async with uow() as transaction:
            await transaction.ping()

    async def redis() -> None:
        await foundation.redis.ping()

    async def llm() -> None:
        if foundation.llm is not None:
            await foundation.llm.check()

    async def queue() -> None:
        async with uow() as transaction:
            await transaction.tasks.check_backlog()

    return HealthService(
        {
            "database": database,
            "redis": redis,
            "workspace": foundation.storage.check,
            "embedder": foundation.embedder.check,
            "llm": llm,
            "queue": queue,
        },
        fresh_for={"embedder": timedelta(seconds=30), "llm": timedelta(seconds=30), "workspace": timedelta(seconds=5)},
    )
