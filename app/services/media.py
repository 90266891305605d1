"""Files of memories: added, shown, taken out again. What is shown of pictures is made by `media_rendering.py`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.films import BOXED, Film, read_film
from app.adapters.media_kinds import IMAGE, kind_of, recognise
from app.adapters.pictures import PICTURES, Picture, Pictures
from app.adapters.storage import StoredBlob
from app.errors import Conflict, ExtractionFailed, InvalidInput, NotFound, PayloadTooLarge, PermissionDenied
from app.events import MemoryChanged
from app.models import AuditAction, Media, MediaRendition, MediaStatus, Memory, Task
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.media import SeenMedia
from app.schemas.media import MediaFields, MediaUpdate
from app.services.audit import record_by
from app.services.blobs import BlobService
from app.services.media_files import MediaFile, film_of, original_of, rendition_of
from app.services.media_filling import fill_memory
from app.services.memories import editable, require_owner
from app.services.memory_changes import keep
from app.services.task_types import queue_task
from app.services.versions import Versions, require_version
from app.settings import MediaSettings

RENDER_MEDIA: Final = "render_media"
SHOWN: Final = "shown"
TOO_MUCH: Final = frozenset(("TOO_LARGE", "PARSE_TIMEOUT"))


Told = Picture | Film
"""What a file says of itself."""


@dataclass(frozen=True, slots=True)
class MediaUpload:
    """Stored bytes, and what was said about them."""

    blob: StoredBlob
    fields: MediaFields
    filename: str | None


@dataclass(frozen=True, slots=True)
class AddedMedia:
    """`is_new`: not there before this call."""

    media: SeenMedia
    is_new: bool


class MediaService:
    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService, pictures: Pictures, settings: MediaSettings) -> None:
        self._uow = uow
        self._blobs = blobs
        self._pictures = pictures
        self._settings = settings
        self.max_bytes = settings.max_bytes

    async def require_addable(self, actor: Principal, memory_id: UUID) -> None:
        """Whoever may not add a file does not need to send it. Raises NotFound, PermissionDenied."""
        async with self._uow() as uow:
            await editable(uow, actor, memory_id)

    async def store(self, stream: AsyncIterator[bytes]) -> StoredBlob:
        """Keep the bytes of a file to be; whoever calls this adds or discards them. Raises PayloadTooLarge."""
        return await self._blobs.store(stream, max_bytes=self._settings.max_bytes)

    async def discard(self, blob: StoredBlob) -> None:
        await self._blobs.discard(blob.sha256)

    async def create(self, actor: Principal, memory_id: UUID, upload: MediaUpload) -> AddedMedia:
        """Add a file to a memory; what is shown of a picture follows. The same bytes are the file that is there.

        Raises:
            NotFound, PermissionDenied: the memory is not visible, or not to be changed by the actor.
            InvalidInput: the file is empty, or a picture that is damaged.
            PayloadTooLarge: the picture has too many pixels or frames.
            Conflict: the memory has as many files as it may.
        """
        try:
            return await self._create(actor, memory_id, upload)
        except IntegrityError as error:  # deleted at this very moment
            await self._blobs.discard(upload.blob.sha256)
            raise NotFound("Memory not found", memory_id=str(memory_id)) from error
        except BaseException:
            await self._blobs.discard(upload.blob.sha256)
            raise

    async def list(self, actor: Principal, memory_id: UUID, *, after: UUID | None, limit: int) -> Sequence[SeenMedia]:
        """In the order in which they were added. Raises NotFound: the memory."""
        async with self._uow(is_reading=True) as uow:
            if await uow.memories.get_visible(actor, memory_id) is None:
                raise NotFound("Memory not found", memory_id=str(memory_id))
            rows = await uow.media.list_visible(actor, memory_id, after=after, limit=limit)
            return await uow.media.seen_by(actor.user_id, rows)

    async def get(self, actor: Principal, memory_id: UUID, media_id: UUID) -> SeenMedia:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await _seen(uow, actor, await _visible(uow, actor, memory_id, media_id))

    async def update(
        self, actor: Principal, memory_id: UUID, media_id: UUID, changes: MediaUpdate, *, expected: Versions | None
    ) -> SeenMedia:
        """Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            memory = await _locked(uow, actor, memory_id)
            media = await _visible(uow, actor, memory_id, media_id)
            _require_adder(actor, media)
            require_version(media, expected)
            if changes.keeps_metadata is not None:
                media.keeps_metadata = changes.keeps_metadata
            await uow.flush()
            seen = await _seen(uow, actor, media)
            await tell_changed(uow, memory.id)
            return seen

    async def delete(self, actor: Principal, memory_id: UUID, media_id: UUID, *, expected: Versions | None) -> None:
        """By the owner of the memory, or by who added it. Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            memory = await editable(uow, actor, memory_id)
            media = await _visible(uow, actor, memory_id, media_id)
            if media.added_by != actor.user_id:
                require_owner(actor, memory)
                record_by(uow, actor, AuditAction.MEDIA_DELETED, target_type="media", target_id=media_id)
            require_version(media, expected)
            for sha256 in sorted(await uow.media.delete(media_id)):  # in order, so that two do not block
                await self._blobs.discard_within(uow, sha256)
            await tell_changed(uow, memory_id)

    async def content(self, actor: Principal, memory_id: UUID, media_id: UUID) -> MediaFile:
        """What everybody gets who sees the memory.

        Raises:
            NotFound
            Conflict: a picture is not prepared yet, or could not be.
        """
        async with self._uow(is_reading=True) as uow:
            media = await _visible(uow, actor, memory_id, media_id)
            if media.keeps_metadata or (media.kind != IMAGE and not media.blanks):
                return original_of(self._blobs, media)
            if media.blanks:
                return film_of(self._blobs, media)
            return rendition_of(self._blobs, media, await _rendition(uow, media, SHOWN))

    async def thumbnail(self, actor: Principal, memory_id: UUID, media_id: UUID, name: str) -> MediaFile:
        """Raises NotFound, and Conflict as `content` does."""
        async with self._uow(is_reading=True) as uow:
            media = await _visible(uow, actor, memory_id, media_id)
            if media.kind != IMAGE:
                raise NotFound("Only pictures have thumbnails.", media_id=str(media_id))
            return rendition_of(self._blobs, media, await _rendition(uow, media, name))

    async def original(self, actor: Principal, memory_id: UUID, media_id: UUID) -> MediaFile:
        """The file as it was uploaded, for who did that. Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            media = await _visible(uow, actor, memory_id, media_id)
            _require_adder(actor, media)
            return original_of(self._blobs, media)

    async def _create(self, actor: Principal, memory_id: UUID, upload: MediaUpload) -> AddedMedia:
        if upload.blob.size == 0:
            raise InvalidInput("The file is empty.", field="file")
        media_type = recognise(upload.blob.head, upload.filename)
        told = await self.inspect(upload.blob, media_type)
        async with self._uow() as uow:
            memory = await editable(uow, actor, memory_id)
            if upload.fields.fill:
                require_owner(actor, memory)
            same = await uow.media.find_same(memory_id, upload.blob.sha256)
            if same is not None:
                return AddedMedia(await _seen(uow, actor, same), is_new=False)
            media = await self.attach(uow, actor, memory, upload, media_type, told)
            seen = await _seen(uow, actor, media)
            if await fill_memory(uow, actor, memory, media, upload.fields.fill):
                await keep(uow, actor, memory, "updated")
            else:
                await tell_changed(uow, memory_id)
            return AddedMedia(seen, is_new=True)

    async def attach(
        self,
        uow: UnitOfWork,
        actor: Principal,
        memory: Memory,
        upload: MediaUpload,
        media_type: str,
        told: Told | None,
    ) -> Media:
        """Within a transaction of others, which has locked the memory and tells that it changed. Raises Conflict."""
        await self.require_room(uow, memory.id)
        await self._blobs.claim(uow, upload.blob.sha256)
        media = _new_media(actor, memory.id, upload, media_type, told)
        await uow.media.add(media)
        if media.status == MediaStatus.PROCESSING:
            await queue_rendering(uow, memory, media)
        return media

    async def inspect(self, blob: StoredBlob, media_type: str) -> Told | None:
        """What a picture or a film says of itself. Raises InvalidInput, PayloadTooLarge: it is damaged, or too much."""
        try:
            if media_type in BOXED:
                return await read_film(partial(self._read, blob.sha256), blob.size)
            if media_type not in PICTURES:
                return None
            async with self._blobs.local(blob.sha256) as path:
                return await self._pictures.inspect(path, media_type)
        except ExtractionFailed as error:
            if error.code in TOO_MUCH:
                raise PayloadTooLarge(error.message, reason=error.code) from error
            raise InvalidInput(error.message, field="file", reason=error.code) from error

    async def _read(self, sha256: str, start: int, end: int) -> bytes:
        return b"".join([piece async for piece in await self._blobs.open(sha256, start=start, end=end)])

    async def require_room(self, uow: UnitOfWork, memory_id: UUID) -> None:
        """Raises Conflict: the memory has as many files as it may."""
        if not await self.has_room(uow, memory_id):
            most = self._settings.per_memory
            raise Conflict(f"A memory may have at most {most} files.", max_media=most)

    async def has_room(self, uow: UnitOfWork, memory_id: UUID) -> bool:
        return await uow.media.count(memory_id) < self._settings.per_memory


