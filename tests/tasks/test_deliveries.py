"""Workers send what webhooks are to be told, beside their tasks."""

from dataclasses import replace
from datetime import timedelta

from app.models import Webhook
from app.models.encrypted import WEBHOOK_SECRET
from app.resources import Resources
from app.security import make_cipher, make_webhook_secret
from tests.receivers import receiver, verify, with_webhooks
from tests.tasks.probes import Place, Probe, make_place, queue, working


async def subscribe(resources: Resources, place: Place, url: str, *events: str) -> str:
    """A webhook without the public door; returns its secret."""
    secret, cipher = make_webhook_secret(), make_cipher(resources.settings)
    webhook = Webhook(project_id=place.project_id, url=url, events=list(events), secret=b"")
    async with resources.uow() as uow:
        uow.webhooks.add(webhook)
        await uow.flush()
        webhook.secret = cipher.encrypt(secret.encode(), place=WEBHOOK_SECRET.place(webhook.id))
    return secret


async def test_a_worker_tells_at_once_what_its_tasks_do(alone: Resources):
    async with receiver() as there:
        reaching = with_webhooks(alone, there)
        place, probe = await make_place(alone), Probe()
        secret = await subscribe(alone, place, there.url, "task_started", "complete")
        async with working(reaching, probe):
            tasks = {str(await queue(alone, place, probe.task_type)) for _ in range(20)}
            messages = await there.wait_for(40)
        told = [verify(secret, message) for message in messages]
    assert {(one["type"], one["data"]["task_id"]) for one in told} == {
        (kind, task) for kind in ("task_started", "complete") for task in tasks
    }
    assert len({message.id for message in messages}) == len(messages) == 40


async def test_a_worker_that_stops_leaves_what_it_is_sending_to_another(alone: Resources, monkeypatch):
    monkeypatch.setattr("app.services.deliveries.PATIENCE", 0.1)
    monkeypatch.setattr("app.services.deliveries.MARGIN", timedelta(0))
    async with receiver(waits=60) as there:
        reaching = with_webhooks(alone, there, timeout=timedelta(seconds=1.5))
        place, probe = await make_place(alone), Probe()
        secret = await subscribe(alone, place, there.url, "complete")
        async with working(reaching, probe):
            await queue(alone, place, probe.task_type)
            await there.wait_for(1)
        there.waits = 0
        another = with_webhooks(replace(alone), there)
        async with working(another, probe):
            messages = await there.wait_for(2)
    assert verify(secret, messages[0]) == verify(secret, messages[1])
    assert messages[0].id == messages[1].id
