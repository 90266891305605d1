"""Exports of projects that are made in the background, and kept among the project's files."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from app.repositories import OpenUnitOfWork
from app.schemas.files import FileRead
from app.services.exports import ExportService
from app.services.files import FileService, Wish
from app.services.metering import asker_of
from app.services.running_tasks import RunningTask

FOLDER: Final = "exports"
"""What is in it is left out of exports, or each would hold all those before it."""


class ProjectExportService:
    def __init__(self, uow: OpenUnitOfWork, exports: ExportService, files: FileService) -> None:
        self._uow = uow
        self._exports = exports
        self._files = files

    async def export_project(self, task: RunningTask, path: str | None) -> Mapping[str, Any]:
        """An archive is made as a whole: another attempt begins anew, and puts it in the same place.

        Raises:
            NotFound, PermissionDenied: whoever started the task does not own the project (any more).
            PayloadTooLarge: it is larger than a file of the project may be.
        """
        async with self._uow() as uow:
            owner = await asker_of(uow, task.owner_id, None)
            counts = await uow.statistics.count_project(task.project_id)
        pieces = await self._exports.export_project(owner, task.project_id, without=FOLDER)
        expected = counts.documents_bytes + counts.files_bytes
        wish = Wish(task.project_id, path or f"{FOLDER}/{task.id}.zip", by=task.owner_id)
        file = await self._files.deliver(wish, _followed(task, pieces, expected))
        return {"file": FileRead.model_validate(file).model_dump(mode="json")}


async def _followed(task: RunningTask, pieces: AsyncIterator[bytes], expected: int) -> AsyncIterator[bytes]:
    """The same; an archive has about as many bytes as what is put into it."""
    written = 0
    async for piece in pieces:
        yield piece
        written += len(piece)
        await task.progress(min(written / (expected + 1), 0.99), f"{written / 1_000_000:.1f} MB")
