"""What happens to a memory within a transaction, whatever the reason: it is numbered, kept, indexed and told."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import InvalidInput, NotFound, PermissionDenied
from app.events import MemoryChanged, Wanted, utc_now
from app.models import AuditAction, Memory, Precision
from app.permissions import Action, Principal, may
from app.repositories import UnitOfWork
from app.repositories.memories import Links, Surroundings
from app.schemas.memories import MemoryCreate, MemoryLinks, MemoryUpdate
from app.schemas.moments import Moment
from app.services.audit import record_by
from app.services.locations import find_or_add_place
from app.services.memory_states import Known, state_of
from app.services.memory_views import MemoryView, title_of, view_of
from app.services.moments import Span, moment_of, span_of, zone_of
from app.services.people import find_or_add


async def add_memory(
    uow: UnitOfWork, actor: Principal, data: MemoryCreate, *, source: Mapping[str, Any], zone: tzinfo | None = None
) -> MemoryView:
    """Within a transaction of others.

    Raises:
        NotFound, PermissionDenied, InvalidInput
        sqlalchemy.exc.IntegrityError: what it names is gone.
    """
    if data.project_id is not None:
        await require_editor(uow, actor, data.project_id)
    clock = zone or await clock_of(uow, actor)
    start = data.occurred_at or Moment(utc_now().astimezone(clock).replace(tzinfo=None), None, Precision.EXACT)
    memory = Memory(
        id=uuid7(),
        owner_id=actor.user_id,
        project_id=data.project_id,
        title=data.title or title_of(data.content),
        content=data.content,
        tags=list(dict.fromkeys(data.tags)),
        source=dict(source),
        revision=1,
    )
    set_span(memory, span_of(start, data.occurred_end, data.precision, clock))
    person_ids = await find_or_add(uow, actor.user_id, data.people) if data.people else []
    if data.location is not None:
        memory.location_id = await find_or_add_place(uow, actor.user_id, data.location)
    links = await checked_links(uow, actor, data.links)
    uow.memories.add(memory)
    await uow.flush()
    await uow.memories.set_people(memory.id, person_ids, is_new=True)
    await uow.memories.set_links(memory.id, links, is_new=True)
    is_alone = not person_ids and not links.all and memory.location_id is None
    return await keep(uow, actor, memory, "created", around=Surroundings() if is_alone else None)


async def keep_merged(uow: UnitOfWork, actor: Principal, memory: Memory) -> MemoryView:
    """Something was added to a memory that says the same."""
    return await keep(uow, actor, memory, "merged")


async def keep(
    uow: UnitOfWork,
    actor: Principal,
    memory: Memory,
    change: str,
    *,
    is_findable: bool = True,
    around: Surroundings | None = None,
) -> MemoryView:
    """Number the change, keep what the memory is now, have it indexed, and tell its owner; how the actor sees it."""
    if change != "created":
        memory.revision += 1
        await uow.flush()
    if around is None:
        around = (await uow.memories.surroundings(memory.owner_id, [memory]))[memory.id]
    state = state_of(memory, around)
    await uow.memories.keep_version(memory, change, state, changed_by=actor.user_id, wants_indexing=is_findable)
    if is_findable:
        uow.events.wake_workers(Wanted.MEMORIES)
    seen = MemoryView(memory, around) if actor.user_id == memory.owner_id else await view_of(uow, actor, memory)
    event = MemoryChanged(user_id=memory.owner_id, memory_id=memory.id, change=change)
    await uow.events.append(memory.owner_id, event)
    return seen


def change_text(memory: Memory, changes: MemoryUpdate) -> None:
    was_derived = memory.title == title_of(memory.content)
    if changes.content is not None:
        memory.content = changes.content
        if was_derived and changes.content.strip():
            memory.title = title_of(changes.content)
    if changes.title is not None:
        memory.title = changes.title
    if changes.tags is not None:
        memory.tags = list(dict.fromkeys(changes.tags))


async def change_surroundings(uow: UnitOfWork, actor: Principal, memory: Memory, changes: MemoryUpdate) -> None:
    """What only the owner gets to."""
    given = changes.model_fields_set
    if "project_id" in given and changes.project_id != memory.project_id:
        if changes.project_id is not None:
            await require_editor(uow, actor, changes.project_id)
        before = str(memory.project_id) if memory.project_id else None
        after = str(changes.project_id) if changes.project_id else None
        record_by(
            uow,
            actor,
            AuditAction.MEMORY_SHARED,
            target_type="memory",
            target_id=memory.id,
            project_id=after,
            before=before,
        )
        memory.project_id = changes.project_id
    if "location" in given:
        given_place = changes.location
        memory.location_id = await find_or_add_place(uow, actor.user_id, given_place) if given_place else None
    if changes.people is not None:
        await uow.memories.set_people(memory.id, await find_or_add(uow, actor.user_id, changes.people))
    if changes.links is not None:
        await uow.memories.set_links(memory.id, await checked_links(uow, actor, changes.links, besides=memory.id))


def changed_span(memory: Memory, changes: MemoryUpdate, zone: tzinfo) -> Span:
    precision = Precision(memory.precision)
    start = changes.occurred_at or moment_of(memory.occurred_at, memory.begins, precision)
    end = None
    if "occurred_end" in changes.model_fields_set:
        end = changes.occurred_end
    elif memory.occurred_end is not None:
        local = memory.occurred_end + (memory.begins - memory.occurred_at.replace(tzinfo=None))
        end = moment_of(memory.occurred_end, local.replace(tzinfo=None), precision)
    known = changes.precision or (start.precision if changes.occurred_at else precision)
    return span_of(start, end, known, zone)


def set_span(memory: Memory, span: Span) -> None:
    memory.occurred_at, memory.occurred_end = span.occurred_at, span.occurred_end
    memory.precision, memory.begins, memory.ends = span.precision, span.begins, span.ends


async def checked_links(uow: UnitOfWork, actor: Principal, given: MemoryLinks, *, besides: UUID | None = None) -> Links:
    links = Links(given.document_ids, given.message_ids, given.memory_ids)
    if besides is not None and besides in links.memory_ids:
        raise InvalidInput("A memory is not linked with itself.", field="links")
    unseen = await uow.memories.list_unseen(actor.user_id, links) if links.all else []
    if unseen:
        raise NotFound("What is linked to was not found", id=str(unseen[0]))
    return links


async def known_of(uow: UnitOfWork, actor: Principal, state: Mapping[str, Any]) -> Known:
    """What of an earlier state is still there."""
    people = [UUID(one) for one in state["person_ids"]]
    gone = set(await uow.people.list_foreign(actor.user_id, people)) if people else set()
    location_id = UUID(state["location_id"]) if state["location_id"] else None
    if location_id is not None and await uow.locations.lock_owned(actor.user_id, location_id) is None:
        location_id = None
    links = Links(*([UUID(one) for one in state["links"][name]] for name in ("documents", "messages", "memories")))
    unseen = set(await uow.memories.list_unseen(actor.user_id, links)) if links.all else set()
    return Known(
        [one for one in people if one not in gone],
        location_id,
        Links(
            [one for one in links.document_ids if one not in unseen],
            [one for one in links.message_ids if one not in unseen],
            [one for one in links.memory_ids if one not in unseen],
        ),
    )


async def clock_of(uow: UnitOfWork, actor: Principal) -> tzinfo:
    return zone_of(await uow.users.get_timezone(actor.user_id))


async def require_editor(uow: UnitOfWork, actor: Principal, project_id: UUID) -> None:
    role = await uow.projects.get_editing_role(actor.user_id, project_id)
    if role is None:
        raise NotFound("Project not found", project_id=str(project_id))
    if not may(actor, Action.EDIT, role):
        raise PermissionDenied("Viewers of a project cannot share memories with it.", project_id=str(project_id))
