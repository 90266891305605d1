"""Pictures that are made from words, or from other pictures; they become files of the project."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final
from uuid import UUID

from app.adapters.images import ImageServer, Original, Picture, PictureOrder, Sketch
from app.adapters.media_types import HEAD_BYTES, sniff
from app.adapters.pictures import REDUCED, Pictures
from app.errors import Conflict, ExtractionFailed, NotFound, PayloadTooLarge, ServiceUnavailable, UnsupportedMediaType
from app.permissions import Principal
from app.presets import Quality
from app.realtime.previews import TaskPreviews
from app.repositories import OpenUnitOfWork
from app.schemas.files import FileRead
from app.schemas.tasks import ImageToImageParams, TextToImageParams
from app.services.files import FileService, Preview, Wish
from app.services.metering import asker_of
from app.services.running_tasks import RunningTask
from app.settings.production import ImagesSettings

FOLDER: Final = "images"
PREVIEW_SIZE: Final = 512  # pixels
SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
ACCEPTED: Final = ("image/png", "image/jpeg", "image/webp")
QUALITIES: Final[Mapping[Quality, str]] = {"draft": "low", "standard": "medium", "high": "high", "ultra": "high"}
STEP_OF_SIZE: Final = 16  # pixels: models work in blocks


class PictureService:
    """`server` is None where none is configured; then no such work is taken."""

    def __init__(
        self,
        uow: OpenUnitOfWork,
        server: ImageServer | None,
        files: FileService,
        pictures: Pictures,
        previews: TaskPreviews,
        settings: ImagesSettings,
    ) -> None:
        self._uow = uow
        self._server = server
        self._files = files
        self._previews = previews
        self._max_bytes = settings.max_bytes
        self._timeout = settings.timeout.total_seconds()
        self._pictures = pictures

    def require_server(self, _: object = None) -> ImageServer:
        """Raises Conflict: there is none."""
        if self._server is None:
            raise Conflict("There is no image server: whoever runs this service sets IMAGES_BASE_URL.")
        return self._server

    async def draw(self, task: RunningTask, params: TextToImageParams) -> Mapping[str, Any]:
        """
        Raises:
            PictureRefused, Conflict: the server does not want to, or there is none.
            RateLimited, ServiceUnavailable: it is busy, or away.
            PayloadTooLarge: the project's files would be too many, or too large.
        """
        return await self._make_all(task, params, None, None)

    async def redraw(self, task: RunningTask, params: ImageToImageParams) -> Mapping[str, Any]:
        """The same from a picture among the project's files. Raises NotFound, UnsupportedMediaType, too."""
        async with self._uow() as uow:
            owner = await asker_of(uow, task.owner_id, None)
        original = await self._read(owner, task.project_id, params.image)
        mask = await self._read(owner, task.project_id, params.mask) if params.mask else None
        return await self._make_all(task, params, original, mask)

    async def preview(self, actor: Principal, task_id: UUID) -> Preview:
        """The latest sketch of what a task makes, or its first picture. Raises NotFound."""
        async with self._uow() as uow:
            task = await uow.tasks.get_visible(actor, task_id)
        if task is None:
            raise NotFound("Task not found", task_id=str(task_id))
        found = await self._previews.get(task_id)
        if found is not None:
            return Preview(found, REDUCED)
        made = (task.result or {}).get("files") or [{}]
        if not isinstance(made[0], dict) or "path" not in made[0]:
            raise NotFound("There is nothing to show of this task (yet).", task_id=str(task_id))
        file = await self._files.get(actor, task.project_id, made[0]["path"])
        return await self._files.preview(file, PREVIEW_SIZE)

    async def _make_all(
        self, task: RunningTask, params: TextToImageParams, original: Original | None, mask: Original | None
    ) -> Mapping[str, Any]:
        """One after another, each a step: none that is there is asked for again."""
        server = self.require_server()
        width, height = _size(task.preset.resolution, params.shape)
        quality = QUALITIES[task.quality]
        order = PictureOrder(params.prompt, width, height, quality, task.preset.model, original, mask)
        files = []
        for number in range(params.count):
            make = partial(self._make, server, task, params, order, number)
            files.append(await task.step(f"picture:{number}", make))
        return {"files": files, "model": server.model_of(order), "size": server.size_of(order)}

    async def _make(
        self, server: ImageServer, task: RunningTask, params: TextToImageParams, order: PictureOrder, number: int
    ) -> dict[str, Any]:
        await task.progress(number / params.count, f"picture {number + 1} of {params.count}")
        picture = await self._drawn(server, task, order, (number, params.count))
        return await self._keep(task, params, picture, number)

    async def _drawn(
        self, server: ImageServer, task: RunningTask, order: PictureOrder, place: tuple[int, int]
    ) -> Picture:
        """`place`: the how-maniest it is of how many."""
        number, count = place
        try:
            async with asyncio.timeout(self._timeout), aclosing(server.make(order)) as parts:
                async for part in parts:
                    if isinstance(part, Picture):
                        return part
                    share = (part.number + 1) / (server.previews + 1)
                    await self._show(task, part, min(number + share, number + 1) / count)
        except TimeoutError as error:
            raise ServiceUnavailable("The image server does not answer in time.") from error
        raise ServiceUnavailable("The image server gave no picture.")

    async def _show(self, task: RunningTask, sketch: Sketch, fraction: float) -> None:
        """A sketch that cannot be shown is left out."""
        media_type = sniff(sketch.content[:HEAD_BYTES], None)
        if media_type not in SUFFIXES:
            return
        try:
            small = await self._pictures.reduce_bytes(sketch.content, media_type, PREVIEW_SIZE)
        except ExtractionFailed:
            return
        await self._previews.put(task.id, small)
        url = f"/api/v1/tasks/{task.id}/preview?number={sketch.number}"
        await task.progress(fraction, "drawing", preview_url=url)

    async def _keep(
        self, task: RunningTask, params: TextToImageParams, picture: Picture, number: int
    ) -> dict[str, Any]:
        media_type = sniff(picture.content[:HEAD_BYTES], None)
        if media_type not in SUFFIXES:
            raise ServiceUnavailable("What the image server gave is no picture.")
        counted = f"-{number + 1}" if params.count > 1 else ""
        path = f"{params.folder or FOLDER}/{task.id}{counted}.{SUFFIXES[media_type]}"
        file = await self._files.deliver(Wish(task.project_id, path, by=task.owner_id), _pieces(picture.content))
        kept = FileRead.model_validate(file).model_dump(mode="json")
        await task.progress((number + 1) / params.count, "kept", preview_url=kept["preview_url"])
        return {**kept, "revised_prompt": picture.prompt, "usage": picture.usage}

    async def _read(self, owner: Principal, project_id: UUID, path: str) -> Original:
        content = await self._files.content(owner, project_id, path)
        if content.file.media_type not in ACCEPTED:
            raise UnsupportedMediaType("Only PNG, JPEG and WebP can be changed.", path=path)
        if content.file.size > self._max_bytes:
            raise PayloadTooLarge(f"At most {self._max_bytes:,} bytes are sent.", max_bytes=self._max_bytes, path=path)
        pieces = await content.open(0, content.file.size)
        whole = b"".join([piece async for piece in pieces])
        return Original(f"image.{SUFFIXES[content.file.media_type]}", content.file.media_type, whole)


def _size(side: int, shape: str) -> tuple[int, int]:
    """Width and height; the shorter side of what is not square is two thirds."""
    shorter = max(side * 2 // 3 // STEP_OF_SIZE, 1) * STEP_OF_SIZE
    match shape:
        case "landscape":
            return side, shorter
        case "portrait":
            return shorter, side
        case _:
            return side, side


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content
