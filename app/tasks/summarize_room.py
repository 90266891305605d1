"""Sums up what was said in a room, for the spirit."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import SummarizeRoomParams
from app.services.running_tasks import RunningTask
from app.services.summaries import SummaryService
from app.services.task_catalogue import SUMMARIZE_ROOM
from app.services.task_types import TaskType


class SummarizeRoom:
    kind: ClassVar[TaskType] = SUMMARIZE_ROOM

    def __init__(self, summaries: SummaryService) -> None:
        self._summaries = summaries

    async def process(self, task: RunningTask, params: SummarizeRoomParams) -> Mapping[str, Any]:
        return await self._summaries.renew(task, params.session_id, user_id=params.user_id, key_id=params.key_id)
