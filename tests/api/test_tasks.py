"""Long-running work through the public door."""

from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from tests.factories import User, make_project, make_user, share
from tests.work import run_queued_tasks

TASKS = "/api/v1/tasks"


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


async def start(
    client: AsyncClient, user: User, project_id: str, task_type: str = "reingest_project", **params
) -> Response:
    body = {"task_type": task_type, "params": params}
    return await client.post(f"/api/v1/projects/{project_id}/tasks", json=body, headers=user.headers)


async def add_text(client: AsyncClient, user: User, project_id: str, text: str) -> dict:
    body = {"text": text, "project_id": project_id}
    return (await client.post("/api/v1/documents", json=body, headers=user.headers)).json()


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_a_started_task_is_queued_done_and_tells_its_result(client, resources, ada):
    project = await make_project(client, ada)
    document = (await add_text(client, ada, project["id"], "The lamp is lit."))["document"]
    await run_queued_tasks(resources)
    accepted = await start(client, ada, project["id"], only_failed=False)
    assert accepted.status_code == 202
    task = accepted.json()
    assert accepted.headers["location"] == f"{TASKS}/{task['id']}"
    assert (task["status"], task["progress"], task["params"], task["quality"]) == (
        "queued",
        0,
        {"only_failed": False},
        "standard",
    )
    await run_queued_tasks(resources)
    done = (await client.get(accepted.headers["location"], headers=ada.headers)).json()
    assert (done["status"], done["result"], done["error"], done["attempts"]) == ("succeeded", {"documents": 1}, None, 1)
    assert task["created_at"] <= done["started_at"] <= done["finished_at"]
    read = (await client.get(f"/api/v1/documents/{document['id']}", headers=ada.headers)).json()
    assert (read["status"], read["chunk_count"]) == ("ready", 1)
    nothing = await start(client, ada, project["id"], only_failed=True)
    await run_queued_tasks(resources)
    done = (await client.get(nothing.headers["location"], headers=ada.headers)).json()
    assert done["result"] == {"documents": 0}


async def test_only_known_types_with_fitting_parameters_can_be_started(client, ada):
    project = await make_project(client, ada)
    types = (await client.get("/api/v1/task-types", headers=ada.headers)).json()
    by_name = {kind["name"]: kind for kind in types}
    startable = {name: kind["may_be_started"] for name, kind in by_name.items()}
    assert startable.items() >= {"ingest_document": False, "reingest_project": True}.items()
    assert "answer_message" not in startable
    assert by_name["reingest_project"]["params"]["properties"]["only_failed"]["type"] == "boolean"
    assert by_name["ingest_document"]["presets"]["draft"] == {"passage_tokens": 254, "passage_overlap": 0}

    unknown = await start(client, ada, project["id"], "make_coffee")
    assert code_of(unknown) == (422, "VALIDATION_ERROR")
    assert "reingest_project" in unknown.json()["error"]["message"]
    assert code_of(await start(client, ada, project["id"], "ingest_document")) == (422, "VALIDATION_ERROR")
    unfit = await start(client, ada, project["id"], only_failed="perhaps")
    assert code_of(unfit) == (422, "VALIDATION_ERROR")
    assert unfit.json()["error"]["details"]["errors"][0]["loc"] == ["body", "params.only_failed"]
    assert (await start(client, ada, project["id"], sugar=2)).status_code == 422
    assert (await start(client, ada, project["id"])).status_code == 202


async def test_members_see_tasks_and_editors_start_and_cancel_them(client, ada):
    project = await make_project(client, ada)
    grace, eve, mallory = [await make_user(client, name) for name in ("Grace", "Eve", "Mallory")]
    await share(client, ada, project["id"], grace, "editor")
    await share(client, ada, project["id"], eve, "viewer")
    assert (await start(client, eve, project["id"])).status_code == 403
    assert (await start(client, mallory, project["id"])).status_code == 404
    path = (await start(client, grace, project["id"])).headers["location"]
    for user, seen, listed in ((ada, 200, 1), (eve, 200, 1), (mallory, 404, 0)):
        assert (await client.get(path, headers=user.headers)).status_code == seen
        assert len((await client.get(TASKS, headers=user.headers)).json()["items"]) == listed
    assert (await client.delete(path, headers=mallory.headers)).status_code == 404
    assert (await client.delete(path, headers=eve.headers)).status_code == 403
    cancelled = await client.delete(path, headers=grace.headers)
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")


