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
        while (await client.get(path, headers=user.headers)).json()["status"] in UNDER_WAY:
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
        while not (await anext(stream)).choices[0].delta.content:
            pass
        await stream.close()
        async with asyncio.timeout(10):
            while model.hung_up == before:
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
    with pytest.raises(openai.APIError, match="language model"):
        _ = [chunk async for chunk in await door.openai.chat.completions.create(**asked, stream=True)]


async def test_embeddings_are_the_same_as_numbers_and_as_bytes_and_can_be_shortened(door: Door):
    asked = {"model": "all-MiniLM-L6-v2", "input": ["a lamp", "a bee"]}
    numbers = await door.reading.embeddings.create(**asked, encoding_format="float")
    lenient = door.reading.with_options()  # when strict, the client refuses the base64 that it asks for by itself
    lenient._strict_response_validation = False
    packed = await lenient.embeddings.create(**asked)
    assert [len(row.embedding) for row in numbers.data] == [384, 384]
    assert list(packed.data[1].embedding) == pytest.approx(numbers.data[1].embedding, abs=1e-6)
    assert numbers.usage.total_tokens > 3
    short = await door.reading.embeddings.create(**asked, encoding_format="float", dimensions=100)
    assert sum(value * value for value in short.data[0].embedding) == pytest.approx(1, abs=1e-4)
    for wrong in ({"dimensions": 385}, {"input": [[1, 2]]}, {"input": ""}, {"input": ["x" * 600_000] * 2}):
        with pytest.raises(openai.APIStatusError) as refused:
            await door.reading.embeddings.create(**{**asked, "encoding_format": "float", **wrong})
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


async def test_a_response_cites_files_at_its_markers(door: Door):
    response = await door.reading.responses.create(
        model="hearth", input=QUESTION, include=["file_search_call.results"], instructions="Be merry."
    )
    searched, said = response.output
    assert (searched.type, searched.queries, searched.results[0].filename) == (
        "file_search_call",
        [QUESTION],
        "Gull Rock",
    )
    assert response.output_text == "It was built by Ada Thorne [1]."
    annotation = said.content[0].annotations[0]
    assert (annotation.type, annotation.filename) == ("file_citation", "Gull Rock")
    assert response.output_text[annotation.index :].startswith("[1]")
    assert (await door.reading.files.retrieve(annotation.file_id)).id == f"file-{door.document_id.replace('-', '')}"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


