"""`hearth import chroma`, from a real Chroma server into a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from app.client import Client, Refused
from app.collection_import import Address, Collection, CollectionUnreadable, Import, Outcome
from tests.chroma_server import Chroma, needs_chroma, start_chroma
from tests.factories import User, make_key, make_project, make_user
from tests.processes import LiveServer
from tests.test_cli import hearth

pytestmark = needs_chroma

DOCUMENTS = "/api/v1/documents"
BEES = "Bees dance to tell each other where the lime trees are in flower."
LAMP = "The keeper trims the lamp of the lighthouse each evening at nine."
TIDE = "At spring tide the causeway lies under water for three hours."
VECTORS = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]  # of another model, in three dimensions


@pytest.fixture(scope="module")
async def chroma(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chroma]:
    async with start_chroma(tmp_path_factory.mktemp("chroma")) as running:
        yield running


@pytest.fixture
async def reader(live: LiveServer) -> AsyncIterator[tuple[AsyncClient, User, dict[str, str]]]:
    """Somebody with a project, and the arguments that name it."""
    async with live.client() as client:
        user = await make_user(client)
        key = (await make_key(client, user))["key"]
        project = await make_project(client, user)
        yield client, user, {"key": key, "project": project["id"]}


async def bring_in(live: LiveServer, chroma: Chroma, name: str, mine: dict[str, str]) -> tuple[int, str]:
    where = ("--url", chroma.url, "--collection", name, "--project", mine["project"])
    return await hearth(live, "import", "chroma", *where, HEARTH_API_KEY=mine["key"])


async def documents_of(client: AsyncClient, user: User, project_id: str) -> dict[str, dict[str, Any]]:
    """By the id of the first record that each came from."""
    response = await client.get(DOCUMENTS, params={"project_id": project_id, "limit": 100}, headers=user.headers)
    return {one["metadata"]["chroma_ids"][0]: one for one in response.json()["items"]}


async def test_a_collection_becomes_documents_once_and_changes_follow(
    live: LiveServer, chroma: Chroma, reader: tuple[AsyncClient, User, dict[str, str]]
):
    client, user, mine = reader
    notes = await chroma.make_collection("notes")
    texts = [BEES, LAMP, None, BEES]
    metadatas = [
        {"source": "garden/bees.txt", "year": 2021},
        {"title": "The lamp"},
        {"kind": "picture"},
        {"copy": True},
    ]
    await chroma.put(notes, ["a", "b", "picture", "c"], VECTORS, documents=texts, metadatas=metadatas)

    status, output = await bring_in(live, chroma, "notes", mine)
    assert status == 0, output
    assert "notes: 3 created, 0 updated, 0 unchanged, 0 failed, 1 without a text" in output
    first = await documents_of(client, user, mine["project"])
    assert {name: (one["title"], one["status"]) for name, one in first.items()} == {
        "a": ("bees.txt", "ready"),
        "b": ("The lamp", "ready"),
    }
    marks = {"chroma_collection": "notes", "chroma_ids": ["a", "c"]}
    assert first["a"]["metadata"] == {"source": "garden/bees.txt", "year": 2021, **marks}

    asked = {"query": "How do insects say where flowers are?", "filters": {"metadata": {"chroma_ids": ["c"]}}}
    found = (await client.post("/api/v1/search", json=asked, headers=user.headers)).json()["items"]
    assert [hit["text"] for hit in found] == [BEES]
    assert found[0]["scores"]["dense"] > 0.2  # a vector of ours: theirs has three dimensions

    status, output = await bring_in(live, chroma, "notes", mine)
    assert (status, "0 created, 0 updated, 3 unchanged" in output) == (0, True), output
    assert await documents_of(client, user, mine["project"]) == first

    await chroma.put(notes, ["b"], VECTORS[1:2], documents=[TIDE], metadatas=[{"title": "The tide"}])
    await chroma.put(notes, ["a"], VECTORS[:1], documents=[BEES], metadatas=[{"year": 2022}])
    status, output = await bring_in(live, chroma, "notes", mine)
    assert (status, "0 created, 2 updated, 1 unchanged" in output) == (0, True), output
    changed = await documents_of(client, user, mine["project"])
    assert changed["b"]["id"] != first["b"]["id"]
    assert {name: one["title"] for name, one in changed.items()} == {"a": "bees.txt", "b": "The tide"}
    assert changed["a"]["id"] == first["a"]["id"]
    assert changed["a"]["metadata"]["year"] == 2022


async def test_what_cannot_come_in_is_named_and_the_rest_comes(
    live: LiveServer, chroma: Chroma, reader: tuple[AsyncClient, User, dict[str, str]]
):
    client, user, mine = reader
    mixed = await chroma.make_collection("mixed")
    await chroma.put(
        mixed, ["good", "heavy"], VECTORS[:2], documents=[TIDE, LAMP], metadatas=[None, {"x": "y" * 20_000}]
    )
    status, output = await bring_in(live, chroma, "mixed", mine)
    assert (status, "1 created, 0 updated, 0 unchanged, 1 failed" in output) == (1, True), output
    assert "heavy: " in output
    assert set(await documents_of(client, user, mine["project"])) == {"good"}


async def test_whoever_asks_in_vain_is_told_why(
    live: LiveServer, chroma: Chroma, reader: tuple[AsyncClient, User, dict[str, str]]
):
    client, _, mine = reader
    some = await chroma.make_collection("some")
    await chroma.put(some, ["a"], VECTORS[:1], documents=[BEES])
    foreign = (await make_project(client, await make_user(client)))["id"]

    def attempt(url: str, collection: str, project_id: str) -> Outcome:
        with Client(live.url, mine["key"]) as hearths, Collection(Address(url, collection)) as opened:
            return Import(hearths, project_id, collection).run(opened, lambda *_: None)

    async def refusal(url: str, collection: str, project_id: str) -> str:
        with pytest.raises((CollectionUnreadable, Refused)) as refused:
            await asyncio.to_thread(attempt, url, collection, project_id)
        return str(refused.value)

    assert "cannot be reached" in await refusal("http://127.0.0.1:1", "some", mine["project"])
    assert "is this a Chroma server" in await refusal(live.url, "some", mine["project"])
    assert "Project not found (RESOURCE_NOT_FOUND)" in await refusal(chroma.url, "some", foreign)
    assert (await asyncio.to_thread(attempt, chroma.url, "some", mine["project"])).created == 1

    status, output = await bring_in(live, chroma, "nowhere", mine)
    assert (status, "Collection [nowhere] does not exist" in output) == (1, True), output
