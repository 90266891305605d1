"""What may become memories, over HTTP."""

from uuid import UUID

from fastapi import status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import CandidateStatus, MemoryCandidate
from app.schemas.candidates import CandidateAccept, CandidateRead, CandidateUpdate
from app.schemas.common import ErrorResponse, Page
from app.schemas.memories import MemoryRead
from app.services.memory_views import MemoryView

router = Router(prefix="/memories/candidates", tags=["memories"])


@router.get("")
async def list_candidates(
    actor: Actor,
    services: ServicesDep,
    status: CandidateStatus = CandidateStatus.PROPOSED,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[CandidateRead]:
    """What you asked to remember in rooms ("remember that …"), or the language model proposed; the newest first."""
    rows = await services.candidates.list(actor, status=status, before=cursor, limit=limit + 1)
    return Page[CandidateRead].of(rows, limit)


@router.get("/{candidate_id}", response_model=CandidateRead)
async def get_candidate(
    actor: Actor, services: ServicesDep, candidate_id: UUID, conditional: ConditionalDep
) -> MemoryCandidate:
    """What may become a memory, and what has become of it."""
    return conditional.tag(await services.candidates.get(actor, candidate_id))


@router.patch(
    "/{candidate_id}",
    response_model=CandidateRead,
    responses={409: {"model": ErrorResponse, "description": "It was accepted or dropped already"}},
)
async def update_candidate(
    actor: Actor,
    services: ServicesDep,
    candidate_id: UUID,
    changes: CandidateUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> MemoryCandidate:
    """Correct it before you accept it."""
    return conditional.tag(await services.candidates.update(actor, candidate_id, changes, expected=expected))


@router.post(
    "/{candidate_id}/accept",
    response_model=MemoryRead,
    responses={409: {"model": ErrorResponse, "description": "It was accepted or dropped already"}},
)
async def accept_candidate(
    actor: Actor,
    services: ServicesDep,
    candidate_id: UUID,
    conditional: ConditionalDep,
    data: CandidateAccept | None = None,
) -> MemoryView:
    """Make it a memory, or merge it into the one that says the same of the same time."""
    merge = data.merge if data else True
    return conditional.tag(await services.candidates.accept(actor, candidate_id, merge=merge))


@router.delete(
    "/{candidate_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"model": ErrorResponse, "description": "It has become a memory"}},
)
async def drop_candidate(actor: Actor, services: ServicesDep, candidate_id: UUID) -> None:
    """Do not remember it; the same is not proposed again."""
    await services.candidates.drop(actor, candidate_id)
