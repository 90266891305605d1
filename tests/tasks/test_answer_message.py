"""The spirit in a room: from the room's documents, heard while it speaks, and said once whatever happens."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import func, text, update

from app.models import Task
from app.models import User as UserRow
from app.permissions import Principal
from app.realtime.state import AnswerState
from app.resources import Resources
from app.services import spirit
from app.services.chat import ANSWER_MESSAGE, Answer
from app.services.spirit import HELD_BACK, NO_ANSWER, NOTHING_FITS
from app.tasks.answer_message import AnswerMessage
from app.tasks.worker import Worker
from tests.factories import User, execute, make_project, make_user
from tests.library import BEES, LIGHTHOUSE, add_text, with_model
from tests.llm_server import LanguageServer, Script, serve_language_model
from tests.tasks.probes import Place, heard, lease_one, until
from tests.work import run_queued_tasks

QUESTION = "How high is the tower of the lighthouse on Gull Rock?"


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


@pytest.fixture
async def room(client: AsyncClient, resources: Resources, ada: User) -> dict:
    """A room in Ada's default project, which holds a document."""
    await add_text(client, resources, ada, LIGHTHOUSE, "Gull Rock")
    return await open_room(client, ada)


@pytest.fixture
async def model() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        yield server


@pytest.fixture
async def told(resources: Resources, model: LanguageServer) -> AsyncIterator[Resources]:
    """The same resources with a language model."""
    async with with_model(resources, model.url) as speaking:
        yield speaking


