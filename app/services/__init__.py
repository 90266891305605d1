"""What the product does. Built once, stateless, called by every door: HTTP, WebSocket, tasks and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.foundation import Foundation
from app.realtime.hub import Hub
from app.repositories import OpenUnitOfWork
from app.schemas.tasks import IngestDocumentParams, ReingestProjectParams
from app.services.blobs import BlobService
from app.services.documents import INGEST_DOCUMENT, REINGEST_PROJECT, DocumentService
from app.services.execution import TaskExecution
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.ingestion import IngestionService
from app.services.task_types import TaskType
from app.services.tasks import TaskService


@dataclass(frozen=True, slots=True)
class Services:
    """One attribute per noun."""

    blobs: BlobService
    documents: DocumentService
    execution: TaskExecution
    health: HealthService
    idempotency: IdempotencyService
    ingestion: IngestionService
    tasks: TaskService


def build_services(foundation: Foundation, uow: OpenUnitOfWork, hub: Hub) -> Services:
    """Wire every service; each takes only what it needs."""
    settings = foundation.settings
    blobs = BlobService(uow, foundation.storage, max_bytes=settings.document.max_bytes)
    ingestion = IngestionService(
        uow,
        foundation.storage,
        foundation.extractor,
        foundation.embedder,
        batch_size=settings.embedding.batch_size,
    )
    task_types = {kind.name: kind for kind in _task_types(ingestion)}
    tasks = TaskService(uow, task_types)
    return Services(
        blobs=blobs,
        documents=DocumentService(uow, blobs, tasks),
        execution=TaskExecution(uow, settings.task, task_types),
        health=_build_health(foundation, uow),
        idempotency=IdempotencyService(uow),
        ingestion=ingestion,
        tasks=tasks,
    )


def _task_types(ingestion: IngestionService) -> Sequence[TaskType]:
    """The work that users see; what becomes of it when it ends without success."""
    return [
        TaskType(
            INGEST_DOCUMENT,
            "Reads a document and makes its passages searchable; queued by uploads.",
            IngestDocumentParams,
            abandon=ingestion.abandon,
        ),
        TaskType(
            REINGEST_PROJECT,
            "Reads the documents of a project again.",
            ReingestProjectParams,
            may_be_started=True,
        ),
    ]


def _build_health(foundation: Foundation, uow: OpenUnitOfWork) -> HealthService:
    async def database() -> None:
        async with uow() as transaction:
            await transaction.ping()

    async def redis() -> None:
        await foundation.redis.ping()

    async def llm() -> None:
        if foundation.llm is not None:
            await foundation.llm.check()

    async def queue() -> None:
        async with uow() as transaction:
            await transaction.tasks.check_backlog()

    return HealthService(
        {
            "database": database,
            "redis": redis,
            "workspace": foundation.storage.check,
            "embedder": foundation.embedder.check,
            "llm": llm,
            "queue": queue,
        },
        fresh_for={"embedder": timedelta(seconds=30), "llm": timedelta(seconds=30), "workspace": timedelta(seconds=5)},
    )
