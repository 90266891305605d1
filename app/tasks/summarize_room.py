"""Sums up what was said in a room, for the spirit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import SummarizeRoomParams
from app.services.execution import RunningTask
from app.services.summaries import SUMMARIZE_ROOM, SummaryService


class SummarizeRoom:
    task_type: ClassVar[str] = SUMMARIZE_ROOM
    params: ClassVar[type[BaseModel]] = SummarizeRoomParams
    concurrency: ClassVar[int] = 2  # mostly waiting for the language model, which people wait for more urgently
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, summaries: SummaryService) -> None:
        self._summaries = summaries

    async def process(self, task: RunningTask, params: SummarizeRoomParams) -> Mapping[str, Any]:
        return await self._summaries.renew(task, params.session_id, user_id=params.user_id, key_id=params.key_id)
