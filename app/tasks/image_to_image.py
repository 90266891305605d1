"""Makes pictures from words and a picture."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import ImageToImageParams
from app.services.pictures import PictureService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import IMAGE_TO_IMAGE
from app.services.task_types import TaskType


class ImageToImage:
    kind: ClassVar[TaskType] = IMAGE_TO_IMAGE

    def __init__(self, pictures: PictureService) -> None:
        self._pictures = pictures

    async def process(self, task: RunningTask, params: ImageToImageParams) -> Mapping[str, Any]:
        return await self._pictures.redraw(task, params)
