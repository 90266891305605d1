"""Webhooks of a project: what they are told, how it is signed, and what becomes of what does not arrive."""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import select, update

from app.events import FileChanged, TaskCompleted, TaskProgress
from app.models import Webhook, WebhookDelivery
from app.resources import Resources
from app.services import deliveries
from tests.factories import User, execute, make_project, make_user, share
from tests.mails import mails_to, text_of
from tests.receivers import deliver, receiver, verify, with_webhooks
from tests.work import run_queued_tasks


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> str:
    return (await make_project(client, owner))["id"]


@pytest.fixture
async def hooks(project: str) -> str:
    return f"/api/v1/projects/{project}/webhooks"


@pytest.fixture
async def here(resources: Resources, client: AsyncClient, application):
    """A receiver, and resources that reach it."""
    async with receiver() as opened:
        reaching = with_webhooks(resources, opened, retry_delay=timedelta(0))
        application.state.resources = reaching
        yield opened, reaching


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def make_webhook(client: AsyncClient, user: User, hooks: str, url: str, *events: str) -> dict:
    body = {"url": url} | ({"events": list(events)} if events else {})
    made = await client.post(hooks, json=body, headers=user.headers)
    assert made.status_code == 201, made.text
    return made.json()


async def log_of(client: AsyncClient, user: User, hooks: str, webhook: dict, **params) -> list[dict]:
    page = await client.get(f"{hooks}/{webhook['id']}/deliveries", headers=user.headers, params=params)
    assert page.status_code == 200, page.text
    return page.json()["items"]


async def reingest(client: AsyncClient, resources: Resources, user: User, project: str) -> str:
    body = {"task_type": "reingest_project", "params": {}}
    task = await client.post(f"/api/v1/projects/{project}/tasks", json=body, headers=user.headers)
    await run_queued_tasks(resources)
    return task.json()["id"]


async def test_what_happens_in_a_project_is_told_signed_and_listed(client, here, owner, project, hooks):
    there, resources = here
    webhook = await make_webhook(client, owner, hooks, there.url)
    assert webhook["secret"].startswith("whsec_")
    shown = (await client.get(f"{hooks}/{webhook['id']}", headers=owner.headers)).json()
    assert "secret" not in shown
    assert webhook == shown | {"secret": webhook["secret"]}
    stored = await execute(resources, select(Webhook.secret).where(Webhook.id == webhook["id"]))
    assert webhook["secret"].encode() not in stored
    assert webhook["secret"].removeprefix("whsec_").encode() not in stored

    task = await reingest(client, resources, owner, project)
    await client.put(hooks.replace("webhooks", "files/a.txt"), content=b"not asked for", headers=owner.headers)
    await deliver(resources)
    told = sorted((verify(webhook["secret"], message) for message in there.received), key=lambda one: one["timestamp"])
    assert [one["type"] for one in told] == ["task_started", "complete"]
    for one, message in zip(told, there.received, strict=True):
        data = one["data"]
        assert (data["project_id"], data["task_id"], data["type"]) == (project, task, one["type"])
        assert data["id"] in {message.id for message in there.received}
        assert (one["timestamp"], message.headers["content-type"]) == (data["timestamp"], "application/json")
        assert set(one) == {"type", "timestamp", "data"}
    changed = there.received[0]
    changed.body = changed.body.replace(b"task_started", b"task_stopped")
    with pytest.raises(AssertionError):
        verify(webhook["secret"], changed)

    log = await log_of(client, owner, hooks, webhook)
    assert [(one["event_type"], one["status"], one["attempts"]) for one in log] == [
        ("complete", "succeeded", 1),
        ("task_started", "succeeded", 1),
    ]
    one = (await client.get(f"{hooks}/{webhook['id']}/deliveries/{log[0]['id']}", headers=owner.headers)).json()
    assert one["frame"] == told[1]["data"]
    assert (one["tries"][0]["status_code"], one["tries"][0]["error"], one["next_attempt_at"]) == (204, None, None)
    assert one["tries"][0]["latency_ms"] >= 0


async def test_an_event_that_was_taken_back_is_told_to_nobody(client, here, owner, project, hooks):
    there, resources = here
    await make_webhook(client, owner, hooks, there.url, "file_changed")
    values = {"path": "a", "change": "created", "size": 1, "media_type": "a/b", "version": "1", "by": None}
    event = FileChanged(project_id=project, **values)
    with suppress(LookupError):
        async with resources.uow() as uow:
            await uow.events.append(event.project_id, event)
            raise LookupError
    await deliver(resources)
    assert there.received == []
    await client.put(hooks.replace("webhooks", "files/a.txt"), content=b"x", headers=owner.headers)
    await deliver(resources)
    assert [message.json["data"]["path"] for message in there.received] == ["a.txt"]


