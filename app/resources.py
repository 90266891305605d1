"""Opens, wires and closes whatever outlives a request: for the server, the worker, the command line and the tests."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from app.adapters.embeddings import Embedder, open_embedder
from app.adapters.extraction import Extractor
from app.adapters.storage import LocalStorage, Storage
from app.events import Frame
from app.realtime.hub import Hub
from app.repositories import OpenUnitOfWork, Publish, UnitOfWork
from app.repositories.engine import create_engine
from app.services import Services, build_services
from app.settings import RedisSettings, Settings


@dataclass(frozen=True, slots=True)
class Foundation:
    """The world outside this process."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    pubsub_redis: Redis
    storage: Storage
    extractor: Extractor
    embedder: Embedder


@dataclass(frozen=True, slots=True)
class Resources:
    foundation: Foundation
    hub: Hub
    uow: OpenUnitOfWork
    services: Services

    @property
    def settings(self) -> Settings:
        return self.foundation.settings


class LoggedEvents:
    """The event log as the hub reads it: each question is a unit of work of its own."""

    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]:
        async with self._uow() as uow:
            return await uow.events.list_after(channel_id, seq, limit=limit)

    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]:
        async with self._uow() as uow:
            return await uow.events.last_seqs(channel_ids)

    async def first_seq(self, channel_id: UUID) -> int | None:
        async with self._uow() as uow:
            return await uow.events.first_seq(channel_id)


def create_redis(settings: RedisSettings) -> Redis:
    seconds = settings.timeout.total_seconds()
    return Redis.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        health_check_interval=15,
    )


def create_pubsub_redis(settings: RedisSettings) -> Redis:
    """For the carrier alone: RESP2, which is a third faster for pub/sub, and no silent retries."""
    return Redis.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        protocol=2,
        socket_connect_timeout=settings.timeout.total_seconds(),
        retry=Retry(NoBackoff(), 0),
    )


@contextlib.asynccontextmanager
async def open_foundation(settings: Settings) -> AsyncIterator[Foundation]:
    async with contextlib.AsyncExitStack() as stack:
        engine = create_engine(settings.database)
        stack.push_async_callback(engine.dispose)
        redis = create_redis(settings.redis)
        stack.push_async_callback(redis.aclose)
        pubsub_redis = create_pubsub_redis(settings.redis)
        stack.push_async_callback(pubsub_redis.aclose)
        embedder = await stack.enter_async_context(open_embedder(settings.embedding, settings.data_dir / "models"))
        storage = LocalStorage(settings.data_dir / "blobs")
        yield Foundation(settings, engine, redis, pubsub_redis, storage, Extractor(settings.document), embedder)


@contextlib.asynccontextmanager
async def open_services(
    foundation: Foundation, make_uow: Callable[[Publish], OpenUnitOfWork]
) -> AsyncIterator[Resources]:
    """The hub and the services over `foundation`; tests hand in units of work of their own."""
    settings = foundation.settings
    quiet = make_uow(lambda _: None)  # the hub only reads
    hub = Hub(foundation.pubsub_redis, LoggedEvents(quiet), settings.realtime, prefix=settings.redis.prefix)
    async with hub:
        uow = make_uow(hub.publish)
        yield Resources(foundation, hub, uow, build_services(settings, uow))


@contextlib.asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Everything, closed in reverse order, also when the start fails half-way."""
    async with open_foundation(settings) as foundation:
        sessions: async_sessionmaker[AsyncSession] = async_sessionmaker(foundation.engine, expire_on_commit=False)

        def make_uow(publish: Publish) -> OpenUnitOfWork:
            return partial(UnitOfWork, sessions, publish)

        async with open_services(foundation, make_uow) as resources:
            yield resources
