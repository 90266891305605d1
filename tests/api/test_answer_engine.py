"""A Runnable of LangChain's answers, wherever questions are asked; what it cites is checked as a model's words are."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient
from langchain_core.messages import AIMessage, HumanMessage

from app.adapters.engines import open_answer_engine
from app.main import create_app
from app.permissions import Principal
from app.resources import Resources
from app.schemas.query import QueryRequest
from app.services.quoting import NOT_FOUND
from app.settings.answers import AnswerSettings
from tests import chains
from tests.factories import User, make_user
from tests.library import LIGHTHOUSE, add_text, with_parts
from tests.work import run_queued_tasks

QUESTION = "Who built the lighthouse on Gull Rock?"
ANSWER = "The lighthouse was built by Ada Thorne [1]. It can fly."
Answering = Callable[[str], AbstractAsyncContextManager[tuple[Resources, AsyncClient]]]


@pytest.fixture
async def ada(client: AsyncClient, resources: Resources) -> User:
    """With a document."""
    user = await make_user(client)
    await add_text(client, resources, user, LIGHTHOUSE, "Gull Rock")
    return user


@pytest.fixture
def answering(resources: Resources) -> Answering:
    """The same application with a chain of `tests/chains.py` that answers, by its name."""

    @asynccontextmanager
    async def answer(name: str) -> AsyncIterator[tuple[Resources, AsyncClient]]:
        async with (
            open_answer_engine(AnswerSettings(engine=f"langchain:tests.chains:{name}")) as engine,
            with_parts(resources, answer_engine=engine) as changed,
        ):
            transport = ASGITransport(create_app(resources=changed), raise_app_exceptions=False)
            async with AsyncClient(transport=transport, base_url="http://test") as client:
                yield changed, client

    return answer


async def test_a_chain_answers_questions_and_its_citations_are_checked(ada: User, answering: Answering):
    async with answering("keeper") as (_, client):
        asked = await client.post("/api/v1/query", json={"question": QUESTION}, headers=ada.headers)
        answer = asked.json()
        assert (answer["answer"], answer["grounded"]) == (ANSWER, True)
        assert (answer["model"], answer["status"]) == ("langchain:tests.chains:keeper", "complete")
        [citation] = answer["citations"]
        assert citation["quote"] == LIGHTHOUSE[citation["char_start"] : citation["char_end"]]
        assert [sentence["supported"] for sentence in answer["sentences"]] == [True, False]
        body = {"question": QUESTION, "stream": True}
        streamed = (await client.post("/api/v1/query", json=body, headers=ada.headers)).text
        told = [json.loads(line[6:])["delta"] for line in streamed.split("\n") if '"delta"' in line]
        assert len(told) > 1
        assert "".join(told) == ANSWER
        calls = len(chains.given)
        other = {"question": "What does a cat eat?"}
        unknown = (await client.post("/api/v1/query", json=other, headers=ada.headers)).json()
        assert (unknown["answer"], len(chains.given)) == (NOT_FOUND, calls)  # there was nothing to answer from


async def test_a_chain_is_the_spirit_of_rooms(ada: User, answering: Answering):
    async with answering("keeper") as (resources, client):
        room = (await client.post("/api/v1/sessions", json={"name": "Evening"}, headers=ada.headers)).json()
        path = f"/api/v1/chat/{room['id']}/messages"
        for text in ("Hello!", QUESTION):
            await client.post(path, json={"text": text}, headers=ada.headers)
            await run_queued_tasks(resources)
        said = (await client.get(f"{path}?after_seq=0", headers=ada.headers)).json()["items"]
    talk, answer = (message for message in said if message["is_spirit"])
    assert (talk["text"], talk["citations"]) == ("I only know lighthouses.", [])
    assert answer["text"] == ANSWER
    assert answer["citations"][0]["quote"] in LIGHTHOUSE
    asked = chains.given[-1]
    assert asked["question"] == f"Ada: {QUESTION}"
    assert asked["history"] == [HumanMessage("Ada: Hello!"), AIMessage("I only know lighthouses.")]
    assert "You are Spirit" in asked["instructions"]


async def test_a_chain_answers_those_who_speak_openais_protocol(ada: User, answering: Answering):
    said = [
        {"role": "system", "content": "Speak like a sailor."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Ahoy!"},
        {"role": "user", "content": QUESTION},
    ]
    async with answering("keeper") as (_, client):
        models = (await client.get("/v1/models", headers=ada.headers)).json()["data"]
        body = {"model": "hearth", "messages": said}
        completion = (await client.post("/v1/chat/completions", json=body, headers=ada.headers)).json()
    assert "hearth-raw" not in {model["id"] for model in models}  # a chain is no language model
    assert completion["choices"][0]["message"]["content"] == ANSWER
    asked = chains.given[-1]
    assert (asked["question"], asked["instructions"]) == (QUESTION, "Speak like a sailor.")
    assert asked["history"] == [HumanMessage("Hello!"), AIMessage("Ahoy!")]


async def test_a_chain_that_fails_is_a_503_and_one_that_talks_on_can_be_stopped(ada: User, answering: Answering):
    async with answering("failing") as (_, client):
        refused = await client.post("/api/v1/query", json={"question": QUESTION}, headers=ada.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert refused.json()["error"]["message"] == "The answer engine failed."
        assert "no such index" not in refused.text
    chains.events.clear()
    async with answering("silent") as (resources, client):
        replies, actor = resources.services.replies, Principal(UUID(ada.id), ada.name)
        answer_id, pieces = await replies.begin(actor, QueryRequest(question=QUESTION))
        async with asyncio.timeout(10):
            while (await anext(pieces)).name != "token":
                pass
            await replies.stop(actor, answer_id)
            assert [piece.name async for piece in pieces][-1] == "done"
            while "stopped" not in chains.events:
                await asyncio.sleep(0.01)
        kept = (await client.get(f"/api/v1/query/{answer_id}", headers=ada.headers)).json()
        assert (kept["status"], kept["answer"]) == ("stopped", "Well")
