"""Queues the reading of all of a project's documents, after a change of the embedding model for example."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import ReingestProjectParams
from app.services.documents import REINGEST_PROJECT, DocumentService
from app.services.execution import RunningTask


class ReingestProject:
    task_type: ClassVar[str] = REINGEST_PROJECT
    params: ClassVar[type[BaseModel]] = ReingestProjectParams
    concurrency: ClassVar[int] = 1
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, documents: DocumentService) -> None:
        self._documents = documents

    async def process(self, task: RunningTask, params: ReingestProjectParams) -> Mapping[str, Any]:
        return await self._documents.reingest_project(task, only_failed=params.only_failed)
