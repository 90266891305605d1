"""Makes pictures from words."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import TextToImageParams
from app.services.pictures import PictureService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import TEXT_TO_IMAGE
from app.services.task_types import TaskType


class TextToImage:
    kind: ClassVar[TaskType] = TEXT_TO_IMAGE

    def __init__(self, pictures: PictureService) -> None:
        self._pictures = pictures

    async def process(self, task: RunningTask, params: TextToImageParams) -> Mapping[str, Any]:
        return await self._pictures.draw(task, params)