async def test_what_does_not_arrive_is_tried_again_as_the_same_message(client, here, owner, project, hooks):
    there, resources = here
    there.statuses, there.answer = [500, 302, 200], b"caf\xc3\xa9 \x1b[31m" + b"x" * 100_000
    there.location = there.url.replace("hooks", "elsewhere")
    webhook = await make_webhook(client, owner, hooks, there.url, "complete")
    await reingest(client, resources, owner, project)
    await deliver(resources)
    assert len({message.id for message in there.received}) == 1
    assert len(there.received) == 3, "a redirect is a failure, and is not followed"
    for message in there.received:
        verify(webhook["secret"], message)
    [log] = await log_of(client, owner, hooks, webhook)
    assert [one["status_code"] for one in log["tries"]] == [500, 302, 200]
    assert (log["status"], log["attempts"]) == ("succeeded", 3)
    assert log["tries"][0]["response"].startswith("café \ufffd[31mx")
    assert len(log["tries"][0]["response"]) == 1000
    read = (await client.get(f"{hooks}/{webhook['id']}", headers=owner.headers)).json()
    assert (read["failures"], read["failing_since"]) == (0, None)


async def test_pauses_grow_and_a_delivery_that_never_arrives_has_failed_and_can_be_sent_again(
    client, application, resources: Resources, owner, project, hooks
):
    async with receiver(statuses=[503]) as there:
        reaching = with_webhooks(resources, there, retry_delay=timedelta(seconds=40), max_attempts=3)
        application.state.resources = reaching
        webhook = await make_webhook(client, owner, hooks, there.url, "complete")
        await reingest(client, reaching, owner, project)
        pauses = []
        for _ in range(2):
            await deliver(reaching)
            waits = select(WebhookDelivery.run_after - WebhookDelivery.updated_at).limit(1)
            pauses.append((await execute(reaching, waits)).total_seconds())
            await execute(reaching, update(WebhookDelivery).values(run_after=WebhookDelivery.created_at))
        assert 31 < pauses[0] < 49
        assert 127 < pauses[1] < 193
        await deliver(reaching)
        [log] = await log_of(client, owner, hooks, webhook, status="failed")
        assert (log["attempts"], len(log["tries"])) == (3, 3)
        replay = f"{hooks}/{webhook['id']}/deliveries/{log['id']}/replay"
        await execute(reaching, update(Webhook).values(paused_until=None))
        there.statuses = [200]
        again = await client.post(replay, headers=owner.headers)
        assert (again.status_code, again.json()["status"]) == (202, "pending")
        assert code_of(await client.post(replay, headers=owner.headers)) == (409, "CONFLICT")
        await deliver(reaching)
        [log] = await log_of(client, owner, hooks, webhook)
        assert (log["status"], [one["status_code"] for one in log["tries"]]) == ("succeeded", [503, 503, 503, 200])
        assert len({message.id for message in there.received}) == 1


async def test_a_webhook_at_which_nothing_arrives_is_switched_off_and_its_owner_hears_of_it(
    client, here, owner, project, hooks
):
    there, resources = here
    there.statuses = [500]
    webhook = await make_webhook(client, owner, hooks, there.url, "complete")
    path = f"{hooks}/{webhook['id']}"
    await reingest(client, resources, owner, project)
    await deliver(resources)
    failing = (await client.get(path, headers=owner.headers)).json()
    assert (failing["is_active"], failing["failures"]) == (True, 3), "three in a row, and it gets a pause"
    long_ago = Webhook.created_at - timedelta(days=4)
    await execute(resources, update(Webhook).values(failing_since=long_ago, paused_until=None))
    await deliver(resources)
    off = (await client.get(path, headers=owner.headers)).json()
    assert off["is_active"] is False
    assert off["disabled_reason"].startswith("Nothing has arrived since")
    assert [one["status"] for one in await log_of(client, owner, hooks, webhook)] == ["failed"]
    assert there.url in text_of((await mails_to(resources, owner.email))[-1])
    async with resources.uow() as uow:
        told = [json.loads(frame.text) for frame in await uow.events.list_after(project, 0, limit=100)]
    assert [one["webhook_id"] for one in told if one["type"] == "webhook_disabled"] == [webhook["id"]]

    await reingest(client, resources, owner, project)
    assert len(await log_of(client, owner, hooks, webhook)) == 1, "nothing is kept for one that is switched off"
    assert code_of(await client.post(f"{path}/ping", headers=owner.headers)) == (409, "CONFLICT")
    on = await client.patch(path, json={"is_active": True}, headers=owner.headers)
    assert (on.json()["is_active"], on.json()["disabled_reason"], on.json()["failures"]) == (True, None, 0)
    there.statuses = [410]
    assert (await client.post(f"{path}/ping", headers=owner.headers)).status_code == 202
    await deliver(resources)
    gone = (await client.get(path, headers=owner.headers)).json()
    assert (gone["is_active"], "410" in gone["disabled_reason"]) == (False, True)


