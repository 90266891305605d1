"""Calls a function that runs outside."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.schemas.functions import CallFunctionParams
from app.services.function_calls import FunctionCallService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import CALL_FUNCTION
from app.services.task_types import TaskType


class CallFunction:
    def __init__(self, function_calls: FunctionCallService) -> None:
        self._function_calls = function_calls
        self.kind: TaskType = replace(CALL_FUNCTION, concurrency=function_calls.concurrency)

    async def process(self, task: RunningTask, params: CallFunctionParams) -> Mapping[str, Any]:
        return await self._function_calls.call(task, params)
