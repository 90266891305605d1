"""Webhooks of projects, and what is on its way to them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, case, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.events import TaskProgress
from app.models import DeliveryStatus, Webhook, WebhookDelivery
from app.repositories.pages import newest_first

UNSYNCHRONIZED: Final = {"synchronize_session": False}
MOST_TRIES: Final = 20  # that are remembered of one delivery
LONGEST_PAUSE: Final = timedelta(minutes=5)  # of a webhook at which nothing arrives
TRIES_BEFORE_PAUSE: Final = 3
SWEPT_AT_ONCE: Final = 1_000

# Of a task's progress only the latest word waits, and that for a second, so that a webhook hears of it once a second.
_NOTE_PROGRESS = text(
    """
    INSERT INTO webhook_deliveries (id, webhook_id, message_id, event_type, task_id, frame, run_after)
    SELECT (:head || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid, id, :message_id, 'progress',
           :task_id, :frame, clock_timestamp() + interval '1 second'
    FROM webhooks WHERE project_id = :project_id AND is_active AND 'progress' = ANY (events)
    ON CONFLICT (task_id, webhook_id) WHERE event_type = 'progress' AND status = 'pending'
    DO UPDATE SET message_id = excluded.message_id, frame = excluded.frame
    """
)


class WebhookRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: Webhook | WebhookDelivery) -> None:
        self._session.add(row)

    async def count(self, project_id: UUID) -> int:
        query = select(func.count()).select_from(Webhook).where(Webhook.project_id == project_id)
        return (await self._session.execute(query)).scalar_one()

    async def get(self, project_id: UUID, webhook_id: UUID) -> Webhook | None:
        return await self._session.scalar(
            select(Webhook).where(Webhook.project_id == project_id, Webhook.id == webhook_id)
        )

    async def lock(self, project_id: UUID, webhook_id: UUID) -> Webhook | None:
        query = select(Webhook).where(Webhook.project_id == project_id, Webhook.id == webhook_id)
        return await self._session.scalar(query.with_for_update())

    async def list(self, project_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Webhook]:
        query = select(Webhook).where(Webhook.project_id == project_id)
        return await newest_first(self._session, query, Webhook, before=before, limit=limit)

    async def delete(self, webhook: Webhook) -> None:
        await self._session.delete(webhook)

    async def note_progress(self, event: TaskProgress) -> None:
        """Have those webhooks told that want to hear of progress."""
        values = {
            "head": uuid7().hex[:16],
            "message_id": event.id,
            "task_id": event.task_id,
            "frame": event.model_dump_json(),
            "project_id": event.project_id,
        }
        await self._session.execute(_NOTE_PROGRESS, values)

    # --- deliveries -------------------------------------------------------------------------------------------------

    async def get_delivery(self, webhook_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
        return await self._session.scalar(query.where(WebhookDelivery.id == delivery_id).with_for_update())

    async def list_deliveries(
        self, webhook_id: UUID, *, status: str | None, before: UUID | None, limit: int
    ) -> Sequence[WebhookDelivery]:
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
        query = query if status is None else query.where(WebhookDelivery.status == status)
        return await newest_first(self._session, query, WebhookDelivery, before=before, limit=limit)

    async def take_due(self, *, hold: timedelta, besides: Collection[UUID]) -> tuple[WebhookDelivery, Webhook] | None:
        """What has waited longest, at a webhook that is not one of `besides`; nobody else takes it for `hold`."""
        due = (
            select(WebhookDelivery.id)
            .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
            .where(
                WebhookDelivery.status == DeliveryStatus.PENDING,
                WebhookDelivery.run_after <= _now(),
                Webhook.is_active,
                or_(Webhook.paused_until.is_(None), Webhook.paused_until <= _now()),
                Webhook.id.not_in(besides),
            )
            .order_by(WebhookDelivery.run_after)
            .limit(1)
            .with_for_update(of=WebhookDelivery, skip_locked=True)
        )
        taken = await self._session.scalar(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == due.scalar_subquery())
            .values(attempts=WebhookDelivery.attempts + 1, run_after=_now() + hold)
            .returning(WebhookDelivery)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        if taken is None:
            return None
        webhook = await self._session.get(Webhook, taken.webhook_id)
        return None if webhook is None else (taken, webhook)

    async def settle(
        self, sent: WebhookDelivery, attempt: Mapping[str, Any], *, status: DeliveryStatus, again_in: timedelta
    ) -> bool:
        """Note what became of an attempt; False when somebody else has sent it meanwhile, or it says something new."""
        same = (
            WebhookDelivery.id == sent.id,
            WebhookDelivery.attempts == sent.attempts,
            WebhookDelivery.message_id == sent.message_id,
            WebhookDelivery.status == DeliveryStatus.PENDING,
        )
        tries = [*sent.tries, dict(attempt)][-MOST_TRIES:]  # nobody else has changed them, or it is not the same
        finished = None if status is DeliveryStatus.PENDING else _now()
        change = update(WebhookDelivery).where(*same)
        change = change.values(status=status, tries=tries, run_after=_now() + again_in, finished_at=finished)
        done = await self._session.execute(change.returning(WebhookDelivery.id), execution_options=UNSYNCHRONIZED)
        return done.first() is not None

    async def release(self, delivery_id: UUID, *, message_id: UUID, after: timedelta) -> None:
        """Where it was given something new to say while `message_id` was on its way: send that soon."""
        waiting = update(WebhookDelivery).where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.message_id != message_id,
            WebhookDelivery.status == DeliveryStatus.PENDING,
        )
        await self._session.execute(
            waiting.values(run_after=_now() + after, attempts=0), execution_options=UNSYNCHRONIZED
        )

    async def note_success(self, webhook_id: UUID) -> None:
        failing = update(Webhook).where(Webhook.id == webhook_id, Webhook.failures > 0)
        await self._session.execute(
            failing.values(failures=0, failing_since=None, paused_until=None, updated_at=Webhook.updated_at),
            execution_options=UNSYNCHRONIZED,
        )

    async def note_failure(self, webhook_id: UUID) -> Webhook | None:
        """One more in a row; after some the webhook gets pauses that grow, so that it holds up nobody else."""
        seconds = func.least(func.power(2, Webhook.failures), LONGEST_PAUSE.total_seconds())
        pause = _now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds, type_=Interval())
        paused = _choose(Webhook.failures + 1 >= TRIES_BEFORE_PAUSE, pause, None)
        return await self._session.scalar(
            update(Webhook)
            .where(Webhook.id == webhook_id)
            .values(
                failures=Webhook.failures + 1,
                failing_since=func.coalesce(Webhook.failing_since, _now()),
                paused_until=paused,
                updated_at=Webhook.updated_at,
            )
            .returning(Webhook),
            execution_options={"synchronize_session": False, "populate_existing": True},
        )

    async def give_up(self, webhook_id: UUID) -> None:
        """What waits for a webhook that is switched off has failed; it can be sent again by hand."""
        waiting = update(WebhookDelivery).where(
            WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.status == DeliveryStatus.PENDING
        )
        await self._session.execute(
            waiting.values(status=DeliveryStatus.FAILED, finished_at=_now()), execution_options=UNSYNCHRONIZED
        )

    async def forget_older_than(self, age: timedelta) -> int:
        """How many were there to forget, a part of them at most."""
        old = select(WebhookDelivery.id).where(WebhookDelivery.finished_at < _now() - age).limit(SWEPT_AT_ONCE)
        gone = delete(WebhookDelivery).where(WebhookDelivery.id.in_(old)).returning(WebhookDelivery.id)
        return len((await self._session.execute(gone, execution_options=UNSYNCHRONIZED)).all())


def _now() -> ColumnElement[datetime]:
    return func.clock_timestamp()


def _choose(condition: ColumnElement[bool], one: Any, other: Any) -> ColumnElement[Any]:
    return case((condition, one), else_=other)
