"""What is shown of a picture: made in the background, in the task `render_media`."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.adapters.pictures import Pictures, Rendition
from app.adapters.storage import StoredBlob
from app.errors import AppError, ExtractionFailed, NotFound
from app.models import Media, MediaStatus, Task
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.blobs import BlobService
from app.services.media import tell_changed
from app.services.running_tasks import RunningTask
from app.services.task_endings import TaskWasCancelled

Stored = Sequence[tuple[Rendition, StoredBlob]]


class MediaRendering:
    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService, pictures: Pictures) -> None:
        self._uow = uow
        self._blobs = blobs
        self._pictures = pictures

    async def render(self, task: RunningTask, media_id: UUID) -> Mapping[str, Any]:
        """Make the picture that is shown, and its thumbnails. Run again, it makes the same.

        Raises:
            ExtractionFailed: the picture cannot be read.
            NotFound: it was deleted.
            TaskLost: another worker goes on with it.
        """
        async with self._uow() as uow:
            await task.hold(uow)
            media = _there(await uow.media.get(media_id), media_id)
        stored: list[tuple[Rendition, StoredBlob]] = []
        try:
            for made in await self._made(media):
                stored.append((made, await self._blobs.add(made.content)))  # noqa: PERF401 - what is there so far counts
            outdated = await self._publish(task, media, stored)
        except BaseException:
            await self._discard({blob.sha256 for _, blob in stored})
            raise
        await self._discard(outdated)
        return {}

    async def abandon(self, uow: UnitOfWork, task: Task, error: AppError) -> None:
        """Say in the file why its task ended without success."""
        media = await uow.media.get(UUID(task.params["media_id"]))
        if media is None or media.status == MediaStatus.READY:
            return
        message = "Preparing the picture was cancelled." if isinstance(error, TaskWasCancelled) else error.message
        media.status, media.error = MediaStatus.FAILED, {"code": error.code, "message": message}
        await uow.flush()
        await tell_changed(uow, media.memory_id)

    async def _made(self, media: Media) -> Sequence[Rendition]:
        try:
            async with self._blobs.local(media.sha256) as path:
                return await self._pictures.render(path, media.media_type)
        except NotFound as error:
            raise ExtractionFailed("FILE_MISSING", "The file is not in the store any more.") from error

    async def _publish(self, task: RunningTask, media: Media, stored: Stored) -> set[str]:
        """All of it at once, and the task is done; the hashes of what was there before."""
        async with self._uow() as uow:
            owner_id = await uow.memories.mark_changed(media.memory_id)  # first: whoever deletes it locks it first, too
            current = _there(await uow.media.lock(media.id), media.id)
            for sha256 in sorted({blob.sha256 for _, blob in stored}):  # in order, so that two do not block
                await self._blobs.claim(uow, sha256)
            before = await uow.media.replace_renditions(media.id, [_row(made, blob) for made, blob in stored])
            current.status, current.error = MediaStatus.READY, None
            await uow.flush()
            await task.finish(uow, {})
            if owner_id is not None:
                await tell_changed(uow, media.memory_id)
        return before - {blob.sha256 for _, blob in stored}

    async def _discard(self, sha256s: set[str]) -> None:
        for sha256 in sorted(sha256s):
            await self._blobs.discard(sha256)


def _row(made: Rendition, blob: StoredBlob) -> Mapping[str, Any]:
    return {
        "name": made.name,
        "media_type": made.media_type,
        "width": made.width,
        "height": made.height,
        "size": blob.size,
        "sha256": blob.sha256,
    }


def _there(media: Media | None, media_id: UUID) -> Media:
    if media is None:
        raise NotFound("The file was deleted.", media_id=str(media_id))
    return media
