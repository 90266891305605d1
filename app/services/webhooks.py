"""Webhooks of a project: who is told of its events by HTTP, with which secret, and what was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.webhook_sender import WebhookSender
from app.errors import Conflict, NotFound
from app.events import Wanted, WebhookPinged, utc_now
from app.models import AuditAction, DeliveryStatus, Webhook, WebhookDelivery
from app.models.encrypted import WEBHOOK_PREVIOUS_SECRET, WEBHOOK_SECRET
from app.permissions import Action, Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.webhooks import WebhookCreate, WebhookUpdate
from app.security import Cipher, make_webhook_secret
from app.services.audit import record_by
from app.services.projects import require_owner
from app.services.versions import Versions, require_version
from app.settings.workspace import WebhookSettings


@dataclass(frozen=True, slots=True)
class NewSecret:
    """`secret` is known to nobody else; the one before still signs until `previous_until`."""

    webhook: Webhook
    secret: str
    previous_until: datetime | None = None


class WebhookService:
    """Owners of a project manage its webhooks: whoever has one reads along."""

    def __init__(
        self, uow: OpenUnitOfWork, settings: WebhookSettings, *, sender: WebhookSender, cipher: Cipher
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._sender = sender
        self._cipher = cipher

    async def create(self, actor: Principal, project_id: UUID, data: WebhookCreate) -> NewSecret:
        """Raises NotFound, PermissionDenied. InvalidInput: not a URL to send to. Conflict: there are too many."""
        async with self._uow() as uow:
            await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
        await self._sender.require_reachable(data.url)
        webhook_id, secret = uuid7(), make_webhook_secret()
        async with self._uow() as uow:
            await uow.events.lock(project_id)
            await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
            if await uow.webhooks.count(project_id) >= self._settings.per_project:
                raise Conflict(f"A project has at most {self._settings.per_project} webhooks.")
            webhook = Webhook(
                id=webhook_id,
                project_id=project_id,
                url=data.url,
                events=sorted(set(data.events)),
                description=data.description,
                secret=self._cipher.encrypt(secret.encode(), place=WEBHOOK_SECRET.place(webhook_id)),
            )
            uow.webhooks.add(webhook)
            await uow.flush()
            _record(uow, actor, AuditAction.WEBHOOK_CREATED, webhook)
        return NewSecret(webhook, secret)

    async def get(self, actor: Principal, project_id: UUID, webhook_id: UUID) -> Webhook:
        """Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            return await _readable(uow, actor, project_id, webhook_id)

    async def list(self, actor: Principal, project_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Webhook]:
        """The newest first. Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            await require_owner(uow, actor, project_id, Action.READ_MANAGED)
            return await uow.webhooks.list(project_id, before=before, limit=limit)

    async def update(
        self, actor: Principal, project_id: UUID, webhook_id: UUID, changes: WebhookUpdate, *, expected: Versions | None
    ) -> Webhook:
        """Raises NotFound, PermissionDenied, PreconditionFailed. InvalidInput: not a URL to send to."""
        async with self._uow() as uow:
            await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
        if changes.url is not None:
            await self._sender.require_reachable(changes.url)
        async with self._uow() as uow:
            webhook = await _managed(uow, actor, project_id, webhook_id)
            require_version(webhook, expected)
            for name in ("url", "description"):
                if getattr(changes, name) is not None:
                    setattr(webhook, name, getattr(changes, name))
            if changes.events is not None:
                webhook.events = sorted(set(changes.events))
            if changes.is_active is not None:
                await _switch(uow, webhook, is_active=changes.is_active)
            _record(uow, actor, AuditAction.WEBHOOK_CHANGED, webhook, changed=sorted(changes.model_fields_set))
            await uow.flush()
            return webhook

    async def rotate_secret(self, actor: Principal, project_id: UUID, webhook_id: UUID) -> NewSecret:
        """Sign with a new secret, and for a while with the one before, too. Raises NotFound, PermissionDenied."""
        secret, until = make_webhook_secret(), utc_now() + self._settings.overlap
        async with self._uow() as uow:
            webhook = await _managed(uow, actor, project_id, webhook_id)
            current = self._cipher.decrypt(webhook.secret, place=WEBHOOK_SECRET.place(webhook_id))
            previous_place = WEBHOOK_PREVIOUS_SECRET.place(webhook_id)
            webhook.previous_secret = self._cipher.encrypt(current, place=previous_place)
            webhook.previous_until = until
            webhook.secret = self._cipher.encrypt(secret.encode(), place=WEBHOOK_SECRET.place(webhook_id))
            _record(uow, actor, AuditAction.WEBHOOK_CHANGED, webhook, changed=["secret"])
        return NewSecret(webhook, secret, until)

    async def delete(self, actor: Principal, project_id: UUID, webhook_id: UUID, *, expected: Versions | None) -> None:
        """With the list of its deliveries. Raises NotFound, PermissionDenied, PreconditionFailed."""
        async with self._uow() as uow:
            webhook = await _managed(uow, actor, project_id, webhook_id)
            require_version(webhook, expected)
            await uow.webhooks.delete(webhook)
            _record(uow, actor, AuditAction.WEBHOOK_DELETED, webhook)

    async def ping(self, actor: Principal, project_id: UUID, webhook_id: UUID) -> WebhookDelivery:
        """Send it an event that means nothing. Raises NotFound, PermissionDenied. Conflict: it is switched off."""
        async with self._uow() as uow:
            webhook = await _managed(uow, actor, project_id, webhook_id)
            _require_active(webhook)
            event = WebhookPinged(project_id=project_id, webhook_id=webhook_id)
            delivery = WebhookDelivery(
                id=uuid7(),
                webhook_id=webhook_id,
                message_id=event.id,
                event_type=event.type,
                frame=event.model_dump_json(),
            )
            uow.webhooks.add(delivery)
            await uow.flush()
            uow.events.wake_workers(Wanted.WEBHOOKS)
            return delivery

    async def list_deliveries(
        self,
        actor: Principal,
        project_id: UUID,
        webhook_id: UUID,
        *,
        status: DeliveryStatus | None,
        before: UUID | None,
        limit: int,
    ) -> Sequence[WebhookDelivery]:
        """The newest first. Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            await _readable(uow, actor, project_id, webhook_id)
            return await uow.webhooks.list_deliveries(webhook_id, status=status, before=before, limit=limit)

    async def get_delivery(
        self, actor: Principal, project_id: UUID, webhook_id: UUID, delivery_id: UUID
    ) -> WebhookDelivery:
        """Raises NotFound, PermissionDenied."""
        async with self._uow(is_reading=True) as uow:
            await _readable(uow, actor, project_id, webhook_id)
            return _there(await uow.webhooks.get_delivery(webhook_id, delivery_id), delivery_id)

    async def replay(self, actor: Principal, project_id: UUID, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Send it again, as the same message. Raises NotFound, PermissionDenied.

        Raises:
            Conflict: the webhook is switched off, or the delivery is on its way.
        """
        async with self._uow() as uow:
            _require_active(await _managed(uow, actor, project_id, webhook_id))
            delivery = _there(await uow.webhooks.get_delivery(webhook_id, delivery_id), delivery_id)
            if delivery.status == DeliveryStatus.PENDING:
                raise Conflict("This delivery is on its way.", delivery_id=str(delivery_id))
            delivery.status, delivery.attempts, delivery.finished_at = DeliveryStatus.PENDING, 0, None
            delivery.run_after = utc_now()
            if delivery.event_type == "progress":
                delivery.task_id = None  # so that what comes now does not take its place
            await uow.flush()
            uow.events.wake_workers(Wanted.WEBHOOKS)
            return delivery


async def _switch(uow: UnitOfWork, webhook: Webhook, *, is_active: bool) -> None:
    webhook.is_active, webhook.disabled_reason = is_active, None
    webhook.failures, webhook.failing_since, webhook.paused_until = 0, None, None
    if not is_active:
        await uow.webhooks.give_up(webhook.id)


def _require_active(webhook: Webhook) -> None:
    if not webhook.is_active:
        raise Conflict("This webhook is switched off.", webhook_id=str(webhook.id))


async def _readable(uow: UnitOfWork, actor: Principal, project_id: UUID, webhook_id: UUID) -> Webhook:
    await require_owner(uow, actor, project_id, Action.READ_MANAGED)
    return _found(await uow.webhooks.get(project_id, webhook_id), webhook_id)


async def _managed(uow: UnitOfWork, actor: Principal, project_id: UUID, webhook_id: UUID) -> Webhook:
    """The webhook, locked."""
    await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
    return _found(await uow.webhooks.lock(project_id, webhook_id), webhook_id)


def _found(webhook: Webhook | None, webhook_id: UUID) -> Webhook:
    if webhook is None:
        raise NotFound("Webhook not found", webhook_id=str(webhook_id))
    return webhook


def _there(delivery: WebhookDelivery | None, delivery_id: UUID) -> WebhookDelivery:
    if delivery is None:
        raise NotFound("Delivery not found", delivery_id=str(delivery_id))
    return delivery


def _record(uow: UnitOfWork, actor: Principal, action: AuditAction, webhook: Webhook, **details: object) -> None:
    in_project = {"project_id": str(webhook.project_id)}
    record_by(uow, actor, action, target_type="webhook", target_id=webhook.id, **in_project, **details)
