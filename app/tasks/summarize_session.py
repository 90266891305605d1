"""Sums up what was said in a room, for whoever asks."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import SummarizeSessionParams
from app.services.digests import DigestService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import SUMMARIZE_SESSION
from app.services.task_types import TaskType


class SummarizeSession:
    kind: ClassVar[TaskType] = SUMMARIZE_SESSION

    def __init__(self, digests: DigestService) -> None:
        self._digests = digests

    async def process(self, task: RunningTask, params: SummarizeSessionParams) -> Mapping[str, Any]:
        return await self._digests.summarize_session(task, params.session_id)
