"""The state of a project: one JSON object that many programs change at the same time."""

import asyncio
import json
from dataclasses import replace

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from app.resources import Resources
from app.services.project_states import merged
from tests.factories import User, make_project, make_user, share
from tests.processes import LiveServer
from tests.rooms import visit


@pytest.fixture
async def path(client: AsyncClient, owner: User) -> str:
    return f"/api/v1/projects/{(await make_project(client, owner))['id']}/state"


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_a_state_is_replaced_and_merged_and_every_change_has_a_version(client: AsyncClient, owner, path):
    none = await client.get(path, headers=owner.headers)
    assert (none.json(), none.headers["etag"], none.headers["x-state-ttl"]) == ({}, '"0"', "0")
    first = await client.put(path, headers=owner.headers, json={"scene": {"id": 1, "lamps": []}, "zoom": 1.5})
    assert (first.status_code, first.json()) == (200, {"scene": {"id": 1, "lamps": []}, "zoom": 1.5})
    patch = {"scene": {"id": 12345678901234567, "new": None}, "zoom": None, "who": {"a": {"b": None}}}
    content = {
        "content": json.dumps(patch),
        "headers": owner.headers | {"Content-Type": "application/merge-patch+json"},
    }
    second = await client.patch(path, **content)
    assert second.json() == {"scene": {"id": 12345678901234567, "lamps": []}, "who": {"a": {}}}
    read = await client.get(path, headers=owner.headers)
    assert (read.json(), read.headers["etag"]) == (second.json(), second.headers["etag"])
    assert int(second.headers["etag"].strip('"')) == int(first.headers["etag"].strip('"')) + 1
    assert 604_700 < int(read.headers["x-state-ttl"]) <= 604_800
    not_modified = await client.get(path, headers=owner.headers | {"If-None-Match": read.headers["etag"]})
    assert not_modified.status_code == 304
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    again = await client.put(path, headers=owner.headers, json={})
    assert int(again.headers["etag"].strip('"')) > int(second.headers["etag"].strip('"')), "no version comes twice"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_is_as_the_standard_says(target, patch, result):
    assert merged(target, patch) == result


async def test_a_change_that_is_based_on_an_old_version_is_refused(client: AsyncClient, owner, path):
    made = await client.put(path, headers=owner.headers | {"If-Match": '"0"'}, json={"a": 1})
    assert made.status_code == 200
    late = await client.put(path, headers=owner.headers | {"If-Match": '"0"'}, json={"a": 2})
    assert code_of(late) == (412, "PRECONDITION_FAILED")
    current = owner.headers | {"If-Match": made.headers["etag"]}
    assert (await client.patch(path, headers=current, json={"b": 1})).status_code == 200
    for method, content in (("PUT", {"json": {}}), ("PATCH", {"json": {}}), ("DELETE", {})):
        stale = await client.request(method, path, headers=current, **content)
        assert code_of(stale) == (412, "PRECONDITION_FAILED")
    assert (await client.get(path, headers=owner.headers)).json() == {"a": 1, "b": 1}


def nested(levels: int) -> dict:
    state: dict = {}
    for _ in range(levels - 1):
        state = {"a": state}
    return state