async def test_cancelling_twice_is_the_same_and_what_has_ended_cannot_be_cancelled(client, resources, ada):
    project = await make_project(client, ada)
    path = (await start(client, ada, project["id"])).headers["location"]
    answers = [await client.delete(path, headers=ada.headers) for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "cancelled")] * 2
    path = (await start(client, ada, project["id"])).headers["location"]
    await run_queued_tasks(resources)
    assert code_of(await client.delete(path, headers=ada.headers)) == (409, "CONFLICT")
    assert code_of(await client.delete(f"{TASKS}/{uuid4()}", headers=ada.headers)) == (404, "RESOURCE_NOT_FOUND")


async def test_a_task_of_anybody_is_tried_again_by_those_who_may_change_its_project(client, ada):
    project = await make_project(client, ada)
    path = (await start(client, ada, project["id"])).headers["location"]
    assert code_of(await client.post(f"{path}/retry", headers=ada.headers)) == (409, "CONFLICT")
    await client.delete(path, headers=ada.headers)
    again = await client.post(f"{path}/retry", headers=ada.headers)
    assert (again.status_code, again.json()["status"], again.json()["error"]) == (202, "queued", None)


async def test_a_schedule_is_made_listed_changed_and_deleted(client, ada):
    project = await make_project(client, ada)
    path, body = f"/api/v1/projects/{project['id']}/schedules", {"task_type": "reingest_project", "name": "Nightly"}
    refused = await client.post(path, json=body | {"cron": "0 0 31 2 *"}, headers=ada.headers)
    assert code_of(refused) == (422, "VALIDATION_ERROR")
    assert "Bad day-of-month" in refused.json()["error"]["details"]["errors"][0]["msg"]
    assert (
        await client.post(path, json=body | {"cron": "0 3 * * *", "params": {"x": 1}}, headers=ada.headers)
    ).is_error
    made = await client.post(path, json=body | {"cron": "0 3 * * *", "timezone": "Asia/Tokyo"}, headers=ada.headers)
    assert made.status_code == 201, made.text
    assert made.json()["next_run_at"][11:16] == "18:00"
    where = made.headers["location"]
    changed = await client.patch(
        where, json={"cron": "30 3 * * *"}, headers=ada.headers | {"If-Match": made.headers["etag"]}
    )
    assert (changed.json()["next_run_at"][11:16], changed.json()["name"]) == ("18:30", "Nightly")
    stale = await client.patch(
        where, json={"is_paused": True}, headers=ada.headers | {"If-Match": made.headers["etag"]}
    )
    assert stale.status_code == 412
    paused = await client.patch(where, json={"is_paused": True}, headers=ada.headers)
    assert (paused.json()["is_paused"], paused.json()["next_run_at"]) == (True, None)
    listed = await client.get("/api/v1/schedules", params={"project_id": project["id"]}, headers=ada.headers)
    assert [schedule["id"] for schedule in listed.json()["items"]] == [made.json()["id"]]
    assert (await client.delete(where, headers=ada.headers)).status_code == 204
    assert (await client.get(where, headers=ada.headers)).status_code == 404


async def test_lists_are_filtered_and_paged(client, resources, ada):
    project, other = await make_project(client, ada), await make_project(client, ada, "Other")
    first = (await add_text(client, ada, project["id"], "one"))["task"]["id"]
    await run_queued_tasks(resources)
    second = (await start(client, ada, project["id"])).json()["id"]
    third = (await start(client, ada, other["id"])).json()["id"]

    async def ids(**params: str) -> list[str]:
        listed = await client.get(TASKS, params=params, headers=ada.headers)
        assert listed.status_code == 200, listed.text
        return [task["id"] for task in listed.json()["items"]]

    assert await ids() == [third, second, first]
    assert await ids(project_id=project["id"]) == [second, first]
    assert await ids(status="succeeded") == [first]
    assert await ids(task_type="reingest_project", project_id=other["id"]) == [third]
    page = (await client.get(TASKS, params={"limit": 2}, headers=ada.headers)).json()
    assert await ids(cursor=page["next_cursor"]) == [first]
    assert (await client.get(TASKS, params={"status": "lost"}, headers=ada.headers)).status_code == 422
