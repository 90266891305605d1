"""Files of a project by their paths: what people and tasks put there, within the project's quota."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.adapters.media_types import EMPTY, sniff
from app.adapters.parsers.texts import decode
from app.adapters.pictures import REDUCED, Pictures
from app.adapters.storage import StoredBlob
from app.errors import Conflict, ExtractionFailed, NotFound, PayloadTooLarge, PreconditionFailed, UnsupportedMediaType
from app.events import FileChanged
from app.models import AuditAction, ProjectFile
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.files import PICTURES, is_text
from app.services.audit import record_by
from app.services.blobs import BlobService
from app.services.projects import require_editor, visible_project
from app.services.versions import Versions, require_version
from app.settings.workspace import ProjectSettings

UNKNOWN: Final = "application/octet-stream"
PREVIEW_BYTES: Final = 16_384  # of a text that are looked at
PREVIEW_LINES: Final = 40
MOST_PREVIEWED: Final = 52_428_800  # bytes of a picture


@dataclass(frozen=True, slots=True)
class PutFile:
    """`is_new`: there was none with this path. `replaced`: the digest of what was there instead."""

    file: ProjectFile
    is_new: bool
    replaced: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, from a start to an end (exclusive)."""

    file: ProjectFile
    open: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]

    @property
    def version(self) -> str:
        return self.file.version


@dataclass(frozen=True, slots=True)
class Preview:
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants which file to be there: `expected` versions of what is replaced, or that there is nothing yet."""

    project_id: UUID
    path: str
    by: UUID
    expected: Versions | None = None
    must_be_new: bool = False


class FileService:
    """Locks are taken in one order: the project's channel, then the bytes."""

    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService, pictures: Pictures, settings: ProjectSettings) -> None:
        self._uow = uow
        self._blobs = blobs
        self._settings = settings
        self._pictures = pictures

    async def list(
        self, actor: Principal, project_id: UUID, *, prefix: str, after: str | None, limit: int
    ) -> Sequence[ProjectFile]:
        """Those whose paths begin with `prefix`, in the order of the paths. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            await visible_project(uow, actor, project_id)
            return await uow.files.list(project_id, prefix=prefix, after=after, limit=limit)

    async def get(self, actor: Principal, project_id: UUID, path: str) -> ProjectFile:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return _there(await uow.files.get_visible(actor, project_id, path), path)

    async def put(self, actor: Principal, wish: Wish, stream: AsyncIterator[bytes], *, announced: int) -> PutFile:
        """Keep what `stream` yields under a path. Whoever may not do that is told so before the bytes come.

        Raises:
            NotFound, PermissionDenied, ProjectArchived, PreconditionFailed
            Conflict: there is a folder of this name, or a file where it has a folder.
            PayloadTooLarge: there are more than a file, or all files of a project, may have.
        """
        async with self._uow() as uow:
            await require_editor(uow, actor, wish.project_id)
            room = await self._room_for(uow, wish, announced)
        blob = await self._blobs.store(stream, max_bytes=room)
        async with self._naming(blob), self._uow() as uow:
            await require_editor(uow, actor, wish.project_id)
            put = await self._put(uow, wish, blob)
        await self._tidy(put)
        return put

    async def deliver(self, wish: Wish, stream: AsyncIterator[bytes]) -> ProjectFile:
        """The same for work that a member has started, and that goes on with their right. Raises the same."""
        async with self._uow() as uow:
            room = await self._room_for(uow, wish, 0)
        blob = await self._blobs.store(stream, max_bytes=room)
        async with self._naming(blob), self._uow() as uow:
            put = await self._put(uow, wish, blob)
        await self._tidy(put)
        return put.file

    async def content(self, actor: Principal, project_id: UUID, path: str) -> Content:
        """Raises NotFound."""
        file = await self.get(actor, project_id, path)
        await self._blobs.require(file.sha256)
        return Content(file, lambda start, end: self._blobs.open(file.sha256, start=start, end=end))

    async def preview(self, file: ProjectFile, size: int) -> Preview:
        """A picture of at most `size` × `size` pixels, or the first lines of a text.

        Raises:
            UnsupportedMediaType: there is nothing to show of such a file.
        """
        if file.media_type in PICTURES and file.size <= MOST_PREVIEWED:
            async with self._blobs.local(file.sha256) as local:
                return Preview(await self._reduced(local, file.media_type, size), REDUCED)
        if is_text(file.media_type):
            pieces = await self._blobs.open(file.sha256, end=PREVIEW_BYTES)
            beginning = b"".join([piece async for piece in pieces])
            return Preview(await asyncio.to_thread(_first_lines, beginning), "text/plain")
        raise UnsupportedMediaType("There is no preview of such a file.", media_type=file.media_type)

    async def _reduced(self, path: Path, media_type: str, size: int) -> bytes:
        try:
            return await self._pictures.reduce(path, media_type, size)
        except ExtractionFailed as error:
            raise UnsupportedMediaType(error.message, media_type=media_type) from error

    async def delete(self, actor: Principal, project_id: UUID, path: str, *, expected: Versions | None) -> None:
        """Remove it, and its bytes where nothing else has the same.

        Raises:
            NotFound, PermissionDenied, ProjectArchived, PreconditionFailed
        """
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
            await uow.events.lock(project_id)
            file = _there(await uow.files.get(project_id, path), path)
            require_version(file, expected)
            await uow.files.delete(file)
            if file.created_by != actor.user_id:
                named = {"project_id": str(project_id), "path": path}
                record_by(uow, actor, AuditAction.FILE_DELETED, target_type="file", target_id=file.id, **named)
            await uow.flush()
            await uow.events.append(project_id, _changed(file, "deleted", actor.user_id))
        await self._blobs.discard(file.sha256)

    async def _room_for(self, uow: UnitOfWork, wish: Wish, size: int) -> int:
        """How many bytes the file may have. Raises: `size` bytes, or the file at all, may not be there."""
        found = await uow.files.get(wish.project_id, wish.path)
        _require_wanted(wish, found)
        limits, usage = self._settings, await uow.files.get_usage(wish.project_id)
        if found is None:
            obstacle = await uow.files.find_obstacle(wish.project_id, wish.path)
            if obstacle is not None:
                raise Conflict("A file and a folder cannot have the same name.", path=wish.path, there=obstacle)
            if usage.count >= limits.files_max_count:
                message = f"A project may have at most {limits.files_max_count:,} files."
                raise PayloadTooLarge(message, max_files=limits.files_max_count, reason="quota")
        left = limits.files_max_bytes - usage.bytes + (found.size if found else 0)
        if max(size, 1) > left:
            message = f"The files of a project may have at most {limits.files_max_bytes:,} bytes together."
            raise PayloadTooLarge(message, max_bytes=limits.files_max_bytes, used_bytes=usage.bytes, reason="quota")
        if size > limits.file_max_bytes:
            message = f"A file may have at most {limits.file_max_bytes:,} bytes."
            raise PayloadTooLarge(message, max_bytes=limits.file_max_bytes)
        return min(limits.file_max_bytes, left)

    async def _put(self, uow: UnitOfWork, wish: Wish, blob: StoredBlob) -> PutFile:
        await uow.events.lock(wish.project_id)
        await self._room_for(uow, wish, blob.size)  # again, since others have put files there meanwhile
        await self._blobs.claim(uow, blob.sha256)
        file, before = await uow.files.get(wish.project_id, wish.path), None
        if file is not None and file.sha256 == blob.sha256:
            return PutFile(file, is_new=False)
        if file is None:
            file = ProjectFile(project_id=wish.project_id, path=wish.path, created_by=wish.by)
            uow.files.add(file)
        else:
            before = file.sha256
        file.size, file.sha256, file.media_type = blob.size, blob.sha256, _media_type(blob, wish.path)
        await uow.flush()
        await uow.events.append(wish.project_id, _changed(file, "updated" if before else "created", wish.by))
        return PutFile(file, is_new=before is None, replaced=before)

    async def _tidy(self, put: PutFile) -> None:
        """If this is never come to, the worker's sweep does it."""
        if put.replaced is not None:
            await self._blobs.discard(put.replaced)

    @asynccontextmanager
    async def _naming(self, blob: StoredBlob) -> AsyncIterator[None]:
        """Within it a file comes to name the bytes, or they go."""
        try:
            yield
        except IntegrityError as error:  # the project is deleted at this very moment
            await self._blobs.discard(blob.sha256)
            raise NotFound("Project not found") from error
        except BaseException:
            await self._blobs.discard(blob.sha256)
            raise


