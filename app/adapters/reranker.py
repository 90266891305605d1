"""Reranking: a model that reads question and passage together says how well they fit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx

from app.errors import ServiceUnavailable
from app.settings import RerankSettings
from app.telemetry.model_calls import ModelCall

LONGEST_PASSAGE = 4_000  # characters that are sent of one


class Reranker(Protocol):
    async def rerank(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        """One score for each passage, more is better.

        Raises:
            ServiceUnavailable: it does not answer in time, or not as it should.
        """
        ...


class HTTPReranker:
    """Speaks `POST {base_url}/rerank`, which Cohere, Jina and text-embeddings-inference all understand."""

    def __init__(self, settings: RerankSettings, client: httpx.AsyncClient) -> None:
        self._url = f"{settings.base_url.rstrip('/')}/rerank"
        self._model = settings.model
        self._client = client
        self._timeout = settings.timeout.total_seconds()

    async def rerank(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        texts = [passage[:LONGEST_PASSAGE] for passage in passages]
        # `documents` is what Cohere and Jina call what `texts` is for TEI; each ignores the other's.
        body = {"query": question, "documents": texts, "texts": texts, "top_n": len(texts), "return_documents": False}
        if self._model:
            body["model"] = self._model
        try:
            with ModelCall("rerank", self._model) as call:
                async with asyncio.timeout(self._timeout):
                    answer = await self._client.post(self._url, json=body, headers=call.headers)
                answer.raise_for_status()
                return _scores(answer.json(), len(texts))
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ServiceUnavailable("The reranker does not answer.") from error


def _scores(answer: Any, count: int) -> list[float]:
    rows = answer if isinstance(answer, list) else answer["results"]
    scores = {int(row["index"]): float(row["relevance_score" if "relevance_score" in row else "score"]) for row in rows}
    if set(scores) != set(range(count)):
        raise ValueError("not one score for each passage")
    return [scores[index] for index in range(count)]


@asynccontextmanager
async def open_reranker(settings: RerankSettings) -> AsyncIterator[Reranker | None]:
    """The configured reranker, or None."""
    if not settings.base_url:
        yield None
        return
    key = settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=settings.timeout.total_seconds()) as client:
        yield HTTPReranker(settings, client)
