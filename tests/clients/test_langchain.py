"""LangChain talks to OpenAI's routes, and through Hearth's client: its own tests pass (`langchain_suite.py`)."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hearth_client import HearthError
from hearth_client.langchain import HearthRetriever, HearthVectorStore
from langchain_core.embeddings import FakeEmbeddings

from app.settings import Settings
from tests.factories import make_key, make_project, make_user
from tests.library import BEES, DOCUMENTS, INVOICE, LIGHTHOUSE, OBEY, UNDER_WAY
from tests.llm_server import Body, Script, serve_language_model
from tests.processes import REPOSITORY, LiveServer, start_server

SUITE = Path(__file__).with_name("langchain_suite.py")
CLIENT = REPOSITORY / "clients" / "python"
VALUES = {"integer": 3, "number": 3.0, "boolean": True, "string": "你好こんにちは", "array": [], "object": {}}


def obedient(body: Body) -> Script:
    """Does what it is asked for: calls the tool, fills the form, or says something."""
    last, tools = body["messages"][-1], body.get("tools")
    form = body.get("response_format") or {}
    if tools and last["role"] != "tool" and body.get("tool_choice") != "none":
        wanted = body.get("tool_choice")
        name = wanted["function"]["name"] if isinstance(wanted, dict) else tools[0]["function"]["name"]
        function = next(tool["function"] for tool in tools if tool["function"]["name"] == name)
        arguments = json.dumps(filled(function.get("parameters") or {}))
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        return Script(deltas=[{"tool_calls": [call]}], finish_reason="tool_calls")
    if form.get("type") == "json_schema":
        return Script([json.dumps(filled(form["json_schema"]["schema"]))])
    if form.get("type") == "json_object":
        return Script(['{"setup": "cat", ', '"punchline": "cat"}'])
    return Script(["The lighthouse ", "was built ", "by Ada Thorne [1]."])


def filled(schema: dict[str, Any]) -> dict[str, Any]:
    """An object that fits."""
    properties = schema.get("properties", {})
    return {
        name: each.get("enum", [VALUES.get(each.get("type"), "你好こんにちは")])[0] for name, each in properties.items()
    }


async def test_langchains_own_tests_pass(committed_settings: Settings, live: LiveServer):
    async with (
        serve_language_model() as model,
        start_server(committed_settings, worker=False, LLM_BASE_URL=model.url, LLM_MODEL="scripted") as server,
        server.client() as client,
    ):
        model.answer = obedient
        user = await make_user(client)
        key, project = (await make_key(client, user, scopes=["read", "write"]))["key"], await make_project(client, user)
        for text in (LIGHTHOUSE, BEES, INVOICE, OBEY):
            body = {"text": text, "project_id": project["id"]}
            added = (await client.post(DOCUMENTS, json=body, headers=user.headers)).json()["document"]["id"]
            path = f"{DOCUMENTS}/{added}"
            async with asyncio.timeout(60):
                while (await client.get(path, headers=user.headers)).json()["status"] in UNDER_WAY:
                    await asyncio.sleep(0.1)
        store = f"vs_{UUID(project['id']).hex}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pytest", "-q", "--tb=short", "-c", os.devnull, "--rootdir", str(SUITE.parent),
            "--confcutdir", str(SUITE.parent), "-o", "asyncio_mode=auto",
            "-o", "asyncio_default_test_loop_scope=session", "-p", "no:cacheprovider", str(SUITE),
            env={**os.environ, "PYTHONPATH": str(CLIENT), "HEARTH_URL": server.url, "HEARTH_KEY": key,
                 "HEARTH_STORE": store, "HEARTH_PROJECT": project["id"]},
            cwd=SUITE.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 500)
    assert process.returncode == 0, output.decode()
    assert " passed" in output.decode()


async def test_a_vector_store_is_a_project_and_is_narrowed_by_metadata(live: LiveServer):
    async with live.client() as client:
        user = await make_user(client)
        key = (await make_key(client, user, scopes=["read", "write"]))["key"]
        project, other = [(await make_project(client, user, name=name))["id"] for name in ("Islands", "Bees")]
    texts, years = [LIGHTHOUSE, INVOICE], [{"year": 1871, "title": "Gull Rock"}, {"year": 2024}]
    place = {"url": live.url, "api_key": key, "project_id": project}
    store = await asyncio.to_thread(HearthVectorStore.from_texts, texts, None, years, ids=["a", "b"], **place)
    question = "How high is the tower?"
    [(best, score), *others] = await store.asimilarity_search_with_score(question)
    assert (best.id, best.metadata) == ("a", years[0])
    assert best.page_content in LIGHTHOUSE
    assert all(0 <= lower <= score <= 1 for _, lower in others)
    assert {found.id for found in await store.asimilarity_search(question, filter={"year": {"$gte": 2000}})} == {"b"}
    assert await HearthVectorStore(live.url, api_key=key, project_id=other).asimilarity_search(question) == []

    [document] = await store.aget_by_ids(["a", "nothing"])
    assert document.page_content == LIGHTHOUSE
    assert await store.aadd_texts([LIGHTHOUSE], [{"year": 1872}], ids=["c"]) == ["c"]  # the same text, one document
    assert [found.metadata for found in await store.aget_by_ids(["a", "c"])] == [{"year": 1872}]
    [own] = await store.aadd_texts([BEES])
    await store.adelete(["b", own])
    assert [found.id for found in await store.asimilarity_search("bees")] == ["c"]
    many = [f"Item {number} of the list." for number in range(24)]
    ids = await store.aadd_texts(many, ids=[f"item-{number}" for number in range(24)])
    assert [found.page_content for found in await store.aget_by_ids(ids)] == many


async def test_what_a_vector_store_or_a_retriever_cannot_do_is_said(live: LiveServer):
    async with live.client() as client:
        user, stranger = await make_user(client), await make_user(client)
        project = (await make_project(client, user))["id"]
    with pytest.raises(ValueError, match="embeds by itself"):
        HearthVectorStore.from_texts(["text"], FakeEmbeddings(size=3), url=live.url, project_id=project)
    store = HearthVectorStore(live.url, token=user.access_token, project_id=project)
    with pytest.raises(ValueError, match="which documents"):
        await store.adelete()
    with pytest.raises(HearthError, match="text"):
        await store.aadd_texts(["\u200b \u200b"])
    foreign = HearthVectorStore(live.url, token=stranger.access_token, project_id=project)
    with pytest.raises(HearthError) as refused:
        await foreign.aadd_texts(["text"])
    assert (refused.value.status, refused.value.code) == (404, "RESOURCE_NOT_FOUND")
    retriever = HearthRetriever(url=live.url, token="no token")
    with pytest.raises(HearthError) as unknown:
        await retriever.ainvoke("anything")
    assert unknown.value.status == 401
    assert "no token" not in repr(retriever)


async def test_a_retriever_finds_documents_and_memories(live: LiveServer):
    async with live.client() as client:
        user = await make_user(client)
        memory = {"content": "We saw the lighthouse of Gull Rock from the ferry.", "occurred_at": "2023-05-04"}
        assert (await client.post("/api/v1/memories", json=memory, headers=user.headers)).status_code == 201
        project = (await make_project(client, user))["id"]
    store = HearthVectorStore(live.url, token=user.access_token, project_id=project)
    await store.aadd_texts([LIGHTHOUSE])
    retriever = HearthRetriever(url=live.url, token=user.access_token, sources=["documents", "memories"], k=5)
    async with asyncio.timeout(30):
        while len(found := await retriever.ainvoke("lighthouse on Gull Rock")) < 2:
            await asyncio.sleep(0.2)  # memories are indexed behind the answer
    assert {one.metadata["source"] for one in found} == {"documents", "memories"}
    passage = next(one for one in found if "document_id" in one.metadata)
    assert LIGHTHOUSE[passage.metadata["char_start"] : passage.metadata["char_end"]] == passage.page_content