async def test_what_is_too_large_too_deep_or_no_json_object_is_refused(client: AsyncClient, owner, path):
    assert (await client.put(path, headers=owner.headers, json={"a": "x" * 65_000, "b": nested(30)})).status_code == 200
    for method in ("PUT", "PATCH"):
        large = await client.request(method, path, headers=owner.headers, json={"c": "x" * 70_000})
        assert code_of(large) == (413, "PAYLOAD_TOO_LARGE")
        deep = await client.request(method, path, headers=owner.headers, json=nested(34))
        assert code_of(deep) == (422, "VALIDATION_ERROR")
        for bad in ('{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[1]", '"a"', "null", "{", ""):
            refused = await client.request(
                method, path, headers=owner.headers | {"Content-Type": "application/json"}, content=bad
            )
            assert code_of(refused) == (422, "VALIDATION_ERROR"), bad
    grown = await client.patch(path, headers=owner.headers, json={"d": "x" * 600})
    assert code_of(grown) == (413, "PAYLOAD_TOO_LARGE"), "what it would be is what counts"
    assert set((await client.get(path, headers=owner.headers)).json()) == {"a", "b"}
    for ttl in (0, -1, "x", 10**12):
        refused = await client.put(path, headers=owner.headers, json={}, params={"ttl": ttl})
        assert code_of(refused) == (422, "VALIDATION_ERROR")


async def test_a_state_is_forgotten_after_its_time_and_with_its_project(
    client: AsyncClient, resources: Resources, owner, path
):
    await client.put(path, headers=owner.headers, json={"a": 1}, params={"ttl": 1})
    redis: Redis = resources.foundation.redis
    key = f"{resources.settings.redis.prefix}project:{path.split('/')[4]}:state"
    assert 0 < await redis.pttl(key) <= 1000
    await redis.pexpire(key, 1)
    await asyncio.sleep(0.01)
    assert (await client.get(path, headers=owner.headers)).json() == {}
    await client.put(path, headers=owner.headers, json={"a": 1}, params={"ttl": 10_000_000})
    assert await redis.pttl(key) <= 604_800_000, "not longer than the server allows"
    assert (await client.delete(path.removesuffix("/state"), headers=owner.headers)).status_code == 204
    assert not await redis.exists(key)


async def test_viewers_read_a_state_and_strangers_do_not(client: AsyncClient, owner, path):
    viewer, stranger = await make_user(client, "Viewer"), await make_user(client, "Stranger")
    await share(client, owner, path.split("/")[4], viewer, "viewer")
    await client.put(path, headers=owner.headers, json={"a": 1})
    assert (await client.get(path, headers=viewer.headers)).json() == {"a": 1}
    assert code_of(await client.patch(path, headers=viewer.headers, json={"a": 2})) == (403, "PERMISSION_DENIED")
    assert code_of(await client.get(path, headers=stranger.headers)) == (404, "RESOURCE_NOT_FOUND")
    assert code_of(await client.put(path, headers=stranger.headers, json={})) == (404, "RESOURCE_NOT_FOUND")


async def test_without_redis_the_state_is_unavailable_and_says_so(
    client: AsyncClient, application, resources: Resources, owner, path
):
    away = Redis(port=1, socket_connect_timeout=1)
    services = resources.services
    service = services.workspace.states
    states = type(service._states)(away, prefix="none:")
    astray = type(service)(resources.uow, states, resources.hub, resources.settings.project)
    workspace = replace(services.workspace, states=astray)
    application.state.resources = replace(resources, services=replace(services, workspace=workspace))
    for method, content in (("GET", {}), ("PUT", {"json": {}}), ("PATCH", {"json": {}}), ("DELETE", {})):
        response = await client.request(method, path, headers=owner.headers, **content)
        assert code_of(response) == (503, "SERVICE_UNAVAILABLE")
        assert int(response.headers["retry-after"]) > 0
    await away.aclose()


async def test_writers_on_two_processes_lose_nothing_and_everybody_is_told(live: LiveServer, start_another):
    other = await start_another()
    async with live.client() as here, other.client() as there:
        ada = await make_user(here)
        project = (await make_project(here, ada))["id"]
        path = f"/api/v1/projects/{project}/state"
        async with visit(other, project, ada.headers) as visitor:
            await visitor.next_of("welcome")
            names = [f"{where}{number}" for where in "ab" for number in range(40)]
            writes = [
                (here if name[0] == "a" else there).patch(path, headers=ada.headers, json={name: 1, "last": name})
                for name in names
            ]
            answers = await asyncio.gather(*writes)
            assert [answer.status_code for answer in answers] == [200] * 80
            state = (await here.get(path, headers=ada.headers)).json()
            assert set(state) == {*names, "last"}
            told = [await visitor.next_of("state_changed") for _ in names]
        versions = sorted(frame["version"] for frame in told)
        assert versions == list(range(versions[0], versions[0] + 80))
        assert {name for frame in told for name in frame["changes"]} == {*names, "last"}
        assert {(frame["project_id"], frame["by"]) for frame in told} == {(project, ada.id)}
        one = await asyncio.gather(
            *(
                (here if number % 2 else there).put(
                    path, headers=ada.headers | {"If-Match": f'"{versions[-1]}"'}, json={"won": number}
                )
                for number in range(8)
            )
        )
        assert sorted(answer.status_code for answer in one) == [200] + [412] * 7
