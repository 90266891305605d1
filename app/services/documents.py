"""Documents: what people put in, find in their lists, change and take out again. Reading them is `ingestion.py`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.media_types import SUPPORTED, refusal, sniff
from app.adapters.storage import StoredBlob
from app.errors import Conflict, InvalidInput, NotFound, PermissionDenied, ServiceUnavailable, UnsupportedMediaType
from app.models import AuditAction, Chunk, Document, DocumentStatus, Task
from app.permissions import Action, Principal, may
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.documents import DocumentFilter
from app.schemas.documents import DocumentFields, DocumentUpdate, DocumentUrlCreate
from app.services.audit import record_by
from app.services.blobs import BlobService
from app.services.running_tasks import RunningTask
from app.services.task_types import queue_task
from app.services.tasks import TaskService
from app.services.versions import Versions, require_version

INGEST_DOCUMENT = "ingest_document"
REINGEST_PROJECT = "reingest_project"
TITLE_FROM_TEXT = 80  # characters
LET_GO_PATIENCE = 15.0  # seconds: longer than the lease of a worker that was killed
LET_GO_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Upload:
    """Stored bytes, and what was said about them; the type is told from the bytes unless `media_type` is known."""

    blob: StoredBlob
    fields: DocumentFields
    filename: str | None = None
    media_type: str | None = None
    source_url: str | None = None


@dataclass(frozen=True, slots=True)
class Ingestion:
    """A document and the work on it; no `task` when nothing is left to do. `is_queued`: by this very call."""

    document: Document
    task: Task | None
    is_queued: bool = False


@dataclass(frozen=True, slots=True)
class Original:
    """The bytes that were uploaded, from a start to an end (exclusive), and the name to give them."""

    document: Document
    open: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]

    @property
    def version(self) -> str:
        """Bytes never change: their hash."""
        return self.document.sha256

    @property
    def filename(self) -> str:
        return self.document.filename or f"{self.document.id}.txt"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Part of a document's text from the code point `start` on, and how many there are in all."""

    document: Document
    text: str
    start: int
    total: int


