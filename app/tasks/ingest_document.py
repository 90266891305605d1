"""Reads a document."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import IngestDocumentParams
from app.services.documents import INGEST_DOCUMENT
from app.services.execution import RunningTask
from app.services.ingestion import IngestionService
from app.tasks.quality import PASSAGES


class IngestDocument:
    task_type: ClassVar[str] = INGEST_DOCUMENT
    params: ClassVar[type[BaseModel]] = IngestDocumentParams
    concurrency: ClassVar[int] = 4  # batches of all are embedded in turn, so a large document lets small ones pass
    timeout: ClassVar[timedelta] = timedelta(hours=2)  # the largest document, on a slow machine

    def __init__(self, ingestion: IngestionService) -> None:
        self._ingestion = ingestion

    async def process(self, task: RunningTask, params: IngestDocumentParams) -> Mapping[str, Any]:
        return await self._ingestion.ingest(task, params.document_id, PASSAGES[task.quality])
