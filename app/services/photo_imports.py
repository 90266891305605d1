"""Folders of photos that become memories: one for each minute in which photos were taken in one folder.

What was brought in before is known by its content, wherever it lies and whatever it is called.
"""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import UUID

from app.adapters.media_kinds import FILE, kind_of, recognise
from app.adapters.memory_files.photos import Photo, Photos, open_photos
from app.adapters.memory_files.records import Problem
from app.adapters.storage import StoredBlob
from app.errors import AppError, InvalidInput, NotFound
from app.models import Memory, MemoryImport, Precision
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.documents import safe_filename
from app.schemas.media import MediaFields
from app.schemas.memories import MemoryCreate, PlaceById
from app.schemas.moments import Moment, parse_moment
from app.services.media import MediaService, MediaUpload, Told, tell_changed
from app.services.media_filling import place_at
from app.services.memory_changes import add_memory
from app.services.moments import zone_of
from app.services.running_tasks import RunningTask

LONGEST_TITLE: Final = 300
MOST_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo that is stored and read."""

    photo: Photo
    upload: MediaUpload
    media_type: str
    told: Told | None

    @property
    def key(self) -> str:
        """What it is called everywhere and always."""
        return _digest(f"photo\0{self.upload.blob.sha256}")

    @property
    def taken(self) -> Moment | None:
        """By the camera; else the day of its file."""
        if self.told is not None and self.told.taken_at is not None:
            return parse_moment(self.told.taken_at)
        if self.photo.changed is not None:
            return Moment(self.photo.changed, None, Precision.DAY)
        return None

    @property
    def burst(self) -> str | None:
        """What the minute is called, in its folder; None where nobody knows when that was."""
        if self.told is None or self.told.taken_at is None:
            return None
        return _digest(f"burst\0{self.told.taken_at[:16]}\0{self.photo.album}")


class PhotoImport:
    def __init__(self, uow: OpenUnitOfWork, media: MediaService) -> None:
        self._uow = uow
        self._media = media

    async def run(self, task: RunningTask, started: MemoryImport, path: Path) -> None:
        """Bring in what is left of the archive; each photo is kept for good.

        Raises:
            ExtractionFailed: it is no such archive.
            NotFound: the import, or its owner, is gone.
            TaskLost: another worker goes on with it.
        """
        with contextlib.ExitStack() as stack:
            photos = await asyncio.to_thread(stack.enter_context, open_photos(path))
            await self._bring_all(task, started, photos)

    async def _bring_all(self, task: RunningTask, started: MemoryImport, photos: Photos) -> None:
        for photo in photos.after(started.records):
            blob: StoredBlob | None = None
            try:
                blob = await self._media.store(photos.read(photo))
                await self._bring_in(task, started.id, await self._shot(photo, blob), len(photos))
            except AppError as error:
                if isinstance(error, NotFound) or error.status >= 500:
                    raise
                problem = Problem(photo.line, f"{photo.filename}: {error.message}")
                await self._note(task, started.id, problem, len(photos))
            finally:
                if blob is not None:
                    await self._media.discard(blob)  # unless it is named by now
            await task.progress(photo.line / len(photos), "bringing in photos")

    async def _shot(self, photo: Photo, blob: StoredBlob) -> Shot:
        media_type = recognise(blob.head, photo.filename)
        if kind_of(media_type) == FILE:
            raise InvalidInput("This is no photo.", field="file")
        upload = MediaUpload(blob, MediaFields(), safe_filename(photo.filename))
        return Shot(photo, upload, media_type, await self._media.inspect(blob, media_type))

    async def _bring_in(self, task: RunningTask, import_id: UUID, shot: Shot, count: int) -> None:
        async with self._uow() as uow:
            await task.hold(uow)
            started = await _locked(uow, import_id)
            keys = [key for key in (shot.key, shot.burst) if key]
            origins = await uow.imports.list_origins(started.owner_id, keys)
            started.records += 1
            started.progress = shot.photo.line / count
            if shot.key in origins:
                started.unchanged += 1
                return
            actor = await _owner(uow, started)
            burst = origins.get(shot.burst or "")
            memory = await self._memory_of(uow, actor, burst.memory_id if burst else None)
            is_new = memory is None
            memory = memory or await _remember(uow, actor, started, shot, zone_of(started.timezone))
            await self._media.attach(uow, actor, memory, shot.upload, shot.media_type, shot.told)
            started.created, started.updated = started.created + is_new, started.updated + (not is_new)
            await uow.flush()
            await uow.imports.keep_origins(started.owner_id, dict.fromkeys(keys, (memory.id, shot.key)))
            await tell_changed(uow, memory.id)

    async def _memory_of(self, uow: UnitOfWork, actor: Principal, memory_id: UUID | None) -> Memory | None:
        """That of the same minute, as long as it is there and takes more."""
        if memory_id is None:
            return None
        memory = await uow.memories.lock_owned(actor.user_id, memory_id)
        return memory if memory is not None and await self._media.has_room(uow, memory_id) else None

    async def _note(self, task: RunningTask, import_id: UUID, problem: Problem, count: int) -> None:
        async with self._uow() as uow:
            await task.hold(uow)
            started = await _locked(uow, import_id)
            started.records, started.failed = started.records + 1, started.failed + 1
            started.progress = problem.line / count
            if len(started.problems) < MOST_PROBLEMS:
                kept = {"line": problem.line, "message": problem.message.replace("\0", ""), "is_skipped": True}
                started.problems = [*started.problems, kept]


async def _remember(uow: UnitOfWork, actor: Principal, started: MemoryImport, shot: Shot, clock: tzinfo) -> Memory:
    """A memory of its own, called as the folder is, or else as the photo."""
    place = None
    if shot.told is not None and shot.told.latitude is not None and shot.told.longitude is not None:
        place_id = await place_at(uow, actor.user_id, shot.told.latitude, shot.told.longitude)
        place = PlaceById(location_id=place_id)
    title = _line(shot.photo.album) or _line(PurePosixPath(shot.photo.filename).stem) or "Photo"
    data = MemoryCreate(title=title, occurred_at=shot.taken, location=place)
    source = {"kind": "import", "ids": {"import_id": str(started.id)}}
    return (await add_memory(uow, actor, data, source=source, zone=clock)).memory


async def _locked(uow: UnitOfWork, import_id: UUID) -> MemoryImport:
    started = await uow.imports.lock(import_id)
    if started is None:
        raise NotFound("Import not found", import_id=str(import_id))
    return started


async def _owner(uow: UnitOfWork, started: MemoryImport) -> Principal:
    user = await uow.users.get(started.owner_id)
    if user is None:
        raise NotFound("User not found")
    return Principal(user.id, user.name)


def _line(name: str | None) -> str | None:
    shown = "".join(character for character in name or "" if character.isprintable()).strip()
    return shown[:LONGEST_TITLE] or None


def _digest(called: str) -> str:
    return hashlib.sha256(called.encode("utf-8", "replace")).hexdigest()