async def open_room(client: AsyncClient, user: User, **fields: object) -> dict:
    response = await client.post("/api/v1/sessions", json={"name": "Evening", **fields}, headers=user.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def say(client: AsyncClient, headers: dict[str, str], room: dict, text: str) -> dict:
    response = await client.post(f"/api/v1/chat/{room['id']}/messages", json={"text": text}, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def said(client: AsyncClient, user: User, room: dict) -> list[dict]:
    """What the spirit said, the oldest first."""
    response = await client.get(f"/api/v1/chat/{room['id']}/messages?after_seq=0", headers=user.headers)
    return [message for message in response.json()["items"] if message["is_spirit"]]


def place_of(user: User, room: dict) -> Place:
    return Place(Principal(UUID(user.id), user.name), UUID(room["id"]))


@asynccontextmanager
async def answering(resources: Resources) -> AsyncIterator[asyncio.Event]:
    """A worker that lets the spirit speak, for the length of the block or until the event is set."""
    stop = asyncio.Event()
    worker = asyncio.create_task(Worker(resources, [AnswerMessage(resources.services.spirit)]).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(15):
            await worker


async def test_without_a_model_the_spirit_quotes_the_rooms_documents_or_says_what_it_can(client, resources, ada, room):
    asked = await say(client, ada.headers, room, f"@Spirit, {QUESTION}")
    await run_queued_tasks(resources)
    [answer] = await said(client, ada, room)
    assert (answer["in_reply_to"], answer["user_id"], answer["user_name"]) == (asked["id"], None, "Spirit")
    assert "43 metres" in answer["text"]
    assert answer["citations"][0]["quote"] in LIGHTHOUSE
    assert answer["citations"][0]["title"] == "Gull Rock"

    await say(client, ada.headers, room, "Good evening, how are you?")
    await run_queued_tasks(resources)
    await say(client, ada.headers, room, "Who built the lighthouse?")
    await say(client, ada.headers, room, "And when did he build it?")
    await run_queued_tasks(resources)
    _, small_talk, _, following = await said(client, ada, room)
    assert (small_talk["text"], small_talk["citations"]) == (NOTHING_FITS, [])
    assert "Ada Thorne" in following["text"]


async def test_the_spirit_knows_the_rooms_project_alone(client, resources, ada):
    await add_text(client, resources, ada, LIGHTHOUSE, "Gull Rock")
    other = await make_project(client, ada)
    await add_text(client, resources, ada, BEES, "Bees", project_id=other["id"])
    room = await open_room(client, ada, project_id=other["id"])
    await say(client, ada.headers, room, QUESTION)
    await say(client, ada.headers, room, "How many eggs does the queen of the bees lay a day?")
    await run_queued_tasks(resources)
    nothing, found = await said(client, ada, room)
    assert nothing["text"] == NOTHING_FITS
    assert "2,000 eggs" in found["text"]


async def test_a_guest_is_answered_from_the_documents_of_a_room_that_shares_them(client, resources, ada, room):
    share = {"shares_documents": True}
    await client.patch(f"/api/v1/sessions/{room['id']}", json=share, headers=ada.headers)
    invite = await client.post(f"/api/v1/sessions/{room['id']}/invites", json={}, headers=ada.headers)
    body = {"invite": invite.json()["invite"], "name": "Ben"}
    guest = (await client.post("/api/v1/sessions/join", json=body)).json()
    headers = {"Authorization": f"Bearer {guest['access_token']}"}
    await say(client, headers, room, QUESTION)
    await run_queued_tasks(resources)
    [answer] = await said(client, ada, room)
    assert "43 metres" in answer["text"]
    refused = await client.post("/api/v1/query", json={"question": QUESTION}, headers=headers)
    assert refused.status_code == 403


async def test_with_a_model_it_is_heard_while_it_speaks_and_knows_what_was_said(client, told, model, ada, room):
    model.say(Script(["Good evening", "!"]), Script(["It is ", "43", " metres", " high [1]", ", Ada [5]."], pause=0.03))
    await say(client, ada.headers, room, "Good evening")
    await run_queued_tasks(told)
    asked = await say(client, ada.headers, room, QUESTION)
    async with heard(told, place_of(ada, room)) as frames:
        await run_queued_tasks(told)
    tokens = [frame for frame in frames if frame["type"] == "spirit_token"]
    assert [frame["type"] for frame in frames] == [
        "spirit_thinking",
        *["spirit_token"] * len(tokens),
        "message_received",
    ]
    assert {frame["in_reply_to"] for frame in frames} == {asked["id"]}
    message = frames[-1]
    assert message["text"] == "It is 43 metres high [1], Ada."
    assert "".join(token["delta"] for token in tokens) == message["text"]
    assert len(tokens) > 1
    starts = [len("".join(token["delta"] for token in tokens[:number])) for number in range(len(tokens))]
    assert [token["offset"] for token in tokens] == starts
    assert [citation["marker"] for citation in message["citations"]] == [1]
    assert message["citations"][0]["quote"] in LIGHTHOUSE
    conversation = model.requests[1]["messages"]
    assert [turn["role"] for turn in conversation] == ["system", "user", "assistant", "user"]
    assert [turn["content"] for turn in conversation[1:3]] == ["Ada: Good evening", "Good evening!"]
    assert "<passage number=" not in model.requests[0]["messages"][-1]["content"]
    assert "<passage number=" in conversation[-1]["content"]


async def test_an_answer_that_is_stopped_stays_as_far_as_it_came(client, told, model, ada, room):
    model.say(Script(["It is", " forty", "-three"], hang_after=2))
    await say(client, ada.headers, room, QUESTION)
    place = place_of(ada, room)
    async with heard(told, place) as frames, answering(told):
        await until(lambda: contains(frames, "forty"))
        stopped = time.monotonic()
        await told.services.chat.stop(place.actor, place.project_id)
        await model.wait_for_hang_up()
        assert time.monotonic() - stopped < 1
        await until(lambda: is_said(client, ada, room))
    assert [(answer["text"], answer["is_partial"]) for answer in await said(client, ada, room)] == [
        ("It is forty…", True)
    ]


async def test_a_worker_that_stops_leaves_the_answer_to_another(client, told, model, ada, room):
    model.say(Script(["It is", " high"], hang_after=1), Script(["It is 43 metres high [1]."]))
    await say(client, ada.headers, room, QUESTION)
    async with heard(told, place_of(ada, room)) as frames:
        async with answering(told):
            await until(lambda: contains(frames, "It is"))
        assert await said(client, ada, room) == []
        async with answering(told):
            await until(lambda: is_said(client, ada, room))
    assert [answer["text"] for answer in await said(client, ada, room)] == ["It is 43 metres high [1]."]


async def test_the_half_answer_of_a_killed_worker_is_marked_when_nobody_goes_on_with_it(client, told, model, ada, room):
    asked = await say(client, ada.headers, room, QUESTION)
    task = await lease_one(told.services.execution, ANSWER_MESSAGE)
    assert task is not None
    state = AnswerState(told.foundation.redis, prefix=told.settings.redis.prefix)
    await state.append(UUID(room["id"]), UUID(asked["id"]), "It is forty")
    await execute(told, update(Task).where(Task.id == task.id).values(leased_until=func.now() - text("interval '1 s'")))
    place = place_of(ada, room)
    await told.services.chat.stop(place.actor, place.project_id)
    async with heard(told, place) as frames:
        await run_queued_tasks(told)
    assert [(frame["type"], frame["text"], frame["is_partial"]) for frame in frames] == [
        ("message_received", "It is forty…", True)
    ]
    assert model.requests == []
    assert await told.services.chat.answer_so_far(UUID(room["id"])) is None

    await say(client, ada.headers, room, QUESTION)
    await told.services.chat.stop(place.actor, place.project_id)
    await run_queued_tasks(told)
    assert len(await said(client, ada, room)) == 1, "what was stopped before it began needs no answer"


async def test_a_question_that_is_deleted_meanwhile_gets_no_answer(client, resources, ada, room):
    asked = await say(client, ada.headers, room, QUESTION)
    path = f"/api/v1/chat/{room['id']}/messages/{asked['id']}"
    assert (await client.delete(path, headers=ada.headers)).status_code == 204
    await run_queued_tasks(resources)
    posted = await resources.services.chat.post_spirit(UUID(room["id"]), Answer("Late"), in_reply_to=UUID(asked["id"]))
    assert posted is None
    assert await said(client, ada, room) == []


async def test_more_questions_than_may_wait_are_told_so(client, resources, ada, room):
    most = resources.settings.chat.spirit_queue
    async with heard(resources, place_of(ada, room)) as frames:
        asked = [await say(client, ada.headers, room, f"{QUESTION} {number}") for number in range(most + 2)]
        await until(lambda: has_type(frames, "spirit_busy"))
        await until(lambda: has_seq(frames, most + 4))
    busy = [frame for frame in frames if frame["type"] == "spirit_busy"]
    assert [(frame["in_reply_to"], frame["waiting"]) for frame in busy] == [(one["id"], most) for one in asked[most:]]
    await run_queued_tasks(resources)
    assert [answer["in_reply_to"] for answer in await said(client, ada, room)] == [one["id"] for one in asked[:most]]
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(resources)
    assert len(await said(client, ada, room)) == most + 1, "there is room again"


async def test_the_spirit_uses_only_what_everybody_in_the_room_may_see(client, resources, ada, room):
    """Ada has the lighthouse, Ben the bees; neither may see the other's."""
    ben = await make_user(client, name="Ben")
    await add_text(client, resources, ben, BEES, "Bees")
    bees = "How many eggs does the queen of the bees lay a day?"
    invite = (await client.post(f"/api/v1/sessions/{room['id']}/invites", json={}, headers=ada.headers)).json()
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(resources)
    await client.post("/api/v1/sessions/join", json={"invite": invite["invite"]}, headers=ben.headers)
    for person, question in ((ada, QUESTION), (ben, QUESTION), (ben, bees), (ada, bees)):
        await say(client, person.headers, room, question)
    await run_queued_tasks(resources)
    alone, *together = await said(client, ada, room)
    assert "43 metres" in alone["text"]
    assert [(answer["text"], answer["citations"]) for answer in together] == [(HELD_BACK, [])] * 4

    path = f"/api/v1/sessions/{room['id']}"
    assert (await client.delete(f"{path}/participants/{ben.id}", headers=ada.headers)).status_code == 204
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(resources)
    assert "43 metres" in (await said(client, ada, room))[-1]["text"], "it is Ada's room alone again"


async def test_the_model_is_shown_no_passage_that_somebody_in_the_room_may_not_see(client, told, model, ada, room):
    invite = (await client.post(f"/api/v1/sessions/{room['id']}/invites", json={}, headers=ada.headers)).json()
    await client.post("/api/v1/sessions/join", json={"invite": invite["invite"], "name": "Gus"})
    model.say(Script(["I could not find it."]))
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(told)
    await execute(
        told, update(UserRow).where(UserRow.name == "Gus").values(created_at=func.now() - text("interval '1 y'"))
    )
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(told)
    shown = ["43 metres" in json.dumps(request) for request in model.requests]
    assert (shown[0], shown[-1]) == (False, True), "a guest whose token has ended is no reason any more"


async def test_an_answer_is_given_once_even_if_its_task_runs_twice(client, resources, ada, room):
    asked = await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(resources)
    before = await said(client, ada, room)
    await resources.services.chat.post_spirit(UUID(room["id"]), Answer("Again"), in_reply_to=UUID(asked["id"]))
    assert await said(client, ada, room) == before != []


async def test_a_model_that_stays_away_is_told_in_the_room(client, told, model, ada, room, monkeypatch):
    model.say(Script(status=401))
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(told)
    assert await said(client, ada, room) == []  # another attempt comes later
    monkeypatch.setattr(spirit, "ATTEMPTS", 1)
    await say(client, ada.headers, room, QUESTION)
    await told.services.tasks.cancel_serial(f"session:{room['id']}")
    await say(client, ada.headers, room, QUESTION)
    await run_queued_tasks(told)
    assert [answer["text"] for answer in await said(client, ada, room)] == [
        f"{NO_ANSWER} The language model refuses the configured key."
    ]


async def contains(frames: list[dict], delta: str) -> bool:
    return any(delta in frame.get("delta", "") for frame in frames)


async def has_type(frames: list[dict], kind: str) -> bool:
    return any(frame["type"] == kind for frame in frames)


async def has_seq(frames: list[dict], seq: int) -> bool:
    return any(frame.get("seq") == seq for frame in frames)


async def is_said(client: AsyncClient, user: User, room: dict) -> bool:
    return bool(await said(client, user, room))
