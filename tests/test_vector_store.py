"""VECTOR_STORE=chroma: a real Chroma server names the nearest passages, and PostgreSQL has the last word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import func, select

from app.adapters.chroma import ChromaVectors, open_vectors
from app.doctor import EXAMINATIONS
from app.migrations import migrate
from app.models import Chunk, VectorChange
from app.realtime.presence import Presence
from app.repositories import retrieval
from app.resources import Resources
from app.services import build_services
from app.services.vector_mirror import VectorMirror
from app.settings import Settings
from app.settings.vectors import ChromaSettings, VectorSettings
from tests.chroma_server import Chroma, needs_chroma, start_chroma
from tests.conftest import cloned_database
from tests.factories import User, execute, make_project, make_user
from tests.library import BEES, DOCUMENTS, INVOICE, LIGHTHOUSE, add_text
from tests.processes import start_server
from tests.test_cli import hearth

SEARCH = "/api/v1/search"
MEANING = "insects that show their sisters the way"  # no word of it stands in the text about bees


@pytest.fixture(scope="module")
async def chroma(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chroma]:
    async with start_chroma(tmp_path_factory.mktemp("chroma")) as running:
        yield running


@dataclass
class Library:
    """An application that asks Chroma, and two people in it, each with a project."""

    client: AsyncClient
    resources: Resources
    vectors: ChromaVectors
    ada: User
    bob: User
    adas_project: str
    bobs_project: str

    @property
    def mirror(self) -> VectorMirror:
        return self.resources.services.productions.vector_mirror

    async def add(self, user: User, text: str, title: str) -> dict[str, Any]:
        project_id = self.adas_project if user is self.ada else self.bobs_project
        return await add_text(self.client, self.resources, user, text, title, project_id=project_id)

    async def search(self, user: User, query: str) -> dict[str, Any]:
        body = {"query": query, "explain": True}
        response = await self.client.post(SEARCH, json=body, headers=user.headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def chunk_ids(self, document: dict[str, Any]) -> list[str]:
        path = f"{DOCUMENTS}/{document['id']}/chunks"
        rows = (await self.client.get(path, headers=self.ada.headers)).json()["items"]
        return [row["id"] for row in rows]

    async def collection(self) -> str:
        embedder = self.resources.foundation.embedder
        return await self.vectors.open(embedder.model, embedder.dimensions)

    async def waiting(self) -> int:
        return await execute(self.resources, select(func.count()).select_from(VectorChange))


@pytest.fixture
async def library(
    client: AsyncClient, application: FastAPI, resources: Resources, chroma: Chroma
) -> AsyncIterator[Library]:
    await make_user(client, name="Admin")
    settings, prefix = (
        ChromaSettings(url=chroma.url, collection=f"t{uuid4().hex[:12]}"),
        resources.settings.redis.prefix,
    )
    async with AsyncExitStack() as stack:
        vectors = await stack.enter_async_context(open_vectors(VectorSettings(store="chroma"), settings))
        assert vectors is not None
        foundation = replace(resources.foundation, vectors=vectors)
        presence = Presence(foundation.redis, resources.hub.publish, resources.settings.realtime, prefix=prefix)
        services = build_services(foundation, resources.uow, resources.hub, presence)
        stack.push_async_callback(services.replies.aclose)
        asking = replace(resources, foundation=foundation, services=services)
        application.state.resources = asking
        people = [await make_user(client, name=name) for name in ("Ada", "Bob")]
        projects = [(await make_project(client, user))["id"] for user in people]
        yield Library(client, asking, vectors, *people, *projects)


@asynccontextmanager
async def empty_database(settings: Settings) -> AsyncIterator[Settings]:
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        yield empty


async def filled_collection(chroma: Chroma, prefix: str, document_id: str) -> str:
    """Its id, as soon as it knows passages of the document."""
    async with asyncio.timeout(30):
        while True:
            for one in await chroma.call("GET", "", params={"limit": 1000}):
                if one["name"].startswith(prefix) and await chroma.ids(one["id"], where={"document_id": document_id}):
                    return one["id"]
            await asyncio.sleep(0.1)


def named_by_vectors(result: dict[str, Any]) -> set[str]:
    return {hit["title"] for hit in result["explanation"]["hits"] if "dense" in hit["places"]}


def store(result: dict[str, Any]) -> tuple[str, str | None]:
    return result["explanation"]["vector_store"], result["explanation"]["fallback"]


@needs_chroma
@pytest.mark.parametrize("largest_scan", [40_000, 0])
async def test_what_chroma_knows_is_what_the_vectors_name(
    library: Library, chroma: Chroma, monkeypatch: pytest.MonkeyPatch, largest_scan: int
):
    monkeypatch.setattr(retrieval, "LARGEST_SCAN", largest_scan)
    bees = await library.add(library.ada, BEES, "Bees")
    await library.add(library.ada, INVOICE, "Boiler")
    before = await library.search(library.ada, MEANING)
    assert store(before) == ("pgvector", "No worker has begun to fill Chroma yet.")

    await library.mirror.run_due()
    assert await library.waiting() == 0
    collection = await library.collection()
    ids = await library.chunk_ids(bees)
    assert await chroma.ids(collection, where={"document_id": bees["id"]}) == set(ids)
    kept = await chroma.call("POST", f"/{collection}/get", json={"ids": ids[:1], "include": ["documents", "metadatas"]})
    assert kept["documents"] == [None], "Chroma is not told what a passage says"
    assert kept["metadatas"] == [{"document_id": bees["id"], "project_id": library.adas_project}]

    look, _ = EXAMINATIONS["vectors"]
    assert "it knows every document" in await look(library.resources.foundation)

    found = await library.search(library.ada, MEANING)
    assert store(found) == ("chroma", None)
    assert [hit["id"] for hit in found["items"]] == [hit["id"] for hit in before["items"]]
    assert found["items"][0]["title"] == "Bees"
    assert named_by_vectors(found) == {"Bees", "Boiler"}

    await chroma.call("POST", f"/{collection}/delete", json={"ids": ids})
    assert named_by_vectors(await library.search(library.ada, f"{MEANING}?")) == {"Boiler"}


@needs_chroma
async def test_a_mirror_that_lies_shows_nobody_what_is_not_theirs(library: Library, chroma: Chroma):
    secret = await library.add(library.bob, LIGHTHOUSE, "Secret")
    await library.add(library.ada, INVOICE, "Boiler")
    await library.mirror.run_due()
    collection = await library.collection()
    bobs = sorted(await chroma.ids(collection, where={"document_id": secret["id"]}))
    vector = (await library.resources.foundation.embedder.embed_query("Who built the lighthouse?")).tolist()
    lie = {"project_id": library.adas_project, "document_id": secret["id"]}
    ids = [*bobs, str(uuid4()), "no id at all"]
    await chroma.put(collection, ids, [vector] * len(ids), metadatas=[lie] * len(ids))

    question = "Who built the lighthouse?"
    found = await library.search(library.ada, question)
    assert store(found) == ("chroma", None)
    assert {hit["title"] for hit in found["items"]} == {"Boiler"}
    assert secret["id"] not in str(found)
    own = await library.search(library.bob, question)
    assert own["items"][0]["title"] == "Secret", "what Chroma says of projects only narrows"

    waiting, removed = await library.mirror.repair()
    assert (waiting >= 2, removed) == (True, 2)
    await library.mirror.run_due()
    again = await library.search(library.bob, f"{question} ")
    assert named_by_vectors(again) == {"Secret"}
    told = await chroma.ids(collection, where={"project_id": library.bobs_project})
    assert told == set(bobs)
    assert not await chroma.ids(collection, ids=ids[-2:])


@needs_chroma
async def test_while_chroma_is_away_nothing_is_lost_and_everything_is_found(library: Library, chroma: Chroma):
    gone = await library.add(library.ada, INVOICE, "Boiler")
    await library.mirror.run_due()
    collection = await library.collection()
    there = await chroma.ids(collection, where={"project_id": library.adas_project})
    assert there

    await chroma.stop()
    try:
        bees = await library.add(library.ada, BEES, "Bees")
        deleted = await library.client.delete(f"{DOCUMENTS}/{gone['id']}", headers=library.ada.headers)
        assert deleted.status_code == 204
        await library.mirror.run_due()
        assert await library.waiting() == 2
        found = await library.search(library.ada, MEANING)
        assert store(found) == ("pgvector", "Chroma does not answer as it should.")
        assert named_by_vectors(found) == {"Bees"}
        assert store(await library.search(library.ada, "the dance"))[1] == "Chroma does not answer.", "not asked again"
        library.resources.services.health.begin()
        health = await library.resources.services.health.check()
        assert (health.status, health.checks["vectors"].status) == ("degraded", "unhealthy")
    finally:
        await chroma.start()
    library.vectors._silent_until = 0.0
    assert store(await library.search(library.ada, f"{MEANING}?")) == ("chroma", None)
    await library.mirror.run_due()
    assert await library.waiting() == 0
    assert await chroma.ids(collection, where={"project_id": library.adas_project}) == set(
        await library.chunk_ids(bees)
    )


@needs_chroma
async def test_what_chroma_was_not_told_of_yet_is_found_all_the_same(
    library: Library, chroma: Chroma, monkeypatch: pytest.MonkeyPatch
):
    await library.add(library.ada, INVOICE, "Boiler")
    await library.mirror.run_due()
    await library.add(library.ada, BEES, "Bees")
    assert await library.waiting() == 1
    found = await library.search(library.ada, MEANING)
    assert store(found) == ("chroma", None)
    assert named_by_vectors(found) == {"Bees", "Boiler"}

    nearest = library.vectors.nearest

    async def told_behind_its_back(*asked: Any, **options: Any) -> list[UUID]:
        found = await nearest(*asked, **options)
        await library.mirror.run_due()
        return found

    monkeypatch.setattr(library.vectors, "nearest", told_behind_its_back)
    found = await library.search(library.ada, f"{MEANING}?")
    assert await library.waiting() == 0
    assert (store(found), named_by_vectors(found)) == (("chroma", None), {"Bees", "Boiler"})

    removed = await library.client.delete(f"/api/v1/projects/{library.adas_project}", headers=library.ada.headers)
    assert removed.is_success
    await library.mirror.run_due()
    assert not await chroma.ids(await library.collection(), where={"project_id": library.adas_project})


@needs_chroma
async def test_a_chroma_that_lost_everything_is_filled_anew(
    library: Library, chroma: Chroma, monkeypatch: pytest.MonkeyPatch
):
    bees = await library.add(library.ada, BEES, "Bees")
    await library.mirror.run_due()
    [lost] = [one for one in await chroma.call("GET", "") if one["id"] == await library.collection()]
    await chroma.call("DELETE", f"/{lost['name']}")
    found = await library.search(library.ada, MEANING)
    assert (store(found)[0], named_by_vectors(found)) == ("pgvector", {"Bees"})

    library.vectors._silent_until = 0.0
    await library.mirror.run_due()
    collection = await library.collection()
    assert collection != lost["id"]
    assert await chroma.ids(collection) >= set(await library.chunk_ids(bees))
    assert store(await library.search(library.ada, f"{MEANING}?")) == ("chroma", None)

    await library.mirror.repair()
    monkeypatch.setattr("app.services.neighbours.MOST_WAITING", 0)
    assert store(await library.search(library.ada, f"{MEANING}!")) == ("pgvector", "Chroma is being filled.")


@needs_chroma
async def test_back_at_pgvector_nothing_is_noted_any_more(library: Library):
    await library.add(library.ada, BEES, "Bees")
    await library.mirror.run_due()
    foundation = library.resources.foundation
    await VectorMirror(library.resources.uow, None, foundation.embedder).run_due()
    await library.add(library.ada, INVOICE, "Boiler")
    assert await library.waiting() == 0
    assert await execute(library.resources, select(func.count()).select_from(Chunk)) >= 2


@needs_chroma
async def test_a_server_and_a_worker_fill_chroma_by_themselves(settings: Settings, chroma: Chroma):
    chosen = {"VECTOR_STORE": "chroma", "CHROMA_URL": chroma.url, "CHROMA_COLLECTION": f"t{uuid4().hex[:12]}"}
    async with (
        empty_database(settings) as empty,
        start_server(empty, worker=True, **chosen) as server,
        server.client() as client,
    ):
        user = await make_user(client)
        added = await client.post(DOCUMENTS, json={"text": BEES, "title": "Bees"}, headers=user.headers)
        document_id = added.json()["document"]["id"]
        collection = await filled_collection(chroma, chosen["CHROMA_COLLECTION"], document_id)
        body = {"query": MEANING, "explain": True}
        found = (await client.post(SEARCH, json=body, headers=user.headers)).json()
        assert (found["explanation"]["vector_store"], found["items"][0]["title"]) == ("chroma", "Bees")
        assert (await client.get("/health")).json()["checks"]["vectors"]["status"] == "healthy"

        await chroma.put(collection, [str(UUID(int=7))], [[1.0] + [0.0] * 383], metadatas=[{"project_id": "x"}])
        status, output = await hearth(server, "reindex")
        assert (status, "1 vectors that belong to nothing were removed" in output) == (0, True), output


def test_a_chroma_without_an_address_is_refused_at_the_start():
    with pytest.raises(ValueError, match="CHROMA_URL: VECTOR_STORE=chroma needs a URL"):
        Settings(_env_file=None, vector=VectorSettings(store="chroma"))
    assert Settings(_env_file=None).vector.store == "pgvector"