class DocumentService:
    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService, tasks: TaskService) -> None:
        self._uow = uow
        self._blobs = blobs
        self._tasks = tasks

    async def create(self, actor: Principal, upload: Upload) -> Ingestion:
        """Add a document and queue its reading; the same bytes in the same project are the document that is there.

        A document that failed before is tried again.

        Raises:
            NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor.
            UnsupportedMediaType, InvalidInput: such a file cannot be read.
        """
        try:
            return await self._create(actor, upload)
        except IntegrityError as error:  # deleted at this very moment
            await self._blobs.discard(upload.blob.sha256)
            raise NotFound("Project not found", project_id=str(upload.fields.project_id)) from error
        except BaseException:
            await self._blobs.discard(upload.blob.sha256)
            raise

    async def fetch(self, actor: Principal, data: DocumentUrlCreate) -> Upload:
        """What is behind a URL, for `create`. Whoever may not add it does not make us ask for it.

        Raises:
            NotFound, PermissionDenied: the project is not visible, or not to be changed by the actor.
            InvalidInput, PayloadTooLarge: the URL is not acceptable, or what it leads to.
        """
        async with self._uow() as uow:
            await _editable_project(uow, actor, data.project_id)
        blob, filename = await self._blobs.fetch(data.url)
        return Upload(blob, data, filename, source_url=data.url)

    async def get(self, actor: Principal, document_id: UUID) -> Document:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await _visible(uow, actor, document_id)

    async def list(
        self, actor: Principal, narrowing: DocumentFilter, *, before: UUID | None, limit: int
    ) -> Sequence[Document]:
        """What the actor may see, the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.documents.list_visible(actor, narrowing, before=before, limit=limit)

    async def update(
        self, actor: Principal, document_id: UUID, changes: DocumentUpdate, *, expected: Versions | None
    ) -> Document:
        """Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            document = await _editable(uow, actor, document_id)
            require_version(document, expected)
            if changes.title is not None:
                document.title = changes.title
            if changes.metadata is not None:
                document.attributes = changes.metadata
            await uow.flush()
            return document

    async def original(self, actor: Principal, document_id: UUID) -> Original:
        """Raises NotFound."""
        document = await self.get(actor, document_id)
        await self._blobs.require(document.sha256)
        return Original(document, lambda start, end: self._blobs.open(document.sha256, start=start, end=end))

    async def text(self, actor: Principal, document_id: UUID) -> str:
        """What was read in it; offsets everywhere count its code points.

        Raises:
            NotFound: there is no such document.
            Conflict: it was not read yet, or could not be.
        """
        async with self._uow() as uow:
            document = await _visible(uow, actor, document_id)
            found = await uow.documents.get_text(document_id)
        if found is None:
            raise _unread(document)
        return found

    async def excerpt(self, actor: Principal, document_id: UUID, *, start: int, length: int) -> Excerpt:
        """A part of its text; empty behind its end. Raises NotFound, Conflict."""
        async with self._uow() as uow:
            document = await _visible(uow, actor, document_id)
            found = await uow.documents.get_text_range(document_id, start=start, length=length)
        if found is None:
            raise _unread(document)
        return Excerpt(document, found[0], start, found[1])

    async def chunks(self, actor: Principal, document_id: UUID, *, after: int, limit: int) -> Sequence[Chunk]:
        """Its passages behind the ordinal `after`, in order. Raises NotFound."""
        async with self._uow() as uow:
            await _visible(uow, actor, document_id)
            return await uow.chunks.list_of(document_id, after=after, limit=limit)

    async def reingest(self, actor: Principal, document_id: UUID) -> Ingestion:
        """Read it anew; until that is done, what was found before is what searches find.

        Raises:
            NotFound, PermissionDenied
        """
        async with self._uow() as uow:
            document = await _editable(uow, actor, document_id)
            running = await uow.tasks.get_unfinished(serial_key(document_id))
            if running is not None:
                return Ingestion(document, running)
            return await _start_afresh(uow, document, owner_id=actor.user_id)

    async def delete(self, actor: Principal, document_id: UUID, *, expected: Versions | None) -> None:
        """Remove it with its text, its passages and, if no other document has the same bytes, these.

        Raises:
            NotFound, PermissionDenied, PreconditionFailed
        """
        async with self._uow() as uow:
            document = await _editable(uow, actor, document_id)
            require_version(document, expected)
        # First by itself: whoever reads it now has to let go of it before it can be removed.
        await self._tasks.cancel_serial(serial_key(document_id))
        async with self._uow() as uow:
            await uow.documents.delete(document_id)
            in_project = {"project_id": str(document.project_id)}
            record_by(
                uow, actor, AuditAction.DOCUMENT_DELETED, target_type="document", target_id=document_id, **in_project
            )
        await self._blobs.discard(document.sha256)

    async def move(self, actor: Principal, document_id: UUID, project_id: UUID) -> Document:
        """Take it out of its project into another one, where it is read anew.

        Raises:
            NotFound, PermissionDenied: either project is not visible, or not to be changed by the actor.
            Conflict: the same bytes are there already.
            ServiceUnavailable: it is being read, and the worker does not let go of it.
        """
        async with self._uow() as uow:
            await _editable(uow, actor, document_id)
            await _editable_project(uow, actor, project_id)
        await self._stop_reading(document_id)
        try:
            async with self._uow() as uow:
                document = await _editable(uow, actor, document_id)
                await _editable_project(uow, actor, project_id)
                document.project_id = project_id
                await uow.flush()
                await uow.chunks.delete_of(document_id)
                return (await _start_afresh(uow, document, owner_id=actor.user_id)).document
        except IntegrityError as error:
            raise Conflict("The same file is in that project already.", document_id=str(document_id)) from error

    async def reingest_project(self, task: RunningTask, *, only_failed: bool) -> Mapping[str, Any]:
        """Queue the reading of a project's documents; those that are being read already are left alone."""
        status = DocumentStatus.FAILED if only_failed else None
        async with self._uow() as uow:
            document_ids = await uow.documents.list_ids(task.project_id, status=status)
        queued = 0
        for number, document_id in enumerate(document_ids):
            await task.progress(number / len(document_ids), f"queueing {number} of {len(document_ids)} documents")
            async with self._uow() as uow:
                document = await uow.documents.lock(document_id)
                if document is not None and await uow.tasks.get_unfinished(serial_key(document_id)) is None:
                    await _start_afresh(uow, document, owner_id=task.owner_id, quality=task.quality)
                    queued += 1
        return {"documents": queued}

    async def _stop_reading(self, document_id: UUID) -> None:
        """Until nobody reads it any more, and so nobody says later that its reading was cancelled."""
        await self._tasks.cancel_serial(serial_key(document_id))
        try:
            async with asyncio.timeout(LET_GO_PATIENCE):
                while await self._is_read(document_id):  # noqa: ASYNC110 - a worker elsewhere ends it
                    await asyncio.sleep(LET_GO_INTERVAL)
        except TimeoutError as error:
            raise ServiceUnavailable("The file is being read at the moment. Please try again.") from error

    async def _is_read(self, document_id: UUID) -> bool:
        async with self._uow() as uow:
            return await uow.tasks.get_unfinished(serial_key(document_id)) is not None

    async def _create(self, actor: Principal, upload: Upload) -> Ingestion:
        media_type = _media_type(upload)
        async with self._uow() as uow:
            project_id = await _editable_project(uow, actor, upload.fields.project_id)
            await self._blobs.claim(uow, upload.blob.sha256)
            added = _new_document(actor, project_id, upload, media_type)
            document, is_new = await uow.documents.add_or_get(added)
            if is_new or document.status == DocumentStatus.FAILED:
                return await _queue(uow, document, owner_id=actor.user_id)
            return Ingestion(document, await uow.tasks.get_unfinished(serial_key(document.id)))


