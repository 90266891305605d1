"""Puts a project into an archive among its files."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import ExportProjectParams
from app.services.project_exports import ProjectExportService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import EXPORT_PROJECT
from app.services.task_types import TaskType


class ExportProject:
    kind: ClassVar[TaskType] = EXPORT_PROJECT

    def __init__(self, project_exports: ProjectExportService) -> None:
        self._project_exports = project_exports

    async def process(self, task: RunningTask, params: ExportProjectParams) -> Mapping[str, Any]:
        return await self._project_exports.export_project(task, params.path)
