"""The reranker against real servers that speak as Cohere and Jina do, as text-embeddings-inference does, or wrongly."""

import json
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.adapters.reranker import open_reranker
from app.errors import ServiceUnavailable
from app.settings import RerankSettings
from tests.rerank_server import rerank_server

PASSAGES = ["Tea is green.", "The lamp burns whale oil.", "A lamp."]


@pytest.mark.parametrize("dialect", ["cohere", "tei"])
async def test_each_passage_gets_its_score_whatever_the_order_of_the_answer(dialect: str):
    async with rerank_server(dialect) as server:
        settings = RerankSettings(base_url=f"{server.url}/", model="small", api_key=SecretStr("sesame"))
        async with open_reranker(settings) as reranker:
            assert reranker is not None
            scores = await reranker.rerank("What does the lamp burn?", PASSAGES)
        assert scores[1] > scores[2] > scores[0]
        [(headers, body)] = server.asked
        assert headers["authorization"] == "Bearer sesame"
        assert (json.loads(body)["model"], json.loads(body)["documents"]) == ("small", PASSAGES)


@pytest.mark.parametrize("dialect", ["too few", "broken", "error", "slow"])
async def test_a_server_that_answers_wrongly_or_not_in_time_does_not_work(dialect: str):
    async with rerank_server(dialect) as server:
        settings = RerankSettings(base_url=server.url, timeout=timedelta(seconds=0.3))
        async with open_reranker(settings) as reranker:
            assert reranker is not None
            with pytest.raises(ServiceUnavailable):
                await reranker.rerank("What does the lamp burn?", PASSAGES)


async def test_without_an_address_there_is_none():
    async with open_reranker(RerankSettings()) as reranker:
        assert reranker is None
