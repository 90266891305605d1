"""Memories over HTTP."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Query, Response, status
from pydantic import AfterValidator, WithJsonSchema

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.memory_filters import After, ListFilterDep, MemoryFilterDep, encode_place
from app.api.routing import Router
from app.schemas.common import ErrorResponse, Page
from app.schemas.memories import (
    MemoryCreate,
    MemoryRead,
    MemoryUpdate,
    OnThisDay,
    Timeline,
    UndoRequest,
    VersionPage,
)
from app.schemas.search import Question
from app.schemas.users import Timezone
from app.services.memory_views import MemoryView

router = Router(prefix="/memories", tags=["memories"])

NO_SUCH_STATE: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorResponse, "description": "There is no such state to go back to"}
}
NO_NUL: Final = r"^[^\x00]*$"
LAST_REVISION: Final = 2**31 - 1
OF_REVISIONS: Final = {"type": "string", "pattern": "^A{16}[A-Za-f][A-Za-z0-9_-]{4}[AQgw]$"}


@router.post("", status_code=status.HTTP_201_CREATED, response_model=MemoryRead)
async def create_memory(
    actor: Actor, services: ServicesDep, data: MemoryCreate, response: Response, conditional: ConditionalDep
) -> MemoryView:
    """Keep something that happened. Nobody else sees it without a project; searches find it within a second."""
    memory = await services.memories.create(actor, data)
    response.headers["Location"] = f"/api/v1/memories/{memory.id}"
    return conditional.tag(memory)


@router.get("")
async def list_memories(
    actor: Actor,
    services: ServicesDep,
    filters: ListFilterDep,
    after: After,
    q: Annotated[
        Question | None,
        Query(description="Asks: the best come first, and there is one page. Times and names are read."),
    ] = None,
    order: Annotated[
        Literal["occurred", "created"], Query(description="By when it happened, or when it was written down.")
    ] = "occurred",
    limit: Limit = 20,
) -> Page[MemoryRead]:
    """Your memories and those shared with you, the newest first."""
    rows = await services.memories.list(actor, filters, question=q, order=order, after=after, limit=limit + 1)
    return _page(rows, limit, has_more=q is None)


@router.get("/timeline", response_model=Timeline)
async def get_timeline(
    actor: Actor,
    services: ServicesDep,
    filters: MemoryFilterDep,
    bucket: Literal["day", "month", "year"] = "month",
    q: Annotated[str | None, Query(max_length=300, pattern=NO_NUL, description="Words that they all have.")] = None,
    cursor: Annotated[date | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Limit = 20,
) -> dict[str, Any]:
    """How many memories there are in each day, month or year, with whom, where, and how the first begin."""
    rows = await services.timeline.list(actor, filters, bucket, words=q, before=cursor, limit=limit + 1)
    following = rows[limit - 1].start.isoformat() if len(rows) > limit else None
    return {"bucket": bucket, "items": rows[:limit], "next_cursor": following}


@router.get("/on-this-day", response_model=OnThisDay)
async def get_on_this_day(
    actor: Actor,
    services: ServicesDep,
    filters: MemoryFilterDep,
    after: After,
    timezone: Annotated[Timezone | None, Query(description="Where it is today; else yours.")] = None,
    day: Annotated[date | None, Query(alias="date", description="Another day than today.")] = None,
    limit: Limit = 20,
) -> dict[str, Any]:
    """What happened on this day, in any year."""
    wanted = day or await services.timeline.today(actor, timezone=timezone)
    rows = await services.timeline.on_day(actor, filters, wanted, after=after, limit=limit + 1)
    return {"date": wanted.isoformat(), **_page(rows, limit).model_dump()}


# Of an id alone: the words beside it that lead elsewhere are no ids.
@router.get("/{memory_id:uuid}", response_model=MemoryRead)
async def get_memory(actor: Actor, services: ServicesDep, memory_id: UUID, conditional: ConditionalDep) -> MemoryView:
    """A memory of yours, or one that is shared with you."""
    return conditional.tag(await services.memories.get(actor, memory_id))


@router.patch("/{memory_id:uuid}", response_model=MemoryRead)
async def update_memory(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    changes: MemoryUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> MemoryView:
    """Change what it says. Who edits in the project that it is shared with changes title, content, time and tags."""
    return conditional.tag(await services.memories.update(actor, memory_id, changes, expected=expected))


@router.delete("/{memory_id:uuid}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_memory(actor: Actor, services: ServicesDep, memory_id: UUID, expected: IfMatch) -> None:
    """Nothing finds it any more; you can restore it for some weeks, and then it is gone."""
    await services.memories.delete(actor, memory_id, expected=expected)


@router.post("/{memory_id}/restore", response_model=MemoryRead)
async def restore_memory(
    actor: Actor, services: ServicesDep, memory_id: UUID, conditional: ConditionalDep
) -> MemoryView:
    """Take it back after deleting it."""
    return conditional.tag(await services.memories.restore(actor, memory_id))


def _of_revisions(cursor: UUID | None) -> UUID | None:
    if cursor is not None and cursor.int > LAST_REVISION:
        raise ValueError("not a cursor of this list")
    return cursor


@router.get("/{memory_id}/history")
async def list_memory_history(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    limit: Limit = 20,
    cursor: Annotated[Cursor, AfterValidator(_of_revisions), WithJsonSchema(OF_REVISIONS)] = None,
) -> VersionPage:
    """What it was after each change, the newest first; for its owner alone."""
    before = None if cursor is None else cursor.int
    return VersionPage.of(await services.memories.history(actor, memory_id, before=before, limit=limit + 1), limit)


@router.post("/{memory_id}/undo", response_model=MemoryRead, responses=NO_SUCH_STATE)
async def undo_memory(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    conditional: ConditionalDep,
    data: UndoRequest | None = None,
) -> MemoryView:
    """Make it what it was before the last change, or after a certain one. Undone again, the change is back."""
    return conditional.tag(await services.memories.undo(actor, memory_id, data.revision if data else None))


def _page(rows: Any, limit: int, *, has_more: bool = True) -> Page[MemoryRead]:
    shown = rows[:limit]
    following = encode_place(shown[-1]) if has_more and len(rows) > limit else None
    return Page[MemoryRead].model_validate({"items": shown, "next_cursor": following})
