"""OpenAI's own client, strict about every answer, against a live server with a language model behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest
from httpx import AsyncClient
from openai import AsyncOpenAI

from app.settings import Settings
from tests.factories import User, make_key, make_project, make_user
from tests.library import BEES, DOCUMENTS, LIGHTHOUSE, UNDER_WAY
from tests.llm_server import LanguageServer, Script, serve_language_model
from tests.processes import LiveServer, start_server

QUESTION = "Who built the lighthouse on Gull Rock?"
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}


@dataclass
class Door:
    """Somebody with documents, and the ways in."""

    openai: AsyncOpenAI
    reading: AsyncOpenAI
    hearth: AsyncClient
    user: User
    project_id: str
    document_id: str


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[LanguageServer]:
    async with serve_language_model() as server:
        yield server


@pytest.fixture(scope="module")
async def speaking(committed_settings: Settings, live: LiveServer, model: LanguageServer) -> AsyncIterator[LiveServer]:
    """A server with a language model; what is to be read, the worker beside the other one reads."""
    async with start_server(
        committed_settings, worker=False, LLM_BASE_URL=model.url, LLM_MODEL="scripted", LLM_MAX_TOKENS="100"
    ) as server:
        yield server


def client_of(server: LiveServer, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20, _strict_response_validation=True
    )


async def add_text(client: AsyncClient, user: User, text: str, title: str, project_id: str | None = None) -> str:
    body = {"text": text, "title": title, "project_id": project_id}
    document = (await client.post(DOCUMENTS, json=body, headers=user.headers)).json()["document"]
    async with asyncio.timeout(30):
        path = f"{DOCUMENTS}/{document['id']}"
        while (await client.get(path, headers=user.headers)).json()["status"] in UNDER_WAY:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return document["id"]


@pytest.fixture(scope="module")
async def door(speaking: LiveServer) -> AsyncIterator[Door]:
    async with speaking.client() as client:
        user = await make_user(client)
        project = await make_project(client, user, name="Islands")
        document_id = await add_text(client, user, LIGHTHOUSE, "Gull Rock", project["id"])
        await add_text(client, user, BEES, "Bees")
        keys = [(await make_key(client, user, scopes=scopes))["key"] for scopes in (["read", "write"], ["read"])]
        async with client_of(speaking, keys[0]) as writing, client_of(speaking, keys[1]) as reading:
            yield Door(writing, reading, client, user, project["id"], document_id)


@pytest.fixture(autouse=True)
def nothing_said(model: LanguageServer) -> None:
    model.requests.clear()
    model.say(Script(["It was built by Ada Thorne ", "[1]."]))


async def test_the_models_are_all_documents_each_project_the_language_model_and_embeddings(door: Door):
    names = [model.id async for model in door.openai.models.list()]
    assert names[:2] == ["hearth", "hearth-raw"]
    assert {"hearth/Islands", "all-MiniLM-L6-v2"} <= set(names)
    for name in ("hearth", "hearth/Islands", f"hearth/{door.project_id}"):
        assert (await door.openai.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError) as refused:
        await door.openai.models.retrieve("hearth/Nowhere")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_chat_is_answered_from_the_documents_with_citations(door: Door, model: LanguageServer):
    said = [
        {"role": "system", "content": "Be merry."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    answer = await door.reading.chat.completions.create(model="hearth", messages=said)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("It was built by Ada Thorne [1].", "stop")
    assert choice.message.citations[0]["document_id"] == door.document_id
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    told = model.requests[-1]["messages"]
    assert "Be merry." in told[0]["content"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert "Ada Thorne" in told[-1]["content"]


async def test_a_streamed_chat_ends_with_its_usage_if_that_is_wanted(door: Door):
    asked = {"model": "hearth/Islands", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    chunks = [
        chunk
        async for chunk in await door.reading.chat.completions.create(**asked, stream_options={"include_usage": True})
    ]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "It was built by Ada Thorne [1]."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].citations[0]["title"] == "Gull Rock"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    without = [chunk async for chunk in await door.reading.chat.completions.create(**asked)]
    assert all(chunk.usage is None and chunk.choices for chunk in without)


async def test_the_raw_model_gets_the_conversation_as_it_is_and_no_more_tokens_than_the_operator_allows(
    door: Door, model: LanguageServer
):
    model.say(Script(["Hello", "."]))
    said = [{"role": "user", "content": QUESTION}]
    asked = {"model": "hearth-raw", "messages": said, "temperature": 0.7, "max_completion_tokens": 5000, "stop": ["x"]}
    answer = await door.openai.chat.completions.create(**asked)
    assert answer.choices[0].message.content == "Hello."
    assert answer.usage.prompt_tokens == 7
    assert model.requests[-1]["messages"] == said
    assert {name: model.requests[-1][name] for name in ("model", "temperature", "max_tokens", "stop")} == {
        "model": "scripted", "temperature": 0.7, "max_tokens": 100, "stop": ["x"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["hearth", "hearth-raw"])
async def test_tools_are_passed_through_and_their_calls_come_back(door: Door, model: LanguageServer, name: str):
    calls = [
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"place": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Gull Rock"}'}}]},
    ]
    model.say(Script(deltas=calls, finish_reason="tool_calls"))
    asked = {"model": name, "messages": [{"role": "user", "content": QUESTION}], "tools": [WEATHER]}
    answer = await door.openai.chat.completions.create(**asked)
    call = answer.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)["place"]) == ("c1", "weather", "Gull Rock")
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("tool_calls", None)
    assert model.requests[-1]["tools"] == [WEATHER]
    assert ("Ada Thorne" in str(model.requests[-1]["messages"])) == (name == "hearth")
    deltas = [c.choices[0].delta async for c in await door.openai.chat.completions.create(**asked, stream=True)]
    assert "".join(d.tool_calls[0].function.arguments for d in deltas if d.tool_calls) == call.function.arguments


async def test_a_client_that_leaves_stops_the_language_model(door: Door, model: LanguageServer):
    for name in ("hearth", "hearth-raw"):
        model.say(Script(["one ", "two ", "three"], hang_after=2))
        before = model.hung_up
        stream = await door.openai.chat.completions.create(
            model=name, messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        await anext(stream)
        await stream.close()
        async with asyncio.timeout(10):
            while model.hung_up == before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_what_goes_wrong_with_the_language_model_is_said_with_the_right_status(door: Door, model: LanguageServer):
    asked = {"model": "hearth-raw", "messages": [{"role": "user", "content": "Hello"}]}
    model.say(Script(status=400))
    with pytest.raises(openai.BadRequestError, match="does not accept this request"):
        await door.openai.chat.completions.create(**asked)
    model.say(Script(status=500))
    with pytest.raises(openai.InternalServerError) as down:
        await door.openai.chat.completions.create(**asked)
    assert (down.value.status_code, down.value.type, down.value.code) == (503, "server_error", "service_unavailable")
    model.say(Script(["one ", "two"], drop_after=1))
    with pytest.raises(openai.APIError, match="broke off"):
        _ = [chunk async for chunk in await door.openai.chat.completions.create(**asked, stream=True)]


async def test_embeddings_are_the_same_as_numbers_and_as_bytes_and_can_be_shortened(door: Door):
    asked = {"model": "all-MiniLM-L6-v2", "input": ["a lamp", "a bee"]}
    numbers = await door.reading.embeddings.create(**asked, encoding_format="float")
    packed = await door.reading.embeddings.create(**asked)  # the client's default is base64
    assert [len(row.embedding) for row in numbers.data] == [384, 384]
    assert packed.data[1].embedding == pytest.approx(numbers.data[1].embedding, abs=1e-6)
    assert numbers.usage.total_tokens > 3
    short = await door.reading.embeddings.create(**asked, dimensions=100)
    assert sum(value * value for value in short.data[0].embedding) == pytest.approx(1, abs=1e-4)
    for wrong in ({"dimensions": 385}, {"input": [[1, 2]]}, {"input": ""}, {"input": ["x" * 600_000] * 2}):
        with pytest.raises((openai.BadRequestError, openai.APIStatusError)) as refused:
            await door.reading.embeddings.create(**{**asked, **wrong})
        assert refused.value.status_code in (400, 413)


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "owl", "content": "Hoo"}]}, "messages.0.role"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
    ],
)
async def test_what_is_not_valid_is_refused_with_the_name_of_the_field(door: Door, changed: dict, param: str):
    asked = {"model": "hearth", "messages": [{"role": "user", "content": "Hello"}], **changed}
    with pytest.raises(openai.BadRequestError) as refused:
        await door.openai.chat.completions.create(**asked)
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", param)


async def test_errors_below_v1_have_openais_form_and_others_have_ours(door: Door, speaking: LiveServer):
    with pytest.raises(openai.AuthenticationError) as stranger:
        await client_of(speaking, "hearth_key_wrong").models.list()
    assert stranger.value.code == "invalid_api_key"
    missing = await door.hearth.get("/v1/nothing")
    assert (missing.status_code, set(missing.json()["error"])) == (404, {"message", "type", "param", "code"})
    assert (await door.hearth.put("/v1/models")).json()["error"]["code"] == "method_not_allowed"
    garbage = await door.hearth.post("/v1/embeddings", content=b"{", headers=door.user.headers)
    assert (garbage.status_code, garbage.json()["error"]["type"]) == (400, "invalid_request_error")
    assert set((await door.hearth.get("/api/v1/nothing")).json()["error"]) == {"code", "message", "details"}
