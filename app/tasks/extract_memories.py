"""Lets the language model propose what of a conversation to remember."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import ExtractMemoriesParams
from app.services.proposals import ProposalService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import EXTRACT_MEMORIES
from app.services.task_types import TaskType


class ExtractMemories:
    kind: ClassVar[TaskType] = EXTRACT_MEMORIES

    def __init__(self, proposals: ProposalService) -> None:
        self._proposals = proposals

    async def process(self, task: RunningTask, params: ExtractMemoriesParams) -> Mapping[str, Any]:
        return await self._proposals.extract(task, params.session_id)
