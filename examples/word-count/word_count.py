"""Counts the words of a text: how another package brings a task type along.

Install it beside Hearth (`uv pip install ./examples/word-count`) and restart servers and workers: servers offer the
type at `GET /api/v1/task-types`, and workers do what is started of it.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from app.errors import InvalidInput
from app.services import Services
from app.services.running_tasks import RunningTask
from app.services.task_types import RetryPolicy, TaskType


class CountWordsParams(BaseModel):
    """Count how often each word stands in a text."""

    text: str = Field(max_length=100_000)
    most_common: int = Field(3, ge=1, le=100)


class CountWords:
    kind: ClassVar[TaskType] = TaskType(
        "count_words",
        "Counts how often each word stands in a text.",
        CountWordsParams,
        may_be_started=True,
        timeout=timedelta(seconds=30),
        retries=RetryPolicy(attempts=3, delay=timedelta(seconds=1)),
    )

    def __init__(self, services: Services) -> None:
        self._services = services  # searches, answers, documents, …: what Hearth can do is here for the taking

    async def process(self, task: RunningTask, params: CountWordsParams) -> Mapping[str, Any]:
        words = params.text.lower().split()
        if not words:
            raise InvalidInput("There is no word in the text.", field="text")  # below 500: not tried again
        await task.progress(0.5, f"counting {len(words)} words")
        return {"words": len(words), "most_common": Counter(words).most_common(params.most_common)}
