"""A life by the calendar."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from app.events import utc_now
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.repositories.memories import Place
from app.repositories.memory_filters import MemoryFilter
from app.repositories.timeline import Bucket
from app.repositories.timeline_counts import Unit
from app.services.lexicon import question_terms
from app.services.memory_views import MemoryView, views
from app.services.moments import zone_of


class TimelineService:
    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def list(
        self,
        actor: Principal,
        filters: MemoryFilter,
        unit: Unit,
        *,
        words: str | None,
        before: date | None,
        limit: int,
    ) -> Sequence[Bucket]:
        """Days, months or years with memories that have all of the `words`, the newest first."""
        narrowed = replace(filters, term_ids=tuple(question_terms(words))) if words else filters
        async with self._uow() as uow:
            return await uow.timeline.list_buckets(actor, narrowed, unit, before=before, limit=limit)

    async def today(self, actor: Principal, *, timezone: str | None) -> date:
        """Which day it is there, or in the actor's own time zone."""
        if timezone is not None:
            return utc_now().astimezone(ZoneInfo(timezone)).date()
        async with self._uow() as uow:
            user = await uow.users.get(actor.user_id)
        return utc_now().astimezone(zone_of(user.settings.get("timezone") if user else None)).date()

    async def on_day(
        self, actor: Principal, filters: MemoryFilter, day: date, *, after: Place | None, limit: int
    ) -> Sequence[MemoryView]:
        """Memories of this day of any year, the newest first."""
        async with self._uow() as uow:
            rows = await uow.timeline.list_on_day(actor, filters, day, after=after, limit=limit)
            return await views(uow, actor.user_id, rows)
