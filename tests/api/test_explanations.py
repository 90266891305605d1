"""Why a search found what it found, and why a document did not come up."""

from uuid import UUID

import pytest

from app.adapters.reranker import open_reranker
from app.schemas.search import SearchFields
from app.services.retrieval import RetrievalService
from app.settings import RerankSettings
from tests.factories import User, make_user
from tests.library import BEES, INVOICE, LIGHTHOUSE, add_text
from tests.rerank_server import rerank_server

SEARCH, DOCUMENTS = "/api/v1/search", "/api/v1/documents"


@pytest.fixture
async def library(client, resources) -> tuple[User, dict[str, dict]]:
    ada = await make_user(client, name="Ada")
    texts = {"Gull Rock": LIGHTHOUSE, "Bees": BEES, "Boiler": INVOICE}
    shelves = {title: {"shelf": number, "kind": ["book", "old"]} for number, title in enumerate(texts)}
    added = {
        title: await add_text(client, resources, ada, said, title, metadata=shelves[title])
        for title, said in texts.items()
    }
    return ada, added


async def test_an_explanation_tells_of_each_ranker_and_of_what_was_cut(client, library):
    ada, _ = library
    body = {"query": "How high is the tower of granite?", "top_k": 1, "explain": True}
    found = (await client.post(SEARCH, json=body, headers=ada.headers)).json()
    explanation = found["explanation"]
    assert [hit["title"] for hit in found["items"]] == [hit["title"] for hit in explanation["hits"]] == ["Gull Rock"]
    assert explanation["hits"][0]["places"] == {"dense": 1, "text": 1, "sparse": 1}
    assert explanation["words"] == {"high": 1, "tower": 1, "granit": 1}
    assert (explanation["passages"], explanation["method"]) == (3, "scan")
    assert {leg["name"]: leg["named"] for leg in explanation["legs"]}["dense"] == 3
    assert {one["title"] for one in explanation["cut"]} == {"Bees", "Boiler"}
    assert explanation["cut"][0]["reason"] == "rank 2, and top_k is 1"
    plain = (await client.post(SEARCH, json=body | {"explain": False}, headers=ada.headers)).json()
    assert plain["explanation"] is None


async def test_a_draft_leaves_the_sparse_ranker_out(client, library):
    ada, _ = library
    body = {"query": "tower of granite", "quality": "draft", "explain": True}
    found = (await client.post(SEARCH, json=body, headers=ada.headers)).json()
    assert {leg["name"]: leg["weight"] for leg in found["explanation"]["legs"]}["sparse"] == 0
    assert all(hit["scores"]["sparse"] is None for hit in found["items"])


async def test_conditions_on_metadata_narrow_a_search_and_what_is_none_is_told(client, library):
    ada, _ = library

    async def titles(where: dict) -> set[str]:
        body = {"query": "lamp", "filters": {"where": where}}
        response = await client.post(SEARCH, json=body, headers=ada.headers)
        assert response.status_code == 200, response.text
        return {hit["title"] for hit in response.json()["items"]}

    assert await titles({"shelf": {"$gte": 1}}) == {"Bees", "Boiler"}
    assert await titles({"kind": "old", "$not": {"shelf": 1}}) == {"Gull Rock", "Boiler"}
    assert await titles({"kind": {"$in": ["new"]}}) == set()
    body = {"query": "lamp", "filters": {"where": {"shelf": {"$near": 1}}}}
    refused = await client.post(SEARCH, json=body, headers=ada.headers)
    assert refused.status_code == 422
    assert "$near is none of $eq" in refused.json()["error"]["details"]["errors"][0]["msg"]


async def test_a_check_says_why_a_document_does_or_does_not_come_up(client, library):
    ada, added = library

    async def check(title: str, question: str) -> dict:
        response = await client.get(
            f"{DOCUMENTS}/{added[title]['id']}/check", params={"q": question}, headers=ada.headers
        )
        assert response.status_code == 200, response.text
        return response.json()

    there = await check("Gull Rock", "Who built the lighthouse?")
    assert (there["found"], there["rank"], there["missing_words"]) == (True, 1, [])
    assert there["reasons"] == ["It is found: its best passage is at rank 1."]
    other = await check("Boiler", "Who built the lighthouse?")
    assert other["rank"] > 1
    assert other["relevance"] < other["floor"]
    assert set(other["missing_words"]) == {"built", "lighthous"}
    assert {leg["name"]: leg["best_score"] for leg in other["legs"]}["text"] is None
    assert any("below" in reason for reason in other["reasons"])
    stranger = await make_user(client, name="Eve")
    path = f"{DOCUMENTS}/{added['Boiler']['id']}/check"
    assert (await client.get(path, params={"q": "lamp"}, headers=stranger.headers)).status_code == 404
    assert (await client.get(path, params={"q": " "}, headers=ada.headers)).status_code == 422


async def test_a_reranker_has_the_last_word_where_quality_asks_for_it(client, resources, library):
    ada, _ = library
    async with rerank_server() as server, open_reranker(RerankSettings(base_url=server.url)) as reranker:
        foundation = resources.foundation
        service = RetrievalService(resources.uow, foundation.embedder, foundation.sparse, reranker)
        fields = SearchFields(quality="high")
        found = await service.find(UUID(ada.id), "the warranty on the new valve", fields)
        assert found.matches[0].title == "Boiler"
        assert found.matches[0].rerank == pytest.approx(0.5)
        assert set(found.timings_ms) == {"embed", "search", "rerank"}
        await service.find(UUID(ada.id), "the warranty", SearchFields())
        assert len(server.asked) == 1
    async with rerank_server("error") as server, open_reranker(RerankSettings(base_url=server.url)) as reranker:
        service = RetrievalService(resources.uow, foundation.embedder, foundation.sparse, reranker)
        found = await service.find(UUID(ada.id), "the warranty on the new valve", fields)
        assert (found.matches[0].title, found.matches[0].rerank) == ("Boiler", None)
