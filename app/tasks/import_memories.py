"""Brings in the memories of a file."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.imports import ImportMemoriesParams
from app.services.execution import RunningTask
from app.services.imports import IMPORT_MEMORIES, ImportService


class ImportMemories:
    task_type: ClassVar[str] = IMPORT_MEMORIES
    params: ClassVar[type[BaseModel]] = ImportMemoriesParams
    concurrency: ClassVar[int] = 2  # mostly the database's work
    timeout: ClassVar[timedelta] = timedelta(hours=2)  # the largest file, on a slow machine

    def __init__(self, imports: ImportService) -> None:
        self._imports = imports

    async def process(self, task: RunningTask, params: ImportMemoriesParams) -> Mapping[str, Any]:
        return await self._imports.run(task, params.import_id)
