"""Who is connected to this process, and by what right: whoever loses it is shown out within a few seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import structlog

from app.permissions import Principal
from app.realtime.cancellation import cancel_until_done
from app.realtime.outbox import CloseCode, Outbox

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.25  # seconds between two looks: who comes in is remembered for two, and waits for two looks
BATCH_SIZE: Final = 1000


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody's connections to one channel are one visit, however many there are."""

    actor: Principal
    channel_id: UUID


Judge = Callable[[Sequence[Visit]], Awaitable[Sequence[CloseCode | None]]]
"""For each visit the code to end it with, or None where it may go on."""


class Visits:
    """An open connection costs no question of its own: all are asked about together, every few moments.

    While the database is away nobody is shown out, since nobody can say who has to go.
    """

    def __init__(self, judge: Judge, *, interval: float = INTERVAL) -> None:
        self._judge = judge
        self._interval = interval
        self._outboxes: dict[Visit, set[Outbox]] = {}
        self._seen: set[Visit] = set()  # by the last sweep; the others were let in since then

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._sweep_for_ever())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await cancel_until_done([self._sweeping])

    @contextmanager
    def stay(self, actor: Principal, channel_id: UUID, outbox: Outbox) -> Iterator[None]:
        """Be connected for the length of the block; `outbox` is cut off when the right to be there ends."""
        visit = Visit(actor, channel_id)
        outboxes = self._outboxes.setdefault(visit, set())
        outboxes.add(outbox)
        try:
            yield
        finally:
            outboxes.discard(outbox)
            if not outboxes:
                self._outboxes.pop(visit, None)

    async def sweep(self) -> None:
        """Look once at everybody who was here the last time: whoever came since was looked at when let in."""
        waiting = iter([visit for visit in self._outboxes if visit in self._seen])
        self._seen = set(self._outboxes)
        while batch := list(islice(waiting, BATCH_SIZE)):
            for visit, code in zip(batch, await self._judge(batch), strict=True):
                if code is not None:
                    self._show_out(visit, code)

    def _show_out(self, visit: Visit, code: CloseCode) -> None:
        for outbox in list(self._outboxes.get(visit, ())):
            outbox.cut_off(code)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.sweep()
            except Exception as error:
                log.warning("visits.not_checked", error=repr(error))
