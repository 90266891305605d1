"""Makes what a project's passages are found by anew."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import ReembedProjectParams
from app.services.reembedding import ReembeddingService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import REEMBED_PROJECT
from app.services.task_types import TaskType


class ReembedProject:
    kind: ClassVar[TaskType] = REEMBED_PROJECT

    def __init__(self, reembedding: ReembeddingService) -> None:
        self._reembedding = reembedding

    async def process(self, task: RunningTask, _: ReembedProjectParams) -> Mapping[str, Any]:
        return await self._reembedding.reembed_project(task)