async def test_a_new_secret_and_the_old_one_are_both_good_for_a_while(client, here, owner, hooks, resources):
    there, reaching = here
    webhook = await make_webhook(client, owner, hooks, there.url)
    path = f"{hooks}/{webhook['id']}"
    rotated = await client.post(f"{path}/secret", headers=owner.headers)
    new = rotated.json()["secret"]
    assert rotated.headers["cache-control"] == "no-store"
    ping = await client.post(f"{path}/ping", headers=owner.headers)
    await deliver(reaching)
    assert verify(new, there.received[0]) == verify(webhook["secret"], there.received[0])
    assert there.received[0].json["type"] == "webhook_ping"
    assert (await client.get(ping.headers["location"], headers=owner.headers)).json()["status"] == "succeeded"
    await execute(reaching, update(Webhook).values(previous_until=Webhook.created_at))
    await client.post(f"{path}/ping", headers=owner.headers)
    await deliver(reaching)
    verify(new, there.received[1])
    with pytest.raises(AssertionError):
        verify(webhook["secret"], there.received[1])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "https://user:secret@example.com/", "http://[::1]/", "http://10.0.0.1/", "not a url"),
        *("http://127.0.0.1/", "http://169.254.169.254/latest", "http://2130706433/", "http://8.8.8.8:22/", "http:///"),
        "http://nowhere.invalid/",
    ],
)
async def test_a_url_that_leads_inside_is_refused(client, owner, hooks, url):
    refused = await client.post(hooks, json={"url": url}, headers=owner.headers)
    assert code_of(refused) == (422, "VALIDATION_ERROR")
    made = await client.post(hooks, json={"url": "http://8.8.8.8/"}, headers=owner.headers)
    changed = await client.patch(f"{hooks}/{made.json()['id']}", json={"url": url}, headers=owner.headers)
    assert code_of(changed) == (422, "VALIDATION_ERROR")


async def test_a_name_that_comes_to_lead_inside_is_not_followed(client, application, resources, owner, hooks):
    async with receiver() as there:
        application.state.resources = with_webhooks(resources, there)
        webhook = await make_webhook(client, owner, hooks, there.url)
        await client.post(f"{hooks}/{webhook['id']}/ping", headers=owner.headers)
        await deliver(with_webhooks(resources, there, allowed_networks=()))
        [log] = await log_of(client, owner, hooks, webhook)
        assert (log["status"], log["tries"][0]["status_code"]) == ("pending", None)
        assert "not on the public internet" in log["tries"][0]["error"]
        assert there.received == []


async def test_a_receiver_that_does_not_answer_holds_up_nobody_else(client, application, resources, owner, hooks):
    async with receiver(waits=30) as stuck, receiver() as quick:
        reaching = with_webhooks(resources, stuck, quick, timeout=timedelta(seconds=0.5))
        application.state.resources = reaching
        hung = await make_webhook(client, owner, hooks, stuck.url)
        fine = await make_webhook(client, owner, hooks, quick.url)
        for webhook, count in ((hung, 10), (fine, 6)):
            for _ in range(count):
                await client.post(f"{hooks}/{webhook['id']}/ping", headers=owner.headers)
        service = reaching.services.workspace.deliveries
        free = asyncio.Event()
        service.on_free = free.set
        while len(quick.received) < 6:
            free.clear()
            await service.send_due()
            async with asyncio.timeout(5):
                await free.wait()
        assert len(stuck.received) <= deliveries.AT_ONE_WEBHOOK
        assert stuck.most_at_once <= deliveries.AT_ONE_WEBHOOK
        await asyncio.wait(service._under_way)
        log = await log_of(client, owner, hooks, hung)
        errors = {one["error"] for delivery in log for one in delivery["tries"]}
        assert errors == {"No answer within 0.5 seconds."}


