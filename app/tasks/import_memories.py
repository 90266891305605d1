"""Brings in the memories of a file."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.imports import ImportMemoriesParams
from app.services.imports import ImportService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import IMPORT_MEMORIES
from app.services.task_types import TaskType


class ImportMemories:
    kind: ClassVar[TaskType] = IMPORT_MEMORIES

    def __init__(self, imports: ImportService) -> None:
        self._imports = imports

    async def process(self, task: RunningTask, params: ImportMemoriesParams) -> Mapping[str, Any]:
        return await self._imports.run(task, params.import_id)
