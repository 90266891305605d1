"""Removes what a deleted account leaves behind."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import DeleteAccountParams
from app.services.erasure import DELETE_ACCOUNT, ErasureService
from app.services.execution import RunningTask


class DeleteAccount:
    task_type: ClassVar[str] = DELETE_ACCOUNT
    params: ClassVar[type[BaseModel]] = DeleteAccountParams
    concurrency: ClassVar[int] = 1
    timeout: ClassVar[timedelta] = timedelta(hours=2)

    def __init__(self, erasure: ErasureService) -> None:
        self._erasure = erasure

    async def process(self, task: RunningTask, params: DeleteAccountParams) -> Mapping[str, Any]:
        return await self._erasure.erase(task, params.user_id, erase_messages=params.erase_messages)
