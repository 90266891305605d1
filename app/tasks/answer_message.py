"""Lets the spirit answer a message in a room."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import AnswerMessageParams
from app.services.chat import ANSWER_MESSAGE
from app.services.execution import RunningTask
from app.services.spirit import SpiritService


class AnswerMessage:
    task_type: ClassVar[str] = ANSWER_MESSAGE
    params: ClassVar[type[BaseModel]] = AnswerMessageParams
    concurrency: ClassVar[int] = 8  # mostly waiting for the language model
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, spirit: SpiritService) -> None:
        self._spirit = spirit

    async def process(self, task: RunningTask, params: AnswerMessageParams) -> Mapping[str, Any]:
        return await self._spirit.answer(task, params.session_id, params.message_id, key_id=params.key_id)
