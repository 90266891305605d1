"""Makes what is shown of a picture."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import RenderMediaParams
from app.services.execution import RunningTask
from app.services.media import RENDER_MEDIA
from app.services.media_rendering import MediaRendering


class RenderMedia:
    task_type: ClassVar[str] = RENDER_MEDIA
    params: ClassVar[type[BaseModel]] = RenderMediaParams
    concurrency: ClassVar[int] = 2
    timeout: ClassVar[timedelta] = timedelta(minutes=10)

    def __init__(self, rendering: MediaRendering) -> None:
        self._rendering = rendering

    async def process(self, task: RunningTask, params: RenderMediaParams) -> Mapping[str, Any]:
        return await self._rendering.render(task, params.media_id)
