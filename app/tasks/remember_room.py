"""Sums up what was said in a room, for the spirit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import RememberRoomParams
from app.services.execution import RunningTask
from app.services.memory import REMEMBER_ROOM, MemoryService


class RememberRoom:
    task_type: ClassVar[str] = REMEMBER_ROOM
    params: ClassVar[type[BaseModel]] = RememberRoomParams
    concurrency: ClassVar[int] = 2  # mostly waiting for the language model, which people wait for more urgently
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, memory: MemoryService) -> None:
        self._memory = memory

    async def process(self, task: RunningTask, params: RememberRoomParams) -> Mapping[str, Any]:
        return await self._memory.renew(task, params.session_id, user_id=params.user_id, key_id=params.key_id)
