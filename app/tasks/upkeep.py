"""What is forgotten, and when: every sweep there is, in one list. docs/operations.md says what each of them means."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from app.services import Services
from app.settings import Settings

log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[None]]


def sweeps(services: Services, settings: Settings) -> Mapping[str, Step]:
    """In this order: what was given up long ago goes on before it is forgotten, files come after what named them."""

    async def forget_events() -> None:
        await services.execution.forget_events(settings.realtime.retention)

    return {
        "accounts": services.erasure.sweep,
        "tasks": services.execution.forget_tasks,
        "events": forget_events,
        "idempotency": services.execution.forget_answers,
        "memories": services.memories.sweep,
        "files": services.blobs.discard_unnamed,
        "logins": services.logins.sweep,
        "mails": services.mails.sweep,
        "invites": services.registration.sweep,
        "deliveries": services.workspace.deliveries.sweep,
        "audit": services.audit.sweep,
        "answers": services.replies.sweep,
    }


async def sweep(services: Services, settings: Settings) -> None:
    """Do all of it; one that fails is tried again the next time, and keeps none of the others from their work."""
    for name, step in sweeps(services, settings).items():
        try:
            await step()
        except Exception as error:
            log.warning("upkeep.step_failed", step=name, error=repr(error))
