"""The language model proposes what of a conversation to remember, and may point only to what was said."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.resources import Resources
from tests.api.test_candidates import candidates_of, make_room, say
from tests.factories import User, make_project, make_user, share
from tests.library import with_model
from tests.llm_server import LanguageServer, Script, serve_language_model
from tests.memories import listed
from tests.work import run_queued_tasks


@pytest.fixture
async def model() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        yield server


@pytest.fixture
async def told(
    client: AsyncClient, application: FastAPI, resources: Resources, model: LanguageServer
) -> AsyncIterator[Resources]:
    """Resources with a language model, which the application has too."""
    async with with_model(resources, model.url) as speaking:
        application.state.resources = speaking
        yield speaking


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> dict[str, Any]:
    return await make_project(client, owner)


def lines(*proposals: dict[str, Any] | str) -> Script:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in proposals)
    return Script([text[at : at + 9] for at in range(0, len(text), 9)])


async def extract(
    client: AsyncClient, resources: Resources, user: User, project: dict[str, Any], room: str
) -> dict[str, Any]:
    """The task, when it has ended."""
    body = {"task_type": "extract_memories", "params": {"session_id": room}}
    started = await client.post(f"/api/v1/projects/{project['id']}/tasks", json=body, headers=user.headers)
    assert started.status_code == 202, started.text
    await run_queued_tasks(resources)
    return (await client.get(f"/api/v1/tasks/{started.json()['id']}", headers=user.headers)).json()


async def test_a_model_proposes_what_was_said_and_a_person_decides(client, told, model, owner, project):
    room = await make_room(client, owner, project_id=project["id"])
    first = await say(client, owner, room, "Anna moved to Bergen in May 2021.")
    second = await say(client, owner, room, "And she took the cat along.")
    model.say(
        lines(
            {
                "content": "Anna moved to Bergen and took the cat.",
                "messages": [1, 2, 1],
                "people": ["Anna", "Someone Else"],
                "when": "2021-05",
            }
        )
    )
    ended = await extract(client, told, owner, project, room)
    assert (ended["status"], ended["result"]) == ("succeeded", {"candidates": 1})
    [request] = model.requests
    asked = request["messages"][-1]["content"].splitlines()
    assert [line.split("]")[0] for line in asked] == ["[1", "[2"]
    assert asked[0].endswith(f"{owner.name}: Anna moved to Bergen in May 2021.")

    [candidate] = await candidates_of(client, owner)
    assert candidate["content"] == "Anna moved to Bergen and took the cat."
    assert (candidate["occurred_local"], candidate["precision"]) == ("2021-05-01T00:00:00", "month")
    assert candidate["people"] == ["Anna"]  # nobody spoke of the other one
    assert candidate["source"]["ids"] == {"session_id": room, "message_ids": [first["id"], second["id"]]}
    assert (await listed(client, owner))["items"] == []


async def test_what_points_to_nothing_that_was_said_is_left_out(client, told, model, owner, project):
    room = await make_room(client, owner, project_id=project["id"])
    await say(client, owner, room, "The boat was sold.")
    model.say(
        lines(
            "Here is what I found:",
            {"content": "Of no message.", "messages": []},
            {"content": "Of a message that is not there.", "messages": [7, 0, -1]},
            {"content": "Of no day.", "messages": [1], "when": "the day after"},
            {"content": " \u200b\x07 ", "messages": [1]},
            {"content": "x" * 2_001, "messages": [1]},
            {"messages": [1]},
            '{"content": "cut off", "messages": [1',
            "[" * 20_000,
            "{" * 5_000,
            {"content": "The boat was \x07sold.", "messages": [1], "when": None, "confidence": "high"},
        )
    )
    ended = await extract(client, told, owner, project, room)
    assert ended["result"] == {"candidates": 1}
    [candidate] = await candidates_of(client, owner)
    assert (candidate["content"], candidate["precision"]) == ("The boat was sold.", "day")


async def test_a_model_that_goes_on_and_on_proposes_so_many(client, told, model, owner, project):
    room = await make_room(client, owner, project_id=project["id"])
    await say(client, owner, room, "A long day.")
    model.say(lines(*({"content": f"Thing number {number}.", "messages": [1]} for number in range(60))))
    assert (await extract(client, told, owner, project, room))["result"] == {"candidates": 50}


async def test_proposals_are_for_whoever_asks_and_only_of_rooms_that_they_see(client, told, model, owner, project):
    friend = await make_user(client, "Friend")
    await share(client, owner, project["id"], friend, "editor")
    shared = await make_room(client, owner, project_id=project["id"])
    hidden = await make_room(client, owner)
    await say(client, owner, shared, "We painted the fence.")
    await say(client, owner, hidden, "A secret.")
    model.say(lines({"content": "The fence was painted.", "messages": [1]}))
    assert (await extract(client, told, friend, project, shared))["result"] == {"candidates": 1}
    assert await candidates_of(client, owner) == []
    assert len(await candidates_of(client, friend)) == 1
    for room in (hidden, str(uuid4())):
        ended = await extract(client, told, friend, project, room)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "RESOURCE_NOT_FOUND")
    assert len(model.requests) == 1


async def test_a_silent_room_asks_no_model(client, told, model, owner, project):
    room = await make_room(client, owner, project_id=project["id"])
    assert (await extract(client, told, owner, project, room))["result"] == {"candidates": 0}
    assert model.requests == []
