"""Makes what is shown of a picture."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import RenderMediaParams
from app.services.media_rendering import MediaRendering
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import RENDER_MEDIA
from app.services.task_types import TaskType


class RenderMedia:
    kind: ClassVar[TaskType] = RENDER_MEDIA

    def __init__(self, rendering: MediaRendering) -> None:
        self._rendering = rendering

    async def process(self, task: RunningTask, params: RenderMediaParams) -> Mapping[str, Any]:
        return await self._rendering.render(task, params.media_id)
