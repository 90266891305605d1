"""The kinds of long-running work: what they take, how they are tried, and what becomes of one that fails."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import BaseModel
from uuid_utils.compat import uuid7

from app.errors import AppError, RateLimited
from app.events import TaskProgress, Wanted
from app.models import Task
from app.presets import Preset, PresetChanges, Quality
from app.repositories import UnitOfWork
from app.settings import PresetSettings

Abandon = Callable[[UnitOfWork, Task, AppError], Awaitable[None]]

PAYS_TO_WAIT: Final = (408, 425, 429)  # of the statuses below 500: the same may go well a little later


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task is begun, and how long it waits in between: `delay`, then twice as long, and so on.

    What is left out is as the settings `TASK_MAX_ATTEMPTS` and `TASK_RETRY_DELAY` say.
    """

    attempts: int | None = None
    delay: timedelta | None = None
    longest_delay: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class TaskType:
    """Work that can be queued.

    `concurrency` bounds how many run at once in one worker, `most_at_once` how many in all workers together. `uses`
    names the values of a preset (`PresetChanges`) that the work depends on, which a request may then override;
    `presets` are changes of them for this type. `abandon` tidies up in the transaction that ends it without success.
    """

    name: str
    description: str
    params: type[BaseModel]
    may_be_started: bool = False  # by users; the rest is queued by services
    is_internal: bool = False  # not shown to users
    timeout: timedelta = timedelta(minutes=10)  # of one attempt
    concurrency: int = 4
    most_at_once: int | None = None
    priority: int = 0  # of what users start; the higher, the sooner
    retries: RetryPolicy = RetryPolicy()
    uses: tuple[str, ...] = ()
    presets: Mapping[Quality, PresetChanges] | None = None
    abandon: Abandon | None = None


TaskTypes = Mapping[str, TaskType]


def preset_of(kind: TaskType | None, settings: PresetSettings, quality: Quality, *changes: PresetChanges) -> Preset:
    """What `quality` means for this kind of work: settings change the defaults, types those, and requests these."""
    of_type = (kind.presets or {}).get(quality, PresetChanges()) if kind else PresetChanges()
    return settings.of(quality, of_type, *changes)


def may_pass(error: AppError) -> bool:
    """Whether trying again later makes sense: outages and bugs, and limits that are lifted by waiting."""
    return error.status >= 500 or error.status in PAYS_TO_WAIT


def wait_wanted(error: AppError) -> timedelta:
    """How long the other side asked to be left alone."""
    return error.retry_after if isinstance(error, RateLimited) else timedelta(0)


def queue_task(uow: UnitOfWork, task: Task) -> None:
    """Queue `task` with this transaction, and tell its project and the workers."""
    task.id = task.id or uuid7()
    uow.tasks.add(task)
    announce_state(uow, task, message="queued")
    uow.events.wake_workers(Wanted.TASKS)


def announce_state(uow: UnitOfWork, task: Task, *, message: str) -> None:
    """Tell who is there now how far a task is that nobody works on at the moment."""
    if not task.is_internal:
        event = TaskProgress(
            project_id=task.project_id,
            task_id=task.id,
            task_type=task.task_type,
            progress=task.progress or 0.0,
            message=message,
        )
        uow.events.announce(task.project_id, event)
