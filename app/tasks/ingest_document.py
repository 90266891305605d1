"""Reads a document."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import IngestDocumentParams
from app.services.ingestion import IngestionService, PassageSize
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import INGEST_DOCUMENT
from app.services.task_types import TaskType


class IngestDocument:
    kind: ClassVar[TaskType] = INGEST_DOCUMENT

    def __init__(self, ingestion: IngestionService) -> None:
        self._ingestion = ingestion

    async def process(self, task: RunningTask, params: IngestDocumentParams) -> Mapping[str, Any]:
        size = PassageSize(max_tokens=task.preset.passage_tokens, overlap=task.preset.passage_overlap)
        return await self._ingestion.ingest(task, params.document_id, size)
