"""Memories: what somebody keeps, changes, takes back and throws away. `memory_indexing.py` makes them searchable."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, NotFound, PermissionDenied
from app.events import utc_now
from app.models import Memory, MemoryVersion
from app.permissions import Action, Principal, may
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.memories import Order, Place
from app.repositories.memory_filters import MemoryFilter
from app.schemas.memories import MemoryCreate, MemoryUpdate
from app.services.blobs import BlobService
from app.services.memory_changes import (
    add_memory,
    change_surroundings,
    change_text,
    changed_span,
    clock_of,
    keep,
    known_of,
    set_span,
)
from app.services.memory_states import apply_state
from app.services.memory_views import MemoryView, view_of, views
from app.services.retrieval import RetrievalService
from app.services.versions import Versions, require_version

OF_THE_OWNER = frozenset({"people", "location", "links", "project_id"})  # which others who may edit cannot change
MANUAL: Mapping[str, Any] = {"kind": "manual", "ids": {}}


class MemoriesService:
    """`retention`: how long what was deleted can be restored."""

    def __init__(
        self, uow: OpenUnitOfWork, retrieval: RetrievalService, blobs: BlobService, *, retention: timedelta
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._retrieval = retrieval
        self._retention = retention

    async def create(self, actor: Principal, data: MemoryCreate, *, source: Mapping[str, Any] = MANUAL) -> MemoryView:
        """Keep something; private unless a project is named. Searches find it a moment later.

        Raises:
            NotFound, PermissionDenied: the project, a person, a place or a link is not the actor's to use.
            InvalidInput: it would end before it begins.
        """
        try:
            async with self._uow() as uow:
                return await add_memory(uow, actor, data, source=source)
        except IntegrityError as error:  # what is linked to, or the membership, ended at this very moment
            raise NotFound("Something that this memory names is gone.") from error

    async def get(self, actor: Principal, memory_id: UUID) -> MemoryView:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await view_of(uow, actor, _there(await uow.memories.get_visible(actor, memory_id), memory_id))

    async def list(
        self,
        actor: Principal,
        filters: MemoryFilter,
        *,
        question: str | None,
        order: Order,
        after: Place | None,
        limit: int,
    ) -> Sequence[MemoryView]:
        """What the actor may see, the newest first by the clock of `order`; to a `question` the best first.

        Raises:
            ServiceUnavailable: there is a question, and the embedding model does not answer.
        """
        if question is not None and not filters.is_deleted:
            return await self._list_found(actor, question, filters, limit)
        async with self._uow(is_reading=True) as uow:
            rows = await uow.memories.list_visible(actor, filters, order=order, after=after, limit=limit)
            return await views(uow, actor.user_id, rows)

    async def _list_found(
        self, actor: Principal, question: str, filters: MemoryFilter, limit: int
    ) -> Sequence[MemoryView]:
        ids = await self._retrieval.recall(actor.user_id, question, filters, limit=limit)
        async with self._uow() as uow:
            there = await uow.memories.get_many_visible(actor.user_id, ids)
            return await views(uow, actor.user_id, [there[one] for one in ids if one in there])

    async def update(
        self, actor: Principal, memory_id: UUID, changes: MemoryUpdate, *, expected: Versions | None
    ) -> MemoryView:
        """Editors of the project that it is shared with change what it says; the owner changes everything.

        Raises:
            NotFound, PermissionDenied, PreconditionFailed, InvalidInput
        """
        given = changes.model_fields_set
        try:
            async with self._uow() as uow:
                memory = await editable(uow, actor, memory_id)
                require_version(memory, expected)
                if given & OF_THE_OWNER:
                    require_owner(actor, memory)
                change_text(memory, changes)
                if given & {"occurred_at", "occurred_end", "precision"}:
                    set_span(memory, changed_span(memory, changes, await clock_of(uow, actor)))
                await change_surroundings(uow, actor, memory, changes)
                return await keep(uow, actor, memory, "updated")
        except IntegrityError as error:
            raise NotFound("Something that this memory names is gone.") from error

    async def delete(self, actor: Principal, memory_id: UUID, *, expected: Versions | None) -> None:
        """Into the bin: nothing finds it any more; its owner can restore it for a while.

        Raises:
            NotFound, PermissionDenied, PreconditionFailed
        """
        async with self._uow() as uow:
            memory = _there(await uow.memories.lock_visible(actor, memory_id), memory_id)
            require_owner(actor, memory)
            require_version(memory, expected)
            memory.deleted_at = utc_now()
            await uow.memories.forget_passages(memory_id)
            await keep(uow, actor, memory, "deleted", is_findable=False)

    async def restore(self, actor: Principal, memory_id: UUID) -> MemoryView:
        """Out of the bin; what is not in it stays as it is. Raises NotFound, PermissionDenied."""
        async with self._uow() as uow:
            memory = _there(await uow.memories.lock_visible(actor, memory_id, deleted=True), memory_id)
            require_owner(actor, memory)
            if memory.deleted_at is None:
                return await view_of(uow, actor, memory)
            memory.deleted_at = None
            return await keep(uow, actor, memory, "restored")

    async def history(
        self, actor: Principal, memory_id: UUID, *, before: int | None, limit: int
    ) -> Sequence[MemoryVersion]:
        """What it was, the newest first; for its owner, since it may have said more before it was shared.

        Raises:
            NotFound, PermissionDenied
        """
        async with self._uow(is_reading=True) as uow:
            memory = _there(await uow.memories.get_visible(actor, memory_id, deleted=True), memory_id)
            require_owner(actor, memory)
            return await uow.memories.list_versions(memory_id, before=before, limit=limit)

    async def undo(self, actor: Principal, memory_id: UUID, revision: int | None) -> MemoryView:
        """Make it what it was then, or before the last change; with whom it is shared stays as it is.

        Raises:
            NotFound, PermissionDenied
            Conflict: there is nothing before, or that is not kept any more.
        """
        async with self._uow() as uow:
            memory = _there(await uow.memories.lock_visible(actor, memory_id), memory_id)
            require_owner(actor, memory)
            wanted = memory.revision - 1 if revision is None else revision
            version = await uow.memories.get_version(memory_id, wanted)
            if version is None:
                raise Conflict("There is no such state of this memory to go back to.", revision=wanted)
            known = await known_of(uow, actor, version.state)
            apply_state(memory, version.state, known)
            await uow.memories.set_people(memory_id, known.person_ids)
            await uow.memories.set_links(memory_id, known.links)
            return await keep(uow, actor, memory, "undone")

    async def sweep(self) -> None:
        """Really delete what has been in the bin for longer than the setting says, and its files."""
        is_more = True
        while is_more:
            async with self._uow() as uow:
                outdated = await uow.memories.lock_outdated(self._retention)
                blobs = await uow.media.list_blobs(outdated)
                await uow.memories.delete(outdated)
            is_more = bool(outdated)
            for sha256 in blobs:  # what a crash leaves behind here is removed with all that nothing names
                await self._blobs.discard(sha256)


async def editable(uow: UnitOfWork, actor: Principal, memory_id: UUID) -> Memory:
    """The memory, locked, if the actor may add to it. Raises NotFound, PermissionDenied."""
    memory = _there(await uow.memories.lock_visible(actor, memory_id), memory_id)
    if memory.owner_id == actor.user_id or memory.project_id is None:
        return memory
    if not may(actor, Action.EDIT, await uow.projects.get_editing_role(actor.user_id, memory.project_id)):
        raise PermissionDenied("Viewers of a project cannot change it.", memory_id=str(memory_id))
    return memory


def require_owner(actor: Principal, memory: Memory) -> None:
    if memory.owner_id != actor.user_id:
        raise PermissionDenied("Only whose memory this is may do this.", memory_id=str(memory.id))


def _there(memory: Memory | None, memory_id: UUID) -> Memory:
    if memory is None:
        raise NotFound("Memory not found", memory_id=str(memory_id))
    return memory
