"""Memories that come in from files: started here, done by a worker, and going on where another one stopped."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.memory_files import sniff_format
from app.adapters.memory_files.photos import PHOTOS
from app.adapters.storage import StoredBlob
from app.errors import AppError, InvalidInput, NotFound
from app.events import MemoriesImported
from app.models import MemoryImport, Task, TaskStatus, User
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.imports import ImportFields
from app.services.blobs import BlobService
from app.services.file_imports import FileImport
from app.services.import_archives import write_archived, write_links, write_people, write_places
from app.services.import_reading import Batch, Reading
from app.services.import_records import Outcome, write_records
from app.services.media import MediaService
from app.services.moments import zone_of
from app.services.photo_imports import PhotoImport
from app.services.running_tasks import RunningTask
from app.services.task_endings import TaskWasCancelled
from app.services.task_types import queue_task

IMPORT_MEMORIES: Final = "import_memories"
BATCH_SIZE: Final = 500  # records; so many are read again when a worker is killed
MOST_PROBLEMS: Final = 100
TRIES: Final = 3
WRITERS: Final[Mapping[str, Any]] = {
    "archived": write_archived,
    "person": write_people,
    "place": write_places,
    "links": write_links,
}


@dataclass(frozen=True, slots=True)
class ImportUpload:
    """Stored bytes, and what was said about them."""

    blob: StoredBlob
    fields: ImportFields
    filename: str | None


@dataclass(frozen=True, slots=True)
class StartedImport:
    """An import, and the task that does the work."""

    started: MemoryImport
    task: Task


class ImportService:
    """`max_bytes`: of one file."""

    def __init__(
        self, uow: OpenUnitOfWork, blobs: BlobService, media: MediaService, photos: PhotoImport, *, max_bytes: int
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._media = media
        self._photos = photos
        self.max_bytes = max_bytes

    async def start(self, actor: Principal, upload: ImportUpload) -> StartedImport:
        """Queue the reading of a file; one file of somebody is read at a time.

        Raises:
            InvalidInput: the file is empty.
        """
        try:
            async with self._uow() as uow:
                return await self._start(uow, actor, upload)
        except BaseException:
            await self._blobs.discard(upload.blob.sha256)
            raise

    async def get(self, actor: Principal, import_id: UUID) -> MemoryImport:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return _there(await uow.imports.get_owned(actor, import_id), import_id)

    async def list(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[MemoryImport]:
        """The actor's own, the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.imports.list_owned(actor, before=before, limit=limit)

    async def run(self, task: RunningTask, import_id: UUID) -> Mapping[str, Any]:
        """Bring in what is left of a file; each batch is kept for good.

        Raises:
            ExtractionFailed: it is no such file.
            NotFound: the import, or its file, is gone.
            TaskLost: another worker goes on with it.
        """
        async with self._uow() as uow:
            await task.hold(uow)
            started = _there(await uow.imports.lock(import_id), import_id)
            started.status = TaskStatus.RUNNING
            user = await uow.users.get(started.owner_id)
        sha256 = started.sha256
        if sha256 is None:
            raise NotFound("The file of this import is gone.", import_id=str(import_id))
        async with self._blobs.local(sha256) as path:
            if started.format == PHOTOS:
                await self._photos.run(task, started, path)
            else:
                await self._read(task, started, path, user)
        result = await self._finish(task, import_id)
        await self._blobs.discard(sha256)
        return result

    async def _read(self, task: RunningTask, started: MemoryImport, path: Path, user: User | None) -> None:
        besides = [user.email.casefold()] if user and user.email else []
        until = started.created_at.astimezone(zone_of(started.timezone)).replace(tzinfo=None)
        reading = Reading(path, started.format, source=started.source, until=until, besides=besides)
        files = FileImport(self._uow, self._media, Principal(task.owner_id, ""), path)
        await asyncio.to_thread(reading.skip, started.records)
        while batch := await asyncio.to_thread(reading.next_batch, BATCH_SIZE):
            if batch.kind == "media":
                batch.problems += await files.bring(batch.rows)
            await self._write(task, started.id, batch, reading.fraction)
            await task.progress(reading.fraction, "bringing in memories")

    async def abandon(self, uow: UnitOfWork, task: Task, error: AppError) -> None:
        """Say in the import why its task ended without success; the file goes with the next sweep."""
        is_cancelled = isinstance(error, TaskWasCancelled)
        status = TaskStatus.CANCELLED if is_cancelled else TaskStatus.FAILED
        reason = {"code": error.code, "message": error.message}
        await uow.imports.end(UUID(task.params["import_id"]), status=status, error=reason)

    async def _start(self, uow: UnitOfWork, actor: Principal, upload: ImportUpload) -> StartedImport:
        if upload.blob.size == 0:
            raise InvalidInput("The file is empty.", field="file")
        await self._blobs.claim(uow, upload.blob.sha256)
        fields, user = upload.fields, await uow.users.get(actor.user_id)
        started = MemoryImport(
            id=uuid7(),
            owner_id=actor.user_id,
            filename=upload.filename,
            format=fields.format or sniff_format(upload.blob.head, upload.filename),
            source=fields.source,
            timezone=fields.timezone or _timezone_of(user),
            size=upload.blob.size,
            sha256=upload.blob.sha256,
            status=TaskStatus.QUEUED,
        )
        task = Task(
            id=uuid7(),
            project_id=(await uow.projects.get_default(actor.user_id)).id,
            owner_id=actor.user_id,
            task_type=IMPORT_MEMORIES,
            params={"import_id": str(started.id)},
            serial_key=f"memories:{actor.user_id}",
        )
        queue_task(uow, task)
        await uow.flush()
        started.task_id = task.id
        uow.imports.add(started)
        await uow.flush()
        return StartedImport(started, task)

    async def _write(self, task: RunningTask, import_id: UUID, batch: Batch, fraction: float) -> None:
        """Somebody or somewhere that a record names may be deleted at this moment: then once more."""
        for left in reversed(range(TRIES)):
            try:
                async with self._uow() as uow:
                    await task.hold(uow)
                    started = _there(await uow.imports.lock(import_id), import_id)
                    outcome = await _written(uow, started, batch)
                    _note(started, batch, outcome, fraction)
                    await _tell(uow, started, outcome)
            except IntegrityError:
                if not left:
                    raise
            else:
                return

    async def _finish(self, task: RunningTask, import_id: UUID) -> Mapping[str, Any]:
        result = {"import_id": str(import_id)}
        async with self._uow() as uow:
            await task.hold(uow)
            started = _there(await uow.imports.lock(import_id), import_id)
            started.progress = 1.0
            await uow.flush()
            await uow.imports.end(import_id, status=TaskStatus.SUCCEEDED, error=None)
            await task.finish(uow, result)
        return result


