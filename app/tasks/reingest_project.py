"""Queues the reading of all of a project's documents, after a change of the embedding model for example."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import ReingestProjectParams
from app.services.documents import DocumentService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import REINGEST_PROJECT
from app.services.task_types import TaskType


class ReingestProject:
    kind: ClassVar[TaskType] = REINGEST_PROJECT

    def __init__(self, documents: DocumentService) -> None:
        self._documents = documents

    async def process(self, task: RunningTask, params: ReingestProjectParams) -> Mapping[str, Any]:
        return await self._documents.reingest_project(task, only_failed=params.only_failed)