async def tell_changed(uow: UnitOfWork, memory_id: UUID) -> None:
    """The memory looks different now; last thing in a transaction."""
    owner_id = await uow.memories.mark_changed(memory_id)
    if owner_id is not None:
        event = MemoryChanged(user_id=owner_id, memory_id=memory_id, change="media")
        await uow.events.append(owner_id, event)


def _new_media(actor: Principal, memory_id: UUID, upload: MediaUpload, media_type: str, told: Told | None) -> Media:
    media = Media(
        id=uuid7(),
        memory_id=memory_id,
        added_by=actor.user_id,
        kind=kind_of(media_type),
        media_type=media_type,
        filename=upload.filename,
        size=upload.blob.size,
        sha256=upload.blob.sha256,
        status=MediaStatus.PROCESSING if isinstance(told, Picture) else MediaStatus.READY,
        keeps_metadata=upload.fields.keeps_metadata,
    )
    if told is not None:
        media.taken_at, media.latitude, media.longitude = told.taken_at, told.latitude, told.longitude
    if isinstance(told, Picture):
        media.width, media.height, media.frames = told.width, told.height, told.frames
        media.orientation = told.orientation
    if isinstance(told, Film):
        media.blanks = [list(blank) for blank in told.blanks]
    return media


async def queue_rendering(uow: UnitOfWork, memory: Memory, media: Media) -> None:
    """In the name of the memory's owner: it goes on if whoever added the file leaves."""
    home = await uow.projects.get_default(memory.owner_id)
    task = Task(
        project_id=home.id,
        owner_id=memory.owner_id,
        task_type=RENDER_MEDIA,
        params={"media_id": str(media.id)},
        serial_key=f"media:{media.id}",
        is_internal=True,
    )
    queue_task(uow, task)
    await uow.flush()


