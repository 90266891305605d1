"""The files of memories in an archive: brought in as if they were uploaded now."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from app.adapters.memory_files.archives import ArchivedFiles, open_files
from app.adapters.memory_files.records import Problem
from app.adapters.storage import StoredBlob
from app.errors import AppError, NotFound
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.schemas.documents import safe_filename
from app.schemas.imports import ArchivedMedia
from app.schemas.media import MediaFields
from app.services.import_archives import Archived, memory_of
from app.services.media import MediaService, MediaUpload


class FileImport:
    """Nothing that the archive at `path` says of a file is believed, and each is unpacked once, however often it is
    named there.
    """

    def __init__(self, uow: OpenUnitOfWork, media: MediaService, owner: Principal, path: Path) -> None:
        self._uow = uow
        self._media = media
        self._owner = owner
        self._path = path
        self._unpacked: dict[str, StoredBlob | AppError] = {}

    async def bring(self, rows: Sequence[Archived[ArchivedMedia]]) -> Sequence[Problem]:
        """What could not be brought in. Raises ExtractionFailed: it is no such archive."""
        problems = []
        with contextlib.ExitStack() as stack:
            files = await asyncio.to_thread(stack.enter_context, open_files(self._path))
            for row in rows:
                try:
                    await self._bring(files, row.record)
                except AppError as error:
                    if error.status >= 500:
                        raise
                    problems.append(Problem(row.line, f"A file was left out: {error.message}", is_skipped=False))
        return problems

    async def _bring(self, files: ArchivedFiles, told: ArchivedMedia) -> None:
        memory_id = await self._memory_that_lacks(told)
        if memory_id is None:
            return
        blob = await self._unpack(files, told.sha256)
        fields = MediaFields(keeps_metadata=told.keeps_metadata)
        await self._media.create(self._owner, memory_id, MediaUpload(blob, fields, safe_filename(told.filename)))

    async def _memory_that_lacks(self, told: ArchivedMedia) -> UUID | None:
        """None where the file is there. Raises NotFound, PermissionDenied, Conflict: it is not to be added."""
        async with self._uow() as uow:
            memory_id = await memory_of(uow, self._owner.user_id, told.memory_id)
            if memory_id is None:
                raise NotFound("Its memory is not there.")
            if await uow.media.find_same(memory_id, told.sha256) is not None:
                return None
            await self._media.require_room(uow, memory_id)
        await self._media.require_addable(self._owner, memory_id)
        return memory_id

    async def _unpack(self, files: ArchivedFiles, sha256: str) -> StoredBlob:
        """Raises ExtractionFailed, PayloadTooLarge: it is damaged, or too large; the second time without a look."""
        found = self._unpacked.get(sha256)
        if found is None:
            try:
                found = await self._media.store(files.read(sha256))
            except AppError as error:
                if error.status >= 500:
                    raise
                found = error
            self._unpacked[sha256] = found
        if isinstance(found, AppError):
            raise found
        return found