async def test_a_streamed_response_tells_its_events_in_order_and_ends_with_the_whole(door: Door):
    stream = await door.reading.responses.create(model="hearth", input=QUESTION, stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"]
    ending = ["output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done", "completed"]
    assert kinds[-5:] == ending
    whole = events[-1].response
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert whole.output[-1].content[0].annotations[0].type == "file_citation"


async def test_file_search_narrows_a_response_and_functions_come_back_as_calls(door: Door, model: LanguageServer):
    store = f"vs_{door.project_id.replace('-', '')}"
    tool = {"type": "file_search", "vector_store_ids": [store], "max_num_results": 3}
    asked = {"model": "hearth", "include": ["file_search_call.results"]}
    found = await door.reading.responses.create(input="How do bees dance?", tools=[tool], **asked)
    assert "Bees" not in {result.filename for result in found.output[0].results}
    found = await door.reading.responses.create(input="How do bees dance?", **asked)
    assert "Bees" in {result.filename for result in found.output[0].results}

    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    model.say(Script(deltas=[{"tool_calls": [call]}], finish_reason="tool_calls"))
    function = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    called = await door.reading.responses.create(model="hearth-raw", input="And today?", tools=[function])
    assert (called.output[0].type, called.output[0].call_id, called.output[0].name) == (
        "function_call",
        "c1",
        "weather",
    )
    model.say(Script(["Sunny."]))
    back = [
        {"role": "user", "content": [{"type": "input_text", "text": "And today?"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    ]
    stream = await door.reading.responses.create(model="hearth-raw", input=back, tools=[function], stream=True)
    assert [event async for event in stream][-1].response.output_text == "Sunny."
    assert [message["role"] for message in model.requests[-1]["messages"]] == ["user", "assistant", "tool"]


async def test_a_response_that_fails_on_the_way_says_so(door: Door, model: LanguageServer):
    model.say(Script(["one ", "two"], pause=0.1, drop_after=1))
    stream = await door.reading.responses.create(model="hearth-raw", input="Hello", stream=True)
    last = [event async for event in stream][-1]
    assert (last.type, last.response.error.code) == ("response.failed", "server_error")
    for wrong in ({"previous_response_id": "resp_1"}, {"input": [{"type": "owl"}]}, {"tools": [{"type": "owl"}]}):
        with pytest.raises(openai.BadRequestError):
            await door.reading.responses.create(**{"model": "hearth", "input": "Hello", **wrong})


async def test_a_file_is_uploaded_listed_read_and_deleted(door: Door):
    client = door.openai
    made = await client.files.create(file=("cheese.txt", b"Gouda ripens for a year."), purpose="assistants")
    assert (made.filename, made.bytes, made.purpose) == ("cheese.txt", 24, "assistants")
    assert (
        await client.files.wait_for_processing(made.id, poll_interval=0.1, max_wait_seconds=30)
    ).status == "processed"
    assert made.id in [file.id async for file in client.files.list(limit=1)]  # over all pages
    assert (await client.files.content(made.id)).text == "Gouda ripens for a year."
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await door.reading.files.delete(made.id)
    assert refused.value.type == "permission_error"
    assert (await client.files.delete(made.id)).deleted is True
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)
    with pytest.raises(openai.APIStatusError) as unreadable:
        await client.files.create(file=("x.bin", bytes(range(256))), purpose="assistants")
    assert (unreadable.value.status_code, unreadable.value.type) == (415, "invalid_request_error")


async def test_a_vector_store_is_filled_searched_and_emptied(door: Door):
    stores, file = door.openai.vector_stores, ("tea.txt", b"Green tea is steeped at 80 degrees for two minutes.")
    store = await stores.create(name="Tea")
    uploaded = await door.openai.files.create(file=file, purpose="assistants")
    inside = await stores.files.create_and_poll(
        uploaded.id, vector_store_id=store.id, attributes={"kind": "drink", "year": 2020}, poll_interval_ms=100
    )
    assert (inside.id, inside.status, inside.attributes) == (uploaded.id, "completed", {"kind": "drink", "year": 2020})
    now = await stores.retrieve(store.id)
    assert (now.file_counts.completed, now.status, now.usage_bytes) == (1, "completed", 51)
    assert store.id in [one.id async for one in stores.list(limit=1)]
    older = {"type": "and", "filters": [{"type": "lt", "key": "year", "value": 2021}]}
    found = [one async for one in stores.search(store.id, query=["How hot is tea?", "tea"], filters=older)]
    assert (found[0].file_id, found[0].filename) == (uploaded.id, "tea.txt")
    assert "80 degrees" in found[0].content[0].text
    newer = {"type": "gt", "key": "year", "value": 2021}
    assert [one async for one in stores.search(store.id, query="tea", filters=newer)] == []
    assert [one.text async for one in stores.files.content(uploaded.id, vector_store_id=store.id)] == [file[1].decode()]

    batch = await stores.file_batches.create_and_poll(
        f"vs_{door.project_id.replace('-', '')}", file_ids=[uploaded.id], poll_interval_ms=100
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)  # of another store: a copy
    assert (await stores.files.retrieve(uploaded.id, vector_store_id=batch.vector_store_id)).id == uploaded.id

    assert (await stores.files.delete(uploaded.id, vector_store_id=store.id)).deleted
    assert [one async for one in stores.files.list(store.id)] == []
    assert (await door.openai.files.retrieve(uploaded.id)).id == uploaded.id
    assert (await stores.update(store.id, name="Empty")).name == "Empty"
    assert (await stores.delete(store.id)).deleted
    with pytest.raises(openai.ConflictError):
        await stores.files.delete(uploaded.id, vector_store_id=(await _default_store(door)))


async def _default_store(door: Door) -> str:
    projects = (await door.hearth.get("/api/v1/projects", headers=door.user.headers)).json()["items"]
    return "vs_" + next(one["id"] for one in projects if one["is_default"]).replace("-", "")


async def test_a_project_that_holds_more_than_files_is_not_deleted_as_a_vector_store(door: Door):
    project = await make_project(door.hearth, door.user, name="Full")
    room = {"name": "Kitchen", "project_id": project["id"]}
    assert (await door.hearth.post("/api/v1/sessions", json=room, headers=door.user.headers)).status_code == 201
    with pytest.raises(openai.ConflictError, match="sessions"):
        await door.openai.vector_stores.delete(f"vs_{project['id'].replace('-', '')}")


async def test_what_belongs_to_others_is_not_there_by_any_id(door: Door, speaking: LiveServer, model: LanguageServer):
    stranger = await make_user(door.hearth, name="Eve")
    client = client_of(speaking, (await make_key(door.hearth, stranger, scopes=["read", "write"]))["key"])
    own = (await client.vector_stores.create(name="Own")).id
    file, store = f"file-{door.document_id.replace('-', '')}", f"vs_{door.project_id.replace('-', '')}"
    nobodys = "0" * 32
    for file_id, store_id in ((file, store), (f"file-{nobodys}", f"vs_{nobodys}")):
        for asking in (
            client.files.retrieve(file_id),
            client.files.delete(file_id),
            client.files.content(file_id),
            client.vector_stores.retrieve(store_id),
            client.vector_stores.delete(store_id),
            client.vector_stores.update(store_id, name="Mine"),
            client.vector_stores.files.create(store_id, file_id=file_id),
            client.vector_stores.files.create(own, file_id=file_id),
            client.vector_stores.files.retrieve(file_id, vector_store_id=own),
            client.vector_stores.files.delete(file_id, vector_store_id=store_id),
            client.vector_stores.file_batches.create(own, file_ids=[file_id]),
            client.vector_stores.create(name="Stolen", file_ids=[file_id]),
            client.models.retrieve(f"hearth/{store_id}"),
        ):
            with pytest.raises(openai.NotFoundError):
                await asking
        with pytest.raises(openai.NotFoundError):
            _ = [one async for one in client.vector_stores.search(store_id, query="lighthouse")]
    tool = {"type": "file_search", "vector_store_ids": [store]}
    model.say(Script(["I do not know."]))
    told = await client.responses.create(
        model="hearth", input=QUESTION, tools=[tool], include=["file_search_call.results"]
    )
    assert told.output[0].results == []
    assert "Ada Thorne" not in str(model.requests)
    await client.close()
