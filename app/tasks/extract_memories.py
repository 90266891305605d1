"""Lets the language model propose what of a conversation to remember."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import ExtractMemoriesParams
from app.services.execution import RunningTask
from app.services.proposals import EXTRACT_MEMORIES, ProposalService


class ExtractMemories:
    task_type: ClassVar[str] = EXTRACT_MEMORIES
    params: ClassVar[type[BaseModel]] = ExtractMemoriesParams
    concurrency: ClassVar[int] = 2  # mostly waiting for the language model
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, proposals: ProposalService) -> None:
        self._proposals = proposals

    async def process(self, task: RunningTask, params: ExtractMemoriesParams) -> Mapping[str, Any]:
        return await self._proposals.extract(task, params.session_id)
