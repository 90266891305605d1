"""Sending what webhooks are to be told: by workers, at least once, until it has arrived or was tried often enough."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from app.adapters.letters import Letter
from app.adapters.webhook_sender import Outcome, WebhookSender
from app.events import WebhookDisabled, utc_now
from app.models import DeliveryStatus, Webhook, WebhookDelivery
from app.models.encrypted import WEBHOOK_PREVIOUS_SECRET, WEBHOOK_SECRET
from app.realtime.cancellation import cancel_until_done
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.security import Cipher, Undecryptable, sign_webhook
from app.services.mails import MailService, Order
from app.settings.workspace import WebhookSettings

log = structlog.get_logger(__name__)

GROWTH: Final = 4
LONGEST_DELAY: Final = timedelta(hours=6)
JITTER: Final = 0.2  # of a pause, up or down, so that what failed together is not tried together
AT_ONE_WEBHOOK: Final = 4  # deliveries at the same time, of one worker
MARGIN: Final = timedelta(seconds=10)  # beside the sending itself
AGAIN_SOON: Final = timedelta(seconds=1)
GONE: Final = 410  # what a receiver says that wants to hear nothing any more
PATIENCE: Final = 3.0  # seconds for what is under way when the worker stops


def _nothing() -> None:
    pass


class DeliveryService:
    """`on_free` is called whenever one has ended, and so another may be sent."""

    def __init__(
        self,
        uow: OpenUnitOfWork,
        settings: WebhookSettings,
        *,
        sender: WebhookSender,
        cipher: Cipher,
        mails: MailService,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._sender = sender
        self._cipher = cipher
        self._mails = mails
        self._under_way: dict[asyncio.Task[None], UUID] = {}
        self.on_free: Callable[[], None] = _nothing

    async def send_due(self) -> None:
        """Begin to send what waits, as much as may be under way; what goes on is not waited for."""
        while len(self._under_way) < self._settings.concurrency and await self._begin_next():
            pass

    async def stop(self) -> None:
        """What is still under way then is sent again by another worker."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=PATIENCE)
            await cancel_until_done(list(self._under_way))

    async def sweep(self) -> None:
        """Forget deliveries that ended long ago."""
        is_more = True
        while is_more:
            async with self._uow() as uow:
                is_more = bool(await uow.webhooks.forget_older_than(self._settings.retention))

    async def _begin_next(self) -> bool:
        counts = Counter(self._under_way.values())
        busy = [webhook_id for webhook_id, count in counts.items() if count >= AT_ONE_WEBHOOK]
        async with self._uow() as uow:
            taken = await uow.webhooks.take_due(hold=self._settings.timeout + MARGIN, besides=busy)
        if taken is None:
            return False
        delivery, webhook = taken
        sending = asyncio.create_task(self._deliver(delivery, webhook))
        self._under_way[sending] = webhook.id
        sending.add_done_callback(self._ended)
        return True

    def _ended(self, sending: asyncio.Task[None]) -> None:
        self._under_way.pop(sending, None)
        if not sending.cancelled() and sending.exception() is not None:
            log.warning("webhook.not_settled", error=repr(sending.exception()))
        self.on_free()

    async def _deliver(self, delivery: WebhookDelivery, webhook: Webhook) -> None:
        at = utc_now()
        try:
            secrets = self._secrets_of(webhook)
        except Undecryptable as error:
            outcome = Outcome(None, 0, error=f"The secret cannot be read: {error}.")
        else:
            body, message_id, timestamp = body_of(delivery), str(delivery.message_id), int(at.timestamp())
            headers = {
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign_webhook(secrets, message_id, timestamp, body),
            }
            outcome = await self._sender.send(webhook.url, body, headers)
        attempt: dict[str, Any] = {
            "at": at.isoformat(),
            "status_code": outcome.status,
            "latency_ms": outcome.latency_ms,
            "error": outcome.error,
            "response": outcome.excerpt.replace("\0", "\ufffd"),
        }
        async with self._uow() as uow:
            await self._settle(uow, delivery, outcome, attempt)

    async def _settle(
        self, uow: UnitOfWork, delivery: WebhookDelivery, outcome: Outcome, attempt: dict[str, Any]
    ) -> None:
        status, pause = DeliveryStatus.PENDING, self._pause(delivery.attempts)
        if outcome.is_success:
            status = DeliveryStatus.SUCCEEDED
        elif delivery.attempts >= self._settings.max_attempts or outcome.status == GONE:
            status = DeliveryStatus.FAILED
        if not await uow.webhooks.settle(delivery, attempt, status=status, again_in=pause):
            await uow.webhooks.release(delivery.id, message_id=delivery.message_id, after=AGAIN_SOON)
        if outcome.is_success:
            await uow.webhooks.note_success(delivery.webhook_id)
            return
        webhook = await uow.webhooks.note_failure(delivery.webhook_id)
        if webhook is not None and webhook.is_active:
            await self._judge(uow, webhook, outcome)

    async def _judge(self, uow: UnitOfWork, webhook: Webhook, outcome: Outcome) -> None:
        """Switch it off when it says so, or has done nothing but fail for long; its project and owner hear of that."""
        assert webhook.failing_since is not None
        if outcome.status == GONE:
            reason = "The receiver said that it is gone (410)."
        elif utc_now() - webhook.failing_since >= self._settings.disable_after:
            reason = f"Nothing has arrived since {webhook.failing_since:%Y-%m-%d %H:%M} UTC."
        else:
            return
        webhook.is_active, webhook.disabled_reason = False, reason
        await uow.flush()
        await uow.webhooks.give_up(webhook.id)
        owner = await uow.users.get_owner(webhook.project_id)
        if owner is not None and owner.email is not None:
            order = Order(letter=Letter.WEBHOOK_DISABLED, email=owner.email, user_id=owner.id, about=webhook.url)
            self._mails.queue(uow, order)
        log.warning("webhook.disabled", webhook_id=str(webhook.id), reason=reason)
        event = WebhookDisabled(project_id=webhook.project_id, webhook_id=webhook.id, url=webhook.url, reason=reason)
        await uow.events.append(webhook.project_id, event)

    def _secrets_of(self, webhook: Webhook) -> list[str]:
        found = [self._cipher.decrypt(webhook.secret, place=WEBHOOK_SECRET.place(webhook.id))]
        if webhook.previous_secret and webhook.previous_until and webhook.previous_until > utc_now():
            place = WEBHOOK_PREVIOUS_SECRET.place(webhook.id)
            found.append(self._cipher.decrypt(webhook.previous_secret, place=place))
        return [secret.decode() for secret in found]

    def _pause(self, attempts: int) -> timedelta:
        growth: int = GROWTH ** (attempts - 1)
        pause = min(self._settings.retry_delay * growth, LONGEST_DELAY)
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - out of step with the others


def body_of(delivery: WebhookDelivery) -> bytes:
    """What is sent: the form that Standard Webhooks recommends, around the event as it is told everywhere."""
    time_of_event = delivery.frame.partition('"timestamp":')[2].partition(",")[0].rstrip("}")
    head = f'{{"type":"{delivery.event_type}","timestamp":{time_of_event},"data":'
    return f"{head}{delivery.frame}}}".encode()
