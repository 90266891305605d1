"""Sums up a document."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import SummarizeDocumentParams
from app.services.digests import DigestService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import SUMMARIZE_DOCUMENT
from app.services.task_types import TaskType


class SummarizeDocument:
    kind: ClassVar[TaskType] = SUMMARIZE_DOCUMENT

    def __init__(self, digests: DigestService) -> None:
        self._digests = digests

    async def process(self, task: RunningTask, params: SummarizeDocumentParams) -> Mapping[str, Any]:
        return await self._digests.summarize_document(task, params.document_id)