async def _written(uow: UnitOfWork, started: MemoryImport, batch: Batch) -> Outcome:
    if not batch.rows or batch.kind == "media":
        return Outcome()
    if batch.kind == "memory":
        return await write_records(uow, started, batch.rows, zone_of(started.timezone))
    outcome: Outcome = await WRITERS[batch.kind](uow, started, batch.rows)
    return outcome


def _note(started: MemoryImport, batch: Batch, outcome: Outcome, fraction: float) -> None:
    """What came of the batch, and where the next attempt goes on."""
    problems = [*batch.problems, *outcome.problems]
    started.records += batch.records
    started.created += outcome.created
    started.updated += outcome.updated
    started.unchanged += outcome.unchanged + batch.repeated
    started.failed += sum(problem.is_skipped for problem in problems)
    room = MOST_PROBLEMS - len(started.problems)
    if problems and room > 0:
        kept = sorted(problems, key=lambda problem: problem.line)[:room]
        started.problems = [*started.problems, *({**asdict(one), "message": _storable(one.message)} for one in kept)]
    started.progress = fraction


async def _tell(uow: UnitOfWork, started: MemoryImport, outcome: Outcome) -> None:
    count = outcome.created + outcome.updated
    await uow.flush()
    if count:
        uow.events.wake_workers()
        event = MemoriesImported(user_id=started.owner_id, import_id=started.id, count=count)
        await uow.events.append(started.owner_id, event)


def _storable(message: str) -> str:
    """What a file says may hold what the database does not take."""
    return message.replace("\0", "").encode("utf-8", "replace").decode()


def _timezone_of(user: User | None) -> str:
    return str(user.settings.get("timezone") or UTC) if user else str(UTC)


def _there(started: MemoryImport | None, import_id: UUID) -> MemoryImport:
    if started is None:
        raise NotFound("Import not found", import_id=str(import_id))
    return started
