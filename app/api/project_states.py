"""The state of a project over HTTP: the JSON object itself, with its version as `ETag`."""

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Body, Query, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, ServicesDep
from app.api.routing import Router
from app.realtime.project_state import StoredState

router = Router(prefix="/projects/{project_id}/state", tags=["projects"])

STATE_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The state itself; `ETag` is its version, 0 where there is none",
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}},
        "headers": {
            "X-State-TTL": {"description": "Seconds until it is forgotten.", "schema": {"type": "integer"}},
        },
    }
}
LONGEST_LIFE: Final = 366 * 86_400
Life = Annotated[
    int | None,
    Query(
        alias="ttl",
        ge=1,
        le=LONGEST_LIFE,
        description="Seconds after which it is forgotten, unless it is changed again; at most what the server allows.",
    ),
]


@router.get("", response_class=Response, responses=STATE_ANSWER)
async def get_project_state(
    actor: Actor, services: ServicesDep, project_id: UUID, conditional: ConditionalDep
) -> Response:
    """What the project's programs share. An empty object where nothing was put, or it was forgotten."""
    return _shown(conditional.tag(await services.workspace.states.get(actor, project_id)))


@router.put("", response_class=Response, responses=STATE_ANSWER)
async def replace_project_state(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    state: Annotated[dict[str, Any], Body()],
    expected: IfMatch,
    conditional: ConditionalDep,
    ttl: Life = None,
) -> Response:
    """Put another in its place; `If-Match: "0"` only where there is none."""
    life = timedelta(seconds=ttl) if ttl else None
    stored = await services.workspace.states.replace(actor, project_id, state, expected=expected, life=life)
    return _shown(conditional.tag(stored))


@router.patch("", response_class=Response, responses=STATE_ANSWER)
async def merge_project_state(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    patch: Annotated[dict[str, Any], Body(description="A merge patch (RFC 7396): null removes a name.")],
    expected: IfMatch,
    conditional: ConditionalDep,
    ttl: Life = None,
) -> Response:
    """Change what you name and nothing else, in one step, whoever changes something at the same time."""
    life = timedelta(seconds=ttl) if ttl else None
    stored = await services.workspace.states.merge(actor, project_id, patch, expected=expected, life=life)
    return _shown(conditional.tag(stored))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def delete_project_state(actor: Actor, services: ServicesDep, project_id: UUID, expected: IfMatch) -> None:
    """Forget it now."""
    await services.workspace.states.delete(actor, project_id, expected=expected)


def _shown(stored: StoredState) -> Response:
    headers = {"ETag": f'"{stored.version}"', "X-State-TTL": str(int(stored.life.total_seconds()))}
    return Response(stored.text, media_type="application/json", headers=headers)
