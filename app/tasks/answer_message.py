"""Lets the spirit answer a message in a room."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import AnswerMessageParams
from app.services.running_tasks import RunningTask
from app.services.spirit import SpiritService
from app.services.task_catalogue import ANSWER_MESSAGE
from app.services.task_types import TaskType


class AnswerMessage:
    kind: ClassVar[TaskType] = ANSWER_MESSAGE

    def __init__(self, spirit: SpiritService) -> None:
        self._spirit = spirit

    async def process(self, task: RunningTask, params: AnswerMessageParams) -> Mapping[str, Any]:
        return await self._spirit.answer(task, params.session_id, params.message_id, key_id=params.key_id)