async def _seen(uow: UnitOfWork, actor: Principal, media: Media) -> SeenMedia:
    return (await uow.media.seen_by(actor.user_id, [media]))[0]


async def _visible(uow: UnitOfWork, actor: Principal, memory_id: UUID, media_id: UUID) -> Media:
    media = await uow.media.get_visible(actor, memory_id, media_id)
    if media is None:
        raise NotFound("Media not found", media_id=str(media_id))
    return media


async def _locked(uow: UnitOfWork, actor: Principal, memory_id: UUID) -> Memory:
    memory = await uow.memories.lock_visible(actor, memory_id)
    if memory is None:
        raise NotFound("Memory not found", memory_id=str(memory_id))
    return memory


async def _rendition(uow: UnitOfWork, media: Media, name: str) -> MediaRendition:
    made = await uow.media.get_rendition(media.id, name)
    if made is not None:
        return made
    if media.status == MediaStatus.FAILED:
        raise Conflict("The picture could not be prepared.", media_id=str(media.id), error=media.error)
    raise Conflict("The picture is not prepared yet.", media_id=str(media.id))


def _require_adder(actor: Principal, media: Media) -> None:
    if media.added_by != actor.user_id:
        raise PermissionDenied("Only who added this may do this.", media_id=str(media.id))
