"""Long conversations are summed up for the spirit, and what is taken back is summed up no more."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.models import RoomSummary
from app.resources import Resources
from app.services import build_services
from app.settings import ChatSettings
from tests.factories import User, make_user
from tests.library import with_model
from tests.llm_server import LanguageServer, Script, serve_language_model
from tests.tasks.test_answer_message import open_room, say
from tests.work import run_queued_tasks

WINDOW = 4
NOTES = "Ada likes Earl Grey."


def is_summary(request: dict[str, Any]) -> bool:
    return "You keep notes" in request["messages"][0]["content"]


@pytest.fixture
async def model() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        server.answer = lambda request: Script([NOTES]) if is_summary(request) else Script(["Very well."])
        yield server


@pytest.fixture
async def told(resources: Resources, model: LanguageServer) -> AsyncIterator[Resources]:
    """Resources with a language model, and a spirit with a short memory."""
    short = resources.settings.model_copy(update={"chat": ChatSettings(history_messages=WINDOW)})
    changed = replace(resources, foundation=replace(resources.foundation, settings=short))
    async with with_model(changed, model.url) as speaking:
        yield speaking


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


@pytest.fixture
async def room(client: AsyncClient, ada: User) -> dict:
    return await open_room(client, ada, spirit_mode="mention")


async def memory_of(resources: Resources, room: dict) -> RoomSummary | None:
    async with resources.uow() as uow:
        return await uow.room_summaries.get(UUID(room["id"]))


async def talk(client: AsyncClient, user: User, room: dict, count: int) -> list[dict]:
    return [await say(client, user.headers, room, f"remark {number}") for number in range(count)]


async def test_what_falls_out_of_the_window_is_summed_up_and_shown(client, told, model, ada, room):
    said = await talk(client, ada, room, 2 * WINDOW)
    await say(client, ada.headers, room, "@Spirit, what do I like?")
    await run_queued_tasks(told)
    memory = await memory_of(told, room)
    assert memory is not None
    assert memory.text == NOTES
    [summed_up] = [request["messages"][1]["content"] for request in model.requests if is_summary(request)]
    assert "Ada: remark 0" in summed_up
    assert f"remark {2 * WINDOW - 1}" not in summed_up
    assert said[0]["seq"] <= memory.upto_seq < said[-1]["seq"]

    await say(client, ada.headers, room, "@Spirit, and what else?")
    await run_queued_tasks(told)
    turns = [turn["content"] for turn in model.requests[-1]["messages"]]
    assert NOTES in turns[1]
    assert not any("remark 0" in turn for turn in turns)
    assert any(f"remark {2 * WINDOW - 1}" in turn for turn in turns)


async def test_a_summary_that_tells_of_a_deleted_message_is_made_anew_without_it(client, told, model, ada, room):
    said = await talk(client, ada, room, 2 * WINDOW)
    await say(client, ada.headers, room, "@Spirit, what do I like?")
    await run_queued_tasks(told)
    assert await memory_of(told, room) is not None
    path = f"/api/v1/chat/{room['id']}/messages"
    await client.delete(f"{path}/{said[-1]['id']}", headers=ada.headers)
    assert await memory_of(told, room) is not None, "it does not tell of this one"
    await client.delete(f"{path}/{said[0]['id']}", headers=ada.headers)
    assert await memory_of(told, room) is None
    model.requests.clear()
    await say(client, ada.headers, room, "@Spirit, what do I like?")
    await run_queued_tasks(told)
    [summed_up] = [request["messages"][1]["content"] for request in model.requests if is_summary(request)]
    assert "remark 0" not in summed_up
    assert "remark 1" in summed_up


async def test_what_is_deleted_while_it_is_summed_up_is_not_kept(client, told, model, ada, room):
    said = await talk(client, ada, room, 2 * WINDOW)
    path = f"/api/v1/chat/{room['id']}/messages/{said[0]['id']}"
    service = told.services.summaries
    sum_up = service._sum_up

    async def delete_meanwhile(*arguments: Any) -> str:
        await client.delete(path, headers=ada.headers)
        return await sum_up(*arguments)

    service._sum_up = delete_meanwhile  # the moment that matters
    await say(client, ada.headers, room, "@Spirit, what do I like?")
    await run_queued_tasks(told)
    assert any(is_summary(request) for request in model.requests)
    assert await memory_of(told, room) is None


async def test_without_a_model_the_last_messages_are_all_there_is(client, resources, ada, room):
    await talk(client, ada, room, 2 * WINDOW)
    short = resources.settings.model_copy(update={"chat": ChatSettings(history_messages=WINDOW)})
    foundation = replace(resources.foundation, settings=short)
    presence = resources.services.sessions._presence
    services = build_services(foundation, resources.uow, resources.hub, presence)
    recalled = await services.summaries.recall(UUID(room["id"]), before_seq=99)
    assert [message.text for message in recalled.said] == [f"remark {number}" for number in range(WINDOW, 2 * WINDOW)]
    assert recalled.summary == ""
    await say(client, ada.headers, room, "@Spirit, what do I like?")
    await run_queued_tasks(resources)
    assert await memory_of(resources, room) is None
