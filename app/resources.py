"""Wires the foundation, the hub and the services together: for the server, the worker and the tests."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from app.events import Frame
from app.foundation import Foundation, open_foundation
from app.gathering import BEHIND_THE_DOOR, LINGER, Gathering
from app.realtime.hub import Hub
from app.realtime.presence import Presence
from app.realtime.visits import Visits
from app.repositories import OpenUnitOfWork, Publish, UnitOfWork
from app.repositories.engine import Sessions
from app.repositories.measured import pool_use
from app.services import Services, build_services
from app.settings import Settings
from app.telemetry.watching import Numbers

MOST_CHANNELS = 100  # that are asked about together


@dataclass(frozen=True, slots=True)
class Resources:
    foundation: Foundation
    hub: Hub
    uow: OpenUnitOfWork
    services: Services
    visits: Visits

    @property
    def settings(self) -> Settings:
        return self.foundation.settings

    def numbers(self) -> Numbers:
        """What there is of sockets and connections in this process, now."""
        in_use, idle = pool_use(self.foundation.engine)
        database = self.settings.database
        most = database.pool_size + database.max_overflow
        return Numbers(self.hub.connections, self.hub.rooms, in_use, idle, most)


class LoggedEvents:
    """The event log as the hub reads it; what is asked at the same time is one question of one unit of work."""

    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow
        self._lists = Gathering(self._list_after_each, most=MOST_CHANNELS, longest_pause=BEHIND_THE_DOOR, linger=LINGER)
        self._seqs = Gathering(self._last_seqs, most=MOST_CHANNELS, longest_pause=BEHIND_THE_DOOR, linger=LINGER)

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]:
        return await self._lists.ask((channel_id, seq, limit))

    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]:
        return await self._seqs.ask(channel_ids)

    async def first_seq(self, channel_id: UUID) -> int | None:
        async with self._uow(is_reading=True) as uow:
            return await uow.events.first_seq(channel_id)

    async def _list_after_each(self, asked: Sequence[tuple[UUID, int, int]]) -> Sequence[Sequence[Frame]]:
        async with self._uow(is_reading=True) as uow:
            return await uow.events.list_after_each(asked)

    async def _last_seqs(self, asked: Sequence[Sequence[UUID]]) -> Sequence[dict[UUID, int]]:
        async with self._uow(is_reading=True) as uow:
            seqs = await uow.events.last_seqs([channel_id for ids in asked for channel_id in ids])
        return [{channel_id: seqs[channel_id] for channel_id in ids if channel_id in seqs} for ids in asked]


@contextlib.asynccontextmanager
async def open_services(
    foundation: Foundation, make_uow: Callable[[Publish], OpenUnitOfWork]
) -> AsyncIterator[Resources]:
    """The hub and the services over `foundation`; tests hand in units of work of their own."""
    settings = foundation.settings
    quiet = make_uow(lambda _: None)  # the hub only reads
    hub = Hub(foundation.pubsub_redis, LoggedEvents(quiet), settings.realtime, prefix=settings.redis.prefix)
    presence = Presence(foundation.redis, hub.publish, settings.realtime, prefix=settings.redis.prefix)
    async with hub, presence:
        uow = make_uow(hub.publish)
        services = build_services(foundation, uow, hub, presence)
        async with Visits(services.admissions.judge) as visits:
            try:
                yield Resources(foundation, hub, uow, services, visits)
            finally:
                await services.replies.aclose()
                await services.health.aclose()


@contextlib.asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Everything, closed in reverse order, also when the start fails half-way."""
    async with open_foundation(settings) as foundation:
        sessions = Sessions.over(foundation.engine)

        def make_uow(publish: Publish) -> OpenUnitOfWork:
            return partial(UnitOfWork, sessions, publish)

        async with open_services(foundation, make_uow) as resources:
            yield resources
