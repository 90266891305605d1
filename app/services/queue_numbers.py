"""How much work waits, how long it has waited, and how much is being done: for those who look after the service."""

import asyncio
from typing import Final

import structlog

from app.repositories import OpenUnitOfWork
from app.telemetry.meters import TASKS_OLDEST, TASKS_RUNNING, TASKS_WAITING

log = structlog.get_logger(__name__)

INTERVAL: Final = 10.0  # seconds
PATIENCE: Final = 5.0  # seconds


class QueueNumbers:
    """Every server asks the database: so the numbers are there as long as one server is, also without any worker."""

    def __init__(self, uow: OpenUnitOfWork, *, interval: float = INTERVAL) -> None:
        self._uow = uow
        self._interval = interval
        self._shown: set[str] = set()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.look()
            except Exception as error:  # an old number would be taken for a new one
                log.warning("metrics.queue_unknown", error=repr(error))
                self._forget()
            await asyncio.sleep(self._interval)

    async def look(self) -> None:
        async with self._uow(is_reading=True) as uow:
            found = {row.task_type: row for row in await uow.statistics.tasks_in_line()}
        for task_type in self._shown | set(found):
            row = found.get(task_type)
            TASKS_WAITING.labels(task_type).set(row.waiting if row else 0)
            TASKS_OLDEST.labels(task_type).set(row.oldest_seconds if row else 0.0)
            TASKS_RUNNING.labels(task_type).set(row.running if row else 0)
        self._shown |= set(found)

    def _forget(self) -> None:
        for task_type in self._shown:
            for gauge in (TASKS_WAITING, TASKS_OLDEST, TASKS_RUNNING):
                gauge.labels(task_type).set(float("nan"))
