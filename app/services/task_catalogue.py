"""Every kind of work that Hearth brings along, and the further ones of installed packages."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final, Protocol

import structlog

from app.schemas.tasks import (
    AnswerMessageParams,
    DeleteAccountParams,
    ExtractMemoriesParams,
    IngestDocumentParams,
    NoteCandidateParams,
    ReingestProjectParams,
    RenderMediaParams,
    SummarizeRoomParams,
)
from app.services import chat, documents, erasure, media, proposals, remembering, summaries
from app.services.running_tasks import RunningTask
from app.services.task_types import TaskType

log = structlog.get_logger(__name__)

ENTRY_POINTS: Final = "hearth.tasks"

ANSWER_MESSAGE: Final = TaskType(
    chat.ANSWER_MESSAGE,
    "Lets the spirit answer a message.",
    AnswerMessageParams,
    is_internal=True,
    concurrency=8,  # mostly waiting for the language model
)
DELETE_ACCOUNT: Final = TaskType(
    erasure.DELETE_ACCOUNT,
    "Removes what a deleted account leaves behind.",
    DeleteAccountParams,
    is_internal=True,
    concurrency=1,
    timeout=timedelta(hours=2),
)
EXTRACT_MEMORIES: Final = TaskType(
    proposals.EXTRACT_MEMORIES,
    "Lets the language model propose to you what of a room's last messages to remember.",
    ExtractMemoriesParams,
    may_be_started=True,
    concurrency=2,  # mostly waiting for the language model
)
INGEST_DOCUMENT: Final = TaskType(
    documents.INGEST_DOCUMENT,
    "Reads a document and makes its passages searchable; queued by uploads.",
    IngestDocumentParams,
    timeout=timedelta(hours=2),  # the largest document, on a slow machine
    concurrency=4,  # batches of all are embedded in turn, so a large document lets small ones pass
    uses=("passage_tokens", "passage_overlap"),
)
NOTE_CANDIDATE: Final = TaskType(
    remembering.NOTE_CANDIDATE,
    "Puts what a message asks to remember among its author's candidates.",
    NoteCandidateParams,
    is_internal=True,
    concurrency=4,
    timeout=timedelta(minutes=1),
)
RENDER_MEDIA: Final = TaskType(
    media.RENDER_MEDIA,
    "Makes what is shown of a picture, and its thumbnails.",
    RenderMediaParams,
    is_internal=True,
    concurrency=2,
)
REINGEST_PROJECT: Final = TaskType(
    documents.REINGEST_PROJECT,
    "Reads the documents of a project again.",
    ReingestProjectParams,
    may_be_started=True,
    concurrency=1,
)
SUMMARIZE_ROOM: Final = TaskType(
    summaries.SUMMARIZE_ROOM,
    "Sums up what was said in a room, for the spirit.",
    SummarizeRoomParams,
    is_internal=True,
    concurrency=2,  # mostly waiting for the language model, which people wait for more urgently
)
BUILT_IN: Final[Sequence[TaskType]] = (
    ANSWER_MESSAGE,
    DELETE_ACCOUNT,
    EXTRACT_MEMORIES,
    INGEST_DOCUMENT,
    NOTE_CANDIDATE,
    REINGEST_PROJECT,
    RENDER_MEDIA,
    SUMMARIZE_ROOM,
)


class TaskHandler(Protocol):
    """Does one kind of work: takes its parameters, and calls one service method."""

    @property
    def kind(self) -> TaskType: ...

    async def process(self, task: RunningTask, params: Any) -> Mapping[str, Any]:
        """Do the work and return its result; safe to run again from its last finished step.

        `params` is an instance of `kind.params`. Work whose result must be stored exactly once calls
        `await task.finish(uow, result)` in the transaction that stores it. A stop arrives as `asyncio.CancelledError`.

        Raises:
            AppError: with a status below 500 (and other than 408, 425, 429) nothing would be better next time; else it
                is tried again.
        """


class ForeignHandler(Protocol):
    """A handler class of another package: what an entry point of the group `hearth.tasks` names."""

    kind: ClassVar[TaskType]

    def __call__(self, services: Any) -> TaskHandler:
        """Make the handler; `services` is an `app.services.Services`."""


def foreign_handlers() -> Sequence[ForeignHandler]:
    """The handler classes of installed packages; one that cannot be had costs nobody the others."""
    taken = {kind.name for kind in BUILT_IN}
    found = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        handler = _load(entry)
        if handler is None:
            continue
        if handler.kind.name in taken:
            log.error("task_type.refused", entry_point=entry.value, reason=f"{handler.kind.name} is taken")
            continue
        taken.add(handler.kind.name)
        found.append(handler)
    return found


def _load(entry: EntryPoint) -> ForeignHandler | None:
    try:
        handler: ForeignHandler = entry.load()
    except Exception:  # whatever a stranger's module does while it is imported
        log.exception("task_type.refused", entry_point=entry.value)
        return None
    if isinstance(getattr(handler, "kind", None), TaskType):
        return handler
    log.error("task_type.refused", entry_point=entry.value, reason="its `kind` is no TaskType")
    return None
