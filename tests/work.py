"""Work that is queued during a test, done in the test's own process."""

import asyncio

from app.resources import Resources
from app.tasks import build_handlers
from app.tasks.dispatcher import Dispatcher

PATIENCE = 60.0  # seconds


async def run_queued_tasks(resources: Resources) -> None:
    """Do everything that is queued, and what that queues, until nothing is left that could start now."""
    dispatcher = Dispatcher(build_handlers(resources.services), resources.services.execution, concurrency=1)
    try:
        async with asyncio.timeout(PATIENCE):
            while await dispatcher.start_next():
                while not dispatcher.is_idle:
                    await asyncio.sleep(0.005)
    finally:
        await dispatcher.stop()
