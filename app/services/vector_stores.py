"""Projects as vector stores: files are put in, taken out and searched the way OpenAI's clients do it.

A file is a document, and that is in one project. One that was uploaded into the caller's default project moves when it
is put into a store; one of another project is copied, and the copy answers to the same id there.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.adapters.storage import StoredBlob
from app.errors import Conflict, NotFound
from app.models import Document, Project
from app.permissions import Action, Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.documents import DocumentFilter
from app.schemas.documents import DocumentFields, DocumentUpdate
from app.schemas.projects import ProjectCreate, ProjectUpdate
from app.schemas.search import HitRead, SearchFilters, SearchRequest
from app.services.documents import DocumentService, Upload
from app.services.projects import ProjectService, require_editor, require_owner, visible_project
from app.services.retrieval import RetrievalService

UNNAMED = "Vector store"
OTHER_THINGS = ("sessions", "memories", "files", "webhooks")


@dataclass(frozen=True, slots=True)
class Store:
    """A project with the number of its documents by status, and their bytes."""

    project: Project
    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class FoundPassage:
    hit: HitRead
    document: Document


@dataclass(frozen=True, slots=True)
class Search:
    """`where`: a condition on metadata. Passages that score less than `threshold` are left out."""

    queries: Sequence[str]
    where: dict[str, Any] | None = None
    most: int = 10
    threshold: float = 0.0
    is_quick: bool = False


class VectorStoreService:
    def __init__(
        self, uow: OpenUnitOfWork, projects: ProjectService, documents: DocumentService, retrieval: RetrievalService
    ) -> None:
        self._uow = uow
        self._projects = projects
        self._documents = documents
        self._retrieval = retrieval

    async def create(self, actor: Principal, name: str | None, document_ids: Sequence[UUID]) -> Store:
        """Raises NotFound, PermissionDenied: one of the files is not visible, or not to be changed by the actor."""
        await self._require_visible(actor, document_ids)
        project = await self._projects.create(actor, ProjectCreate(name=name or UNNAMED))
        for document_id in document_ids:
            await self.attach(actor, project.id, document_id, None)
        return await self.get(actor, project.id)

    async def get(self, actor: Principal, project_id: UUID) -> Store:
        """Raises NotFound."""
        async with self._uow() as uow:
            return (await _counted(uow, [await visible_project(uow, actor, project_id)]))[0]

    async def list(self, actor: Principal, *, before: UUID | None, limit: int) -> Sequence[Store]:
        """The newest first."""
        async with self._uow() as uow:
            return await _counted(uow, await uow.projects.list_visible(actor, before=before, limit=limit))

    async def rename(self, actor: Principal, project_id: UUID, name: str | None) -> Store:
        """Raises NotFound, PermissionDenied."""
        await self._projects.update(actor, project_id, ProjectUpdate(name=name), expected=None)
        return await self.get(actor, project_id)

    async def delete(self, actor: Principal, project_id: UUID) -> None:
        """Delete a project of documents alone, and these with it.

        Raises:
            NotFound, PermissionDenied
            Conflict: there are other things in it, or it is somebody's default project.
        """
        async with self._uow() as uow:
            await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
        counts = await self._projects.count(actor, project_id)
        there = [name for name in OTHER_THINGS if getattr(counts, name)]
        if there:
            held = ", ".join(there)
            raise Conflict(f"The project holds more than documents ({held}): delete it at /api/v1/projects.")
        await self._projects.delete(actor, project_id, expected=None)

    async def list_files(
        self, actor: Principal, project_id: UUID, *, before: UUID | None, limit: int
    ) -> Sequence[Document]:
        """The newest first. Raises NotFound."""
        await self._projects.get(actor, project_id)
        return await self._documents.list(actor, DocumentFilter(project_id=project_id), before=before, limit=limit)

    async def get_file(self, actor: Principal, project_id: UUID, document_id: UUID) -> Document:
        """The project's document with this id, or with the bytes of that one. Raises NotFound."""
        async with self._uow() as uow:
            await visible_project(uow, actor, project_id)
            there = await _in_project(uow, actor, project_id, document_id)
        if there is None:
            raise NotFound("There is no such file in this vector store.", document_id=str(document_id))
        return there

    async def attach(
        self, actor: Principal, project_id: UUID, document_id: UUID, attributes: dict[str, Any] | None
    ) -> Document:
        """Put a file into the store, where it is read; what is there already stays as it is.

        Raises:
            NotFound, PermissionDenied: store or file are not visible, or not to be changed by the actor.
        """
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
            there = await _in_project(uow, actor, project_id, document_id)
            default = await uow.projects.get_default(actor.user_id)
        if there is None:
            document = await self._documents.get(actor, document_id)
            bring = self._documents.move if document.project_id == default.id else self._copy
            there = await bring(actor, document_id, project_id)
        if attributes is None:
            return there
        return await self._documents.update(actor, there.id, DocumentUpdate(metadata=attributes), expected=None)

    async def attach_all(
        self, actor: Principal, project_id: UUID, document_ids: Sequence[UUID], attributes: dict[str, Any] | None
    ) -> Store:
        """As `attach`; nothing is done where one of them is not visible."""
        await self._require_visible(actor, document_ids)
        for document_id in document_ids:
            await self.attach(actor, project_id, document_id, attributes)
        return await self.get(actor, project_id)

    async def get_batch(self, actor: Principal, project_id: UUID, batch_id: UUID) -> Store:
        """A batch is the store itself, by its id. Raises NotFound."""
        if batch_id != project_id:
            raise NotFound("There is no such batch in this vector store.")
        return await self.get(actor, project_id)

    async def detach(self, actor: Principal, project_id: UUID, document_id: UUID) -> None:
        """Take a file of the actor's out of the store, back into the default project.

        Raises:
            NotFound, PermissionDenied
            Conflict: it is in the default project, or another person's.
        """
        document = await self.get_file(actor, project_id, document_id)
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
            default = await uow.projects.get_default(actor.user_id)
            twin = await uow.documents.get_with_bytes(default.id, document.sha256)
        if document.project_id == default.id or document.owner_id != actor.user_id:
            raise Conflict("This file can be deleted, and not only be taken out: DELETE /v1/files/{file_id}.")
        if twin is not None or document.id != document_id:  # the file itself stays where it is
            await self._documents.delete(actor, document.id, expected=None)
        else:
            await self._documents.move(actor, document.id, default.id)

    async def text(self, actor: Principal, project_id: UUID, document_id: UUID) -> str:
        """What was read in a file. Raises NotFound, Conflict."""
        document = await self.get_file(actor, project_id, document_id)
        return await self._documents.text(actor, document.id)

    async def search(self, actor: Principal, project_id: UUID, wanted: Search) -> Sequence[FoundPassage]:
        """The passages that fit one of the queries best, best first.

        Raises:
            NotFound: there is no such store.
            ServiceUnavailable: the embedding model does not answer.
        """
        await self._projects.get(actor, project_id)
        best: dict[UUID, HitRead] = {}
        for query in wanted.queries:
            request = SearchRequest(
                query=query,
                project_ids=[project_id],
                filters=SearchFilters(where=wanted.where),
                top_k=wanted.most,
                quality="draft" if wanted.is_quick else "standard",
            )
            for hit in (await self._retrieval.search(actor, request)).items:
                if hit.score >= wanted.threshold and (hit.id not in best or hit.score > best[hit.id].score):
                    best[hit.id] = hit
        hits = sorted(best.values(), key=lambda hit: -hit.score)[: wanted.most]
        async with self._uow() as uow:
            ids = [hit.document_id for hit in hits if hit.document_id is not None]
            documents = {one.id: one for one in await uow.documents.list_visible_among(actor, ids)}
        return [FoundPassage(hit, documents[hit.document_id]) for hit in hits if hit.document_id in documents]

    async def _copy(self, actor: Principal, document_id: UUID, project_id: UUID) -> Document:
        """The same bytes as a document of another project."""
        document = await self._documents.get(actor, document_id)
        fields = DocumentFields(project_id=project_id, title=document.title, metadata=document.attributes)
        blob = StoredBlob(document.sha256, document.size, b"")
        upload = Upload(blob, fields, document.filename, document.media_type, document.source_url)
        return (await self._documents.create(actor, upload)).document

    async def _require_visible(self, actor: Principal, document_ids: Sequence[UUID]) -> None:
        async with self._uow() as uow:
            visible = {one.id for one in await uow.documents.list_visible_among(actor, document_ids)}
        for missing in (one for one in document_ids if one not in visible):
            raise NotFound("Document not found", document_id=str(missing))


async def _in_project(uow: UnitOfWork, actor: Principal, project_id: UUID, document_id: UUID) -> Document | None:
    document = await uow.documents.get_visible(actor, document_id)
    if document is None or document.project_id == project_id:
        return document
    return await uow.documents.get_with_bytes(project_id, document.sha256)


async def _counted(uow: UnitOfWork, projects: Sequence[Project]) -> Sequence[Store]:
    counts: dict[UUID, dict[str, int]] = defaultdict(dict)
    sizes: dict[UUID, int] = defaultdict(int)
    for project_id, status, number, size in await uow.documents.count_of([project.id for project in projects]):
        counts[project_id][status] = number
        sizes[project_id] += int(size)
    return [Store(project, counts[project.id], sizes[project.id]) for project in projects]
