"""Answers that are kept for who asked, resumed where they broke off, and stopped at a word."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import text

from app.main import create_app
from app.repositories.answers import AnswerRepository
from app.resources import Resources
from tests.factories import User, make_user
from tests.library import DOCUMENTS, LIGHTHOUSE, add_text, with_model
from tests.llm_server import LanguageServer, Script, serve_language_model

QUERY = "/api/v1/query"
QUESTION = "How high is the tower of the lighthouse on Gull Rock?"
Event = tuple[str, str, dict]


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


@pytest.fixture
async def lighthouse(client: AsyncClient, resources: Resources, ada: User) -> dict:
    return await add_text(client, resources, ada, LIGHTHOUSE, "Gull Rock")


@pytest.fixture
async def model() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        yield server


@pytest.fixture
async def told(resources: Resources, model: LanguageServer) -> AsyncIterator[AsyncClient]:
    async with with_model(resources, model.url) as speaking:
        transport = ASGITransport(create_app(resources=speaking), raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def parse(text: str) -> list[Event]:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]
    return [(fields["event"], fields["id"], json.loads(fields["data"])) for fields in blocks if "event" in fields]


async def stream(client: AsyncClient, user: User, **headers: str) -> list[Event]:
    body = {"question": QUESTION, "stream": True}
    response = await client.post(QUERY, json=body, headers={**user.headers, **headers})
    assert response.status_code == 200, response.text
    return parse(response.text)


async def ask(client: AsyncClient, user: User) -> dict:
    return (await client.post(QUERY, json={"question": QUESTION}, headers=user.headers)).json()


async def get(client: AsyncClient, user: User, path: str) -> Response:
    return await client.get(f"{QUERY}/{path}", headers=user.headers)


async def first_tokens(lines: AsyncIterator[str], count: int) -> tuple[str, str]:
    """The id of the answer and that of the event of the last of `count` tokens."""
    event_id, seen = "", 0
    async for line in lines:
        seen += line == "event: token"
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
            if seen == count:
                return event_id.split(":")[0], event_id
    raise AssertionError("the stream ended early")


async def test_an_answer_is_kept_for_who_asked_and_nobody_else(client, ada, lighthouse):
    told = await ask(client, ada)
    assert told.pop("explanation") is None
    kept = (await get(client, ada, told["id"])).json()
    assert {name: kept[name] for name in told} == told
    assert (kept["question"], kept["status"], kept["error"]) == (QUESTION, "complete", None)
    eve = await make_user(client, name="Eve")
    for path in (told["id"], f"{told['id']}/events"):
        assert (await get(client, eve, path)).status_code == 404
    assert (await client.delete(f"{QUERY}/{told['id']}", headers=eve.headers)).status_code == 404


async def test_a_citation_names_the_text_that_it_was_checked_against(client, resources, ada, lighthouse):
    [first] = (await ask(client, ada))["citations"][:1]
    async with resources.uow() as uow:
        version = await uow._session.scalar(text("SELECT md5(text) FROM document_texts"))
        await uow._session.execute(text("UPDATE document_texts SET text = 'Another text.'"))
    assert first["document_version"] == version
    changed = await ask(client, ada)
    assert (changed["citations"], changed["grounded"]) == ([], False)  # the passages are of the old text


async def test_each_sentence_says_what_bears_it_out_or_that_nothing_does(told, model, ada, lighthouse):
    model.say(
        Script(
            [
                "The tower is 43 metres high [1]. ",
                "It is made of granite. ",
                "It is 99 metres high [1]. ",
                "Whales sing.",
            ]
        )
    )
    answer = await ask(told, ada)
    sentences = [
        (answer["answer"][one["char_start"] : one["char_end"]], one["citations"], one["supported"])
        for one in answer["sentences"]
    ]
    assert sentences == [
        ("The tower is 43 metres high [1].", [1], True),
        ("It is made of granite.", [1], True),  # it named no passage, and there is one
        ("It is 99 metres high [1].", [1], False),
        ("Whales sing.", [], False),
    ]
    assert answer["grounded"] is True
    model.say(Script(["Whales sing [1]."]))
    assert (await ask(told, ada))["grounded"] is False


async def test_a_stream_that_broke_off_goes_on_behind_the_last_event(client, told, model, ada, lighthouse):
    model.say(Script(["It is ", "43 metres", " high [1]", "."]))
    events = await stream(told, ada)
    answer_id = events[0][2]["id"]
    assert [event_id for _, event_id, _ in events] == [f"{answer_id}:{n}" for n in range(1, len(events) + 1)]
    last_seen = events[2][1]
    assert await stream(told, ada, **{"Last-Event-ID": last_seen}) == events[3:]
    for door in (told, client):  # the other one has not given the answer, as another process
        response = await door.get(f"{QUERY}/{answer_id}/events", headers={**ada.headers, "Last-Event-ID": last_seen})
        assert parse(response.text) == events[3:]
    assert parse((await get(client, ada, f"{answer_id}/events")).text) == events
    assert len(model.requests) == 1
    eve = await make_user(client, name="Eve")
    body = {"question": QUESTION, "stream": True}
    for last, status in ((last_seen, 404), ("7", 422)):
        refused = await told.post(QUERY, json=body, headers={**eve.headers, "Last-Event-ID": last})
        assert refused.status_code == status


async def test_of_a_stream_that_ended_long_ago_there_is_the_end(client, resources, ada, lighthouse):
    events = await stream(client, ada)
    answer_id = events[0][2]["id"]
    await resources.services.replies.aclose()
    await resources.foundation.redis.delete(f"{resources.settings.redis.prefix}reply:{{{answer_id}}}:pieces")
    async with asyncio.timeout(10):
        [(name, event_id, done)] = parse((await get(client, ada, f"{answer_id}/events")).text)
    assert (name, event_id, done) == ("done", f"{answer_id}:1", events[-1][2])


async def test_who_comes_back_in_time_hears_the_rest_and_a_stop_ends_it(start_another, committed, model):
    model.say(Script(["The tower is 43 metres high [1].", *[" And so on."] * 3000], pause=0.02))
    giving = await start_another(LLM_BASE_URL=model.url, LLM_MODEL="scripted", ANSWER_GRACE="5")
    other = await start_another(LLM_BASE_URL=model.url, LLM_MODEL="scripted", ANSWER_GRACE="5")
    async with (
        AsyncClient(base_url=giving.url, timeout=30) as client,
        AsyncClient(base_url=other.url, timeout=30) as elsewhere,
    ):
        ada = await make_user(client)
        await add_text(client, committed, ada, LIGHTHOUSE, "Gull Rock")
        body = {"question": QUESTION, "stream": True}
        async with client.stream("POST", QUERY, json=body, headers=ada.headers) as response:
            answer_id, last_seen = await first_tokens(response.aiter_lines(), 2)
        headers = {**ada.headers, "Last-Event-ID": last_seen}
        async with elsewhere.stream("GET", f"{QUERY}/{answer_id}/events", headers=headers) as response:
            lines = response.aiter_lines()
            _, later = await first_tokens(lines, 3)
            assert int(later.split(":")[1]) == int(last_seen.split(":")[1]) + 3
            stopped = await elsewhere.delete(f"{QUERY}/{answer_id}", headers=ada.headers)
            assert stopped.status_code == 202
            rest = [line async for line in lines]
        await model.wait_for_hang_up()
        assert model.speaking == 0
        assert [line for line in rest if line.startswith("event: ")][-2:] == ["event: citations", "event: done"]
        kept = (await elsewhere.get(f"{QUERY}/{answer_id}", headers=ada.headers)).json()
        assert kept["status"] == "stopped"
        assert kept["answer"].startswith("The tower is 43 metres high [1]. And so on.")
        assert kept["citations"][0]["quote"] in LIGHTHOUSE
        assert (await client.delete(f"{QUERY}/{answer_id}", headers=ada.headers)).json() == kept


async def test_hanging_up_on_a_whole_answer_stops_the_model(start_another, committed, model):
    model.say(Script(["It is", " high"], hang_after=1))
    server = await start_another(LLM_BASE_URL=model.url, LLM_MODEL="scripted")
    async with AsyncClient(base_url=server.url, timeout=30) as client:
        ada = await make_user(client)
        await add_text(client, committed, ada, LIGHTHOUSE, "Gull Rock")
        asking = asyncio.create_task(client.post(QUERY, json={"question": QUESTION}, headers=ada.headers))
        await model.wait_for_request()
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await model.wait_for_hang_up()
    assert model.speaking == 0


async def test_an_answer_whose_model_broke_off_is_kept_as_failed(told, model, ada, lighthouse):
    model.say(Script(["It is", " high"], drop_after=1))
    events = await stream(told, ada)
    assert [name for name, *_ in events] == ["retrieved", "token", "error"]
    kept = (await get(told, ada, events[0][2]["id"])).json()
    assert (kept["status"], kept["answer"], kept["error"]) == ("failed", "It is", events[-1][2])
    async with asyncio.timeout(10):
        again = parse((await get(told, ada, f"{kept['id']}/events")).text)
    assert again == events


async def test_of_an_answer_whose_process_was_killed_what_was_said_is_kept(start_another, committed, model):
    model.say(Script(["It is ", "43 metres high [1]", *[" and so on"] * 5000], pause=0.02))
    server = await start_another(LLM_BASE_URL=model.url, LLM_MODEL="scripted")
    async with server.client() as client:
        ada = await make_user(client)
        await add_text(client, committed, ada, LIGHTHOUSE, "Gull Rock")
        body = {"question": QUESTION, "stream": True}
        async with client.stream("POST", QUERY, json=body, headers=ada.headers) as response:
            answer_id, _ = await first_tokens(response.aiter_lines(), 20)
            server.process.kill()
            await server.process.wait()
    await committed.foundation.redis.delete(f"{committed.settings.redis.prefix}reply:{{{answer_id}}}:alive")
    async with committed.uow() as uow:
        await uow._session.execute(text("UPDATE answers SET created_at = created_at - interval '1 minute'"))
    await committed.services.replies.sweep()
    async with committed.uow() as uow:
        kept = await uow.answers.get_owned(UUID(ada.id), UUID(answer_id))
    assert (kept.status, kept.error["code"]) == ("failed", "SERVICE_UNAVAILABLE")
    assert kept.answer.startswith("It is 43 metres high [1] and so on")


async def test_old_answers_are_swept(client, resources, ada, lighthouse):
    told = await ask(client, ada)
    await resources.services.replies.sweep()
    assert (await get(client, ada, told["id"])).status_code == 200
    async with resources.uow() as uow:
        assert not await AnswerRepository(uow._session).delete_older_than(timedelta(0))
    assert (await get(client, ada, told["id"])).status_code == 404


async def test_where_no_sentence_answers_the_nearest_passages_are_shown_as_such(client, ada, lighthouse):
    body = {"question": "Who was not the last keeper of the lighthouse on Gull Rock?"}
    answer = (await client.post(QUERY, json=body, headers=ada.headers)).json()
    assert answer["grounded"] is False
    assert answer["answer"].startswith("I could not find an answer to this in your documents.")
    text_of_it = (await client.get(f"{DOCUMENTS}/{lighthouse['id']}/text", headers=ada.headers)).text
    assert all(one["quote"] in text_of_it for one in answer["citations"])
