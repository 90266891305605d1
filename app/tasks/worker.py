"""The worker: takes tasks as they come, renews its hold on them, tidies up now and then."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from app.adapters.graphs import cpu_count
from app.events import WORKERS, Wanted
from app.realtime.cancellation import cancel_until_done
from app.realtime.hub import Hub
from app.realtime.outbox import CutOff
from app.resources import Resources
from app.services.task_catalogue import TaskHandler
from app.settings import Settings
from app.tasks import build_handlers
from app.tasks.dispatcher import Dispatcher
from app.tasks.upkeep import sweep
from app.telemetry.exposition import shown
from app.telemetry.meters import WORKER_STEP_FAILURES
from app.telemetry.watching import Watch

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4  # how often a lease is renewed before it would run out
RENEWAL_PAUSE = 0.05  # seconds; wake-ups closer together than this count as one
SWEEP_INTERVAL = 600.0  # seconds
RETRY_PAUSE = 1.0  # seconds
UPKEEP = "upkeep"  # stands among the types of a worker for what is no task
NICENESS = 5  # of this process: whoever waits for an answer of the server goes first
STEP_PATIENCE = 3.0  # seconds for a step to end when the worker stops


class UnknownTaskType(Exception):
    """The message names those that there are."""


def worker_settings(settings: Settings) -> Settings:
    """Unless told otherwise, a worker embeds on all CPUs: nobody waits for it, and its threads let others go first."""
    threads = settings.embedding.threads or cpu_count()
    return settings.model_copy(update={"embedding": settings.embedding.model_copy(update={"threads": threads})})


async def run_worker(resources: Resources, stop: asyncio.Event) -> None:
    """Work until `stop` is set; then hand back what is not finished, so that another worker goes on at once.

    Raises:
        UnknownTaskType: the settings name a type that there is not.
    """
    types = resources.settings.task.types
    handlers = chosen(build_handlers(resources.services), types)
    worker = Worker(resources, handlers, does_upkeep=not types or UPKEEP in types)
    watch = Watch(resources.numbers)
    watching = asyncio.create_task(watch.run())
    metrics = resources.settings.metrics
    try:
        with shown(metrics, metrics.worker_port, is_alive=lambda: watch.is_beating):
            log.info("worker.started")
            await worker.run(stop)
            log.info("worker.stopped")
    finally:
        watching.cancel()


def chosen(handlers: Sequence[TaskHandler], types: Sequence[str]) -> Sequence[TaskHandler]:
    """Those of `types`, or all where none are named. Raises UnknownTaskType."""
    known = {handler.kind.name: handler for handler in handlers}
    unknown = set(types) - {*known, UPKEEP}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise UnknownTaskType(f"There is no task type {names}; there are: {', '.join([*sorted(known), UPKEEP])}.")
    return [handler for name, handler in known.items() if not types or name in types]


class Worker:
    """`does_upkeep`: also sends mails, indexes memories and tidies up."""

    def __init__(self, resources: Resources, handlers: Sequence[TaskHandler], *, does_upkeep: bool = True) -> None:
        self._does_upkeep = does_upkeep
        self._hub: Hub = resources.hub
        self._services = resources.services
        self._settings = resources.settings
        self._wanted = {wanted: asyncio.Event() for wanted in Wanted if wanted is not Wanted.ANYTHING}
        self._deliveries = resources.services.workspace.deliveries
        self._deliveries.on_free = self._wanted[Wanted.WEBHOOKS].set
        self._taking = asyncio.Lock()
        self._dispatcher = Dispatcher(
            handlers,
            resources.services.execution,
            concurrency=resources.settings.task.concurrency,
            on_free=self._wanted[Wanted.TASKS].set,
        )

    async def run(self, stop: asyncio.Event) -> None:
        poll = self._settings.task.poll_interval.total_seconds()
        renewal = min(self._settings.task.lease.total_seconds() / RENEWALS_PER_LEASE, poll)
        never = asyncio.Event()
        loops = [
            asyncio.create_task(_repeat(self._listen, never, RETRY_PAUSE, patience=0)),
            asyncio.create_task(_repeat(self._take_work, self._wanted[Wanted.TASKS], poll)),
            asyncio.create_task(_repeat(self._renew, self._wanted[Wanted.STOPS], renewal)),
            asyncio.create_task(_repeat(self._services.schedules.fire_due, never, poll)),
            asyncio.create_task(_repeat(self._release_due, never, poll)),
            *(self._begin_upkeep(poll) if self._does_upkeep else ()),
        ]
        try:
            await stop.wait()
        finally:
            async with self._taking:  # a task taken at this moment is begun, and then handed back with the others
                for loop in loops:
                    loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self._dispatcher.stop()
            await self._deliveries.stop()

    def _begin_upkeep(self, poll: float) -> Sequence[asyncio.Task[None]]:
        """What belongs to no task."""
        never = asyncio.Event()
        return [
            asyncio.create_task(_repeat(self._services.mails.send_due, self._wanted[Wanted.MAILS], poll)),
            asyncio.create_task(_repeat(self._services.memory_indexing.run_due, self._wanted[Wanted.MEMORIES], poll)),
            asyncio.create_task(_repeat(self._deliveries.send_due, self._wanted[Wanted.WEBHOOKS], poll)),
            asyncio.create_task(_repeat(self._services.productions.vector_mirror.run_due, never, poll)),
            asyncio.create_task(_repeat(self._sweep, never, SWEEP_INTERVAL)),
            asyncio.create_task(_repeat(self._renew_passages, never, SWEEP_INTERVAL)),
        ]

    async def _release_due(self) -> None:
        if await self._services.tasks.release_due():
            self._wanted[Wanted.TASKS].set()

    async def _take_work(self) -> None:
        is_taken = True
        while is_taken:
            async with self._taking:
                is_taken = await self._dispatcher.start_next()

    async def _renew(self) -> None:
        await self._dispatcher.renew()
        await asyncio.sleep(RENEWAL_PAUSE)

    async def _listen(self) -> None:
        """Wake up when there is something to do; polling covers what is lost here."""
        with contextlib.suppress(CutOff):  # more wake-ups at once than an outbox holds, or the end of the process
            await self._follow_wake_ups()

    async def _follow_wake_ups(self) -> None:
        async with self._hub.attach(WORKERS) as listener:
            await self._hub.follow(listener)
            while True:
                self._wake(await listener.outbox.take())

    def _wake(self, wanted: str) -> None:
        for name, event in self._wanted.items():
            if wanted in (name, Wanted.ANYTHING):
                event.set()

    async def _renew_passages(self) -> None:
        """After a change of the embedding model, for example."""
        await self._services.renewal.renew()
        await self._services.memory_indexing.renew()

    async def _sweep(self) -> None:
        await sweep(self._services, self._settings)


async def _repeat(
    work: Callable[[], Coroutine[Any, Any, None]],
    wanted: asyncio.Event,
    interval: float,
    *,
    patience: float = STEP_PATIENCE,
) -> None:
    """Do `work` whenever it is wanted, and every `interval` seconds; what fails is tried again.

    Cancelled in the middle of a step, it lets the step end, for `patience` seconds.
    """
    while True:
        wanted.clear()
        try:
            await _finish(work(), patience)
        except Exception as error:
            WORKER_STEP_FAILURES.inc()
            log.warning("worker.step_failed", step=getattr(work, "__name__", ""), error=repr(error))
            await asyncio.sleep(RETRY_PAUSE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval * random.uniform(0.8, 1.0)):  # noqa: S311 - workers out of step
                await wanted.wait()


async def _finish(work: Coroutine[Any, Any, None], patience: float) -> None:
    step = asyncio.create_task(work)
    try:
        await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step], timeout=patience)
        await cancel_until_done([step])
        raise