async def test_whoever_died_while_sending_has_lost_nothing(client, here, owner, project, hooks):
    there, resources = here
    webhook = await make_webhook(client, owner, hooks, there.url, "complete")
    await reingest(client, resources, owner, project)
    async with resources.uow() as uow:
        taken = await uow.webhooks.take_due(hold=timedelta(seconds=0.3), besides=())
    assert taken is not None
    await deliver(resources)
    assert there.received == [], "it is somebody's for now"
    await asyncio.sleep(0.35)
    await deliver(resources)
    assert len(there.received) == 1
    [log] = await log_of(client, owner, hooks, webhook)
    assert (log["status"], log["attempts"], len(log["tries"])) == ("succeeded", 2, 1)
    async with resources.uow() as uow:
        late = await uow.webhooks.settle(taken[0], {}, status="failed", again_in=timedelta(0))
    assert late is False, "whoever was thought dead changes nothing any more"


async def test_of_progress_only_the_latest_word_is_sent_and_none_after_the_end(client, here, owner, project, hooks):
    there, resources = here
    webhook = await make_webhook(client, owner, hooks, there.url, "progress")
    tasks = [uuid4(), uuid4()]

    async def report(task, fraction: float) -> None:
        async with resources.uow() as uow:
            values = {"project_id": project, "task_type": "probe", "message": "", "progress": fraction}
            await uow.webhooks.note_progress(TaskProgress(task_id=task, **values))

    for fraction in (0.1, 0.2, 0.3):
        for task in tasks:
            await report(task, fraction)
    assert len(await log_of(client, owner, hooks, webhook)) == 2
    await execute(resources, update(WebhookDelivery).values(run_after=WebhookDelivery.created_at))
    await deliver(resources)
    assert {(message.json["data"]["task_id"], message.json["data"]["progress"]) for message in there.received} == {
        (str(task), 0.3) for task in tasks
    }
    await report(tasks[0], 0.9)
    async with resources.uow() as uow:
        ended = TaskCompleted(project_id=project, task_id=tasks[0], task_type="probe", result={}, duration=1)
        await uow.events.append(ended.project_id, ended)
    assert [one["status"] for one in await log_of(client, owner, hooks, webhook)] == ["succeeded"] * 2


async def test_a_project_has_so_many_webhooks_and_the_log_is_forgotten(
    client, application, resources, owner, project, hooks
):
    async with receiver() as there:
        reaching = with_webhooks(resources, there, per_project=2, retention=timedelta(days=1))
        application.state.resources = reaching
        webhook, _ = [await make_webhook(client, owner, hooks, there.url) for _ in range(2)]
        assert code_of(await client.post(hooks, json={"url": there.url}, headers=owner.headers)) == (409, "CONFLICT")
        for _ in range(2):
            await client.post(f"{hooks}/{webhook['id']}/ping", headers=owner.headers)
        await deliver(reaching)
        log = await log_of(client, owner, hooks, webhook)
        old = update(WebhookDelivery).where(WebhookDelivery.id == log[0]["id"])
        await execute(reaching, old.values(finished_at=WebhookDelivery.created_at - timedelta(days=2)))
        await reaching.services.workspace.deliveries.sweep()
        assert await log_of(client, owner, hooks, webhook) == log[1:]
        assert (await client.delete(f"{hooks}/{webhook['id']}", headers=owner.headers)).status_code == 204
        assert len((await client.get(hooks, headers=owner.headers)).json()["items"]) == 1


async def test_only_owners_manage_webhooks(client, here, owner, project, hooks):
    there, _ = here
    editor = await make_user(client, "Editor")
    await share(client, owner, project, editor, "editor")
    webhook = await make_webhook(client, owner, hooks, there.url)
    for path in (hooks, f"{hooks}/{webhook['id']}", f"{hooks}/{webhook['id']}/deliveries"):
        assert code_of(await client.get(path, headers=editor.headers)) == (403, "PERMISSION_DENIED")
    elsewhere = (await make_project(client, owner, "Other"))["id"]
    foreign = await client.get(f"{hooks.replace(project, elsewhere)}/{webhook['id']}", headers=owner.headers)
    assert code_of(foreign) == (404, "RESOURCE_NOT_FOUND")
    for bad in ({}, {"url": there.url, "events": []}, {"url": there.url, "events": ["dance"]}, {"url": ""}):
        assert code_of(await client.post(hooks, json=bad, headers=owner.headers)) == (422, "VALIDATION_ERROR")