def serial_key(document_id: UUID) -> str:
    """One reading of a document at a time."""
    return f"document:{document_id}"


async def _queue(uow: UnitOfWork, document: Document, *, owner_id: UUID, quality: str = "standard") -> Ingestion:
    document.status, document.error = DocumentStatus.PENDING, None
    task = Task(
        project_id=document.project_id,
        owner_id=owner_id,
        task_type=INGEST_DOCUMENT,
        quality=quality,
        params={"document_id": str(document.id)},
        serial_key=serial_key(document.id),
    )
    queue_task(uow, task)
    await uow.flush()
    return Ingestion(document, task, is_queued=True)


async def _start_afresh(uow: UnitOfWork, document: Document, *, owner_id: UUID, quality: str = "standard") -> Ingestion:
    """Read it from the first step on."""
    await uow.documents.delete_text_draft(document.id)
    await uow.chunks.delete_drafts(document.id)
    return await _queue(uow, document, owner_id=owner_id, quality=quality)


def _new_document(actor: Principal, project_id: UUID, upload: Upload, media_type: str) -> Document:
    return Document(
        id=uuid7(),
        project_id=project_id,
        owner_id=actor.user_id,
        title=upload.fields.title or upload.filename or _first_line(upload.blob.head),
        filename=upload.filename,
        source_url=upload.source_url,
        media_type=media_type,
        size=upload.blob.size,
        sha256=upload.blob.sha256,
        attributes=upload.fields.metadata,
    )


def _media_type(upload: Upload) -> str:
    if upload.blob.size == 0:
        raise InvalidInput("The file is empty.", field="file")
    media_type = upload.media_type or sniff(upload.blob.head, upload.filename)
    if media_type not in SUPPORTED:
        raise UnsupportedMediaType(refusal(media_type), media_type=media_type, supported=list(SUPPORTED))
    return media_type


def _first_line(head: bytes) -> str:
    lines = (line.strip() for line in head.decode(errors="ignore").splitlines())
    return next((line[:TITLE_FROM_TEXT] for line in lines if line), "Untitled")


async def _editable_project(uow: UnitOfWork, actor: Principal, project_id: UUID | None) -> UUID:
    chosen = project_id or (await uow.projects.get_default(actor.user_id)).id
    role = await uow.projects.get_editing_role(actor.user_id, chosen)
    if role is None:
        raise NotFound("Project not found", project_id=str(chosen))
    if not may(actor, Action.EDIT, role):
        raise PermissionDenied("Viewers of a project cannot change it.", project_id=str(chosen))
    return chosen


async def _visible(uow: UnitOfWork, actor: Principal, document_id: UUID) -> Document:
    document = await uow.documents.get_visible(actor, document_id)
    if document is None:
        raise NotFound("Document not found", document_id=str(document_id))
    return document


def _unread(document: Document) -> Conflict:
    return Conflict("This document has no text yet.", status=document.status, error=document.error)


async def _editable(uow: UnitOfWork, actor: Principal, document_id: UUID) -> Document:
    """The document, locked."""
    document = await uow.documents.lock_visible(actor, document_id)
    if document is None:
        raise NotFound("Document not found", document_id=str(document_id))
    if not may(actor, Action.EDIT, await uow.projects.get_editing_role(actor.user_id, document.project_id)):
        raise PermissionDenied("Viewers of a project cannot change it.", document_id=str(document_id))
    return document
