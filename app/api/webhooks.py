"""Webhooks of projects over HTTP."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.models import DeliveryStatus, Webhook, WebhookDelivery
from app.schemas.common import ErrorResponse, Page
from app.schemas.webhooks import (
    DeliveryDetails,
    DeliveryRead,
    WebhookCreate,
    WebhookCreated,
    WebhookRead,
    WebhookSecret,
    WebhookUpdate,
)

router = Router(prefix="/projects/{project_id}/webhooks", tags=["projects"])

TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorResponse, "description": "The project has as many as it may have"}
}
OFF: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorResponse, "description": "It is switched off, or on its way already"}
}


@router.post("", status_code=status.HTTP_201_CREATED, response_model=WebhookCreated, responses=TOO_MANY)
async def create_webhook(
    actor: Actor, services: ServicesDep, project_id: UUID, data: WebhookCreate, response: Response
) -> WebhookCreated:
    """Have a URL told of the project's events. This is the only time that the secret is shown."""
    made = await services.workspace.webhooks.create(actor, project_id, data)
    response.headers["Location"] = f"/api/v1/projects/{project_id}/webhooks/{made.webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    shown = WebhookRead.model_validate(made.webhook)
    return WebhookCreated(**dict(shown), secret=made.secret)


@router.get("")
async def list_webhooks(
    actor: Actor, services: ServicesDep, project_id: UUID, cursor: Cursor = None, limit: Limit = 20
) -> Page[WebhookRead]:
    """The project's webhooks, the newest first."""
    rows = await services.workspace.webhooks.list(actor, project_id, before=cursor, limit=limit + 1)
    return Page[WebhookRead].of(rows, limit)


@router.get("/{webhook_id}", response_model=WebhookRead)
async def get_webhook(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, conditional: ConditionalDep
) -> Webhook:
    """Where it leads, what it is told, and whether that arrives."""
    return conditional.tag(await services.workspace.webhooks.get(actor, project_id, webhook_id))


@router.patch("/{webhook_id}", response_model=WebhookRead)
async def update_webhook(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    webhook_id: UUID,
    changes: WebhookUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> Webhook:
    """Change it, or switch it off and on."""
    changed = await services.workspace.webhooks.update(actor, project_id, webhook_id, changes, expected=expected)
    return conditional.tag(changed)


@router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_webhook(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, expected: IfMatch
) -> None:
    """Remove it, and the list of its deliveries."""
    await services.workspace.webhooks.delete(actor, project_id, webhook_id, expected=expected)


@router.post("/{webhook_id}/secret", response_model=WebhookSecret)
async def rotate_webhook_secret(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, response: Response
) -> WebhookSecret:
    """Make another secret. The one before signs, too, for a day, unless the server is set otherwise."""
    made = await services.workspace.webhooks.rotate_secret(actor, project_id, webhook_id)
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret.model_validate(made, from_attributes=True)


@router.post("/{webhook_id}/ping", status_code=status.HTTP_202_ACCEPTED, response_model=DeliveryRead, responses=OFF)
async def ping_webhook(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, response: Response
) -> WebhookDelivery:
    """Send it an event `webhook_ping`, to see whether it arrives."""
    delivery = await services.workspace.webhooks.ping(actor, project_id, webhook_id)
    response.headers["Location"] = f"/api/v1/projects/{project_id}/webhooks/{webhook_id}/deliveries/{delivery.id}"
    return delivery


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    webhook_id: UUID,
    status: Annotated[DeliveryStatus | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[DeliveryRead]:
    """What it was told, and what came back; the newest first."""
    rows = await services.workspace.webhooks.list_deliveries(
        actor, project_id, webhook_id, status=status, before=cursor, limit=limit + 1
    )
    return Page[DeliveryRead].of(rows, limit)


@router.get("/{webhook_id}/deliveries/{delivery_id}", response_model=DeliveryDetails)
async def get_delivery(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, delivery_id: UUID
) -> WebhookDelivery:
    """One of them, with the event itself."""
    return await services.workspace.webhooks.get_delivery(actor, project_id, webhook_id, delivery_id)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=DeliveryRead,
    responses=OFF,
)
async def replay_delivery(
    actor: Actor, services: ServicesDep, project_id: UUID, webhook_id: UUID, delivery_id: UUID
) -> WebhookDelivery:
    """Send it again, as the same message: its `webhook-id` is what it was."""
    return await services.workspace.webhooks.replay(actor, project_id, webhook_id, delivery_id)
