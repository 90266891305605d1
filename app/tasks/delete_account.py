"""Removes what a deleted account leaves behind."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import DeleteAccountParams
from app.services.erasure import ErasureService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import DELETE_ACCOUNT
from app.services.task_types import TaskType


class DeleteAccount:
    kind: ClassVar[TaskType] = DELETE_ACCOUNT

    def __init__(self, erasure: ErasureService) -> None:
        self._erasure = erasure

    async def process(self, task: RunningTask, params: DeleteAccountParams) -> Mapping[str, Any]:
        return await self._erasure.erase(task, params.user_id, erase_messages=params.erase_messages)