def _there(file: ProjectFile | None, path: str) -> ProjectFile:
    if file is None:
        raise NotFound("File not found", path=path)
    return file


def _require_wanted(wish: Wish, found: ProjectFile | None) -> None:
    """Raises PreconditionFailed."""
    if wish.must_be_new and found is not None:
        raise PreconditionFailed("There is a file with this path.", current_etag=found.version)
    if wish.expected is not None:
        if found is None:
            raise PreconditionFailed("There is no file with this path any more.", current_etag=None)
        require_version(found, wish.expected)


def _changed(file: ProjectFile, change: str, by: UUID) -> FileChanged:
    return FileChanged(
        project_id=file.project_id,
        path=file.path,
        change=change,
        size=file.size,
        media_type=file.media_type,
        version=file.version,
        by=by,
    )


def _media_type(blob: StoredBlob, path: str) -> str:
    """Told from the bytes, whatever was said of them."""
    kind = sniff(blob.head, path.rpartition("/")[2])
    return UNKNOWN if kind == EMPTY else kind


def _first_lines(beginning: bytes) -> bytes:
    """As UTF-8; a character that was cut is left out. Guessing an encoding takes its time: for a thread."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(beginning)
    except UnicodeDecodeError:
        text = decode(beginning)
    return "".join(text.splitlines(keepends=True)[:PREVIEW_LINES]).encode(errors="replace")
