"""The vectors of passages in a Chroma server, asked through its HTTP API v2.

It knows ids, vectors, and of which document and project a passage is; what a passage says it is never told. Whatever it
answers is a proposal: who may see a passage, and whether there still is one, the database says.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx
import orjson
import structlog

from app.errors import ServiceUnavailable
from app.settings.vectors import ChromaSettings, VectorSettings

log = structlog.get_logger(__name__)

SILENCE: Final = 3.0  # seconds in which searches do not ask again, after it has not answered one
WRITE_PATIENCE: Final = 30.0  # seconds for a batch: Chroma adds them to its index before it answers
IS_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
MOST_SAID: Final = 300  # characters of a refusal that are logged
FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, TypeError, KeyError, AttributeError)


class ChromaVectors:
    """One installation's vectors; a collection for each model, since a collection's vectors are of one length."""

    def __init__(self, settings: ChromaSettings, client: httpx.AsyncClient) -> None:
        self._client = client
        self._timeout = settings.timeout.total_seconds()
        self._prefix = settings.collection
        tenant, database = quote(settings.tenant, safe=""), quote(settings.database, safe="")
        self._root = settings.url.rstrip("/")
        self._collections = f"{self._root}/api/v2/tenants/{tenant}/databases/{database}/collections"
        self._silent_until = -float("inf")

    @property
    def is_silent(self) -> bool:
        """Whether it has just not answered, and is not to be asked by who cannot wait."""
        return time.monotonic() < self._silent_until

    async def check(self) -> None:
        """Raises ServiceUnavailable: it does not answer."""
        await self._ask("GET", f"{self._root}/api/v2/heartbeat")

    async def open(self, model: str, dimensions: int) -> str:
        """The id of the collection of this model's vectors; made if there is none. Raises ServiceUnavailable."""
        wanted = {
            "name": collection_name(self._prefix, model, dimensions),
            "metadata": {"embedding_model": model, "written_by": "hearth"},
            "configuration": {"hnsw": {"space": "ip"}},  # they are of length 1
            "get_or_create": True,
        }
        found = await self._ask("POST", self._collections, wanted)
        return str(found["id"])

    async def nearest(
        self, collection_id: str, vector: Sequence[float], *, within: tuple[str, Sequence[UUID]], count: int
    ) -> list[UUID]:
        """Ids of passages near `vector`, the nearest first; `within` is a key of theirs, and values that it may have.

        Raises:
            ServiceUnavailable: it does not answer in time, or not as it should.
        """
        key, names = within
        where = {key: {"$in": [str(name) for name in names]}}
        question = {"query_embeddings": [list(vector)], "n_results": count, "where": where, "include": []}
        try:
            found = await self._ask("POST", f"{self._collections}/{collection_id}/query", question)
            return [UUID(each) for each in found["ids"][0] if is_ours(each)]
        except (TypeError, KeyError, IndexError) as error:
            raise self._failed(error) from error
        except ServiceUnavailable:
            self._silent_until = time.monotonic() + SILENCE
            raise

    async def ids_of(self, collection_id: str, document_ids: Sequence[UUID]) -> set[str]:
        """What it has of these documents. Raises ServiceUnavailable."""
        names = [str(document_id) for document_id in document_ids]
        narrowing = {"where": {"document_id": {"$in": names}}, "include": []}
        found = await self._ask("POST", f"{self._collections}/{collection_id}/get", narrowing, WRITE_PATIENCE)
        return set(found["ids"])

    async def page(self, collection_id: str, *, offset: int, limit: int) -> list[str]:
        """Some of all ids. Raises ServiceUnavailable."""
        narrowing = {"limit": limit, "offset": offset, "include": []}
        found = await self._ask("POST", f"{self._collections}/{collection_id}/get", narrowing, WRITE_PATIENCE)
        return [str(each) for each in found["ids"]]

    async def put(
        self,
        collection_id: str,
        ids: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadatas: Sequence[dict[str, str]],
    ) -> None:
        """Add them, or replace what is there by these ids. Raises ServiceUnavailable."""
        records = {"ids": ids, "embeddings": vectors, "metadatas": metadatas}
        await self._ask("POST", f"{self._collections}/{collection_id}/upsert", records, WRITE_PATIENCE)

    async def remove(self, collection_id: str, ids: Sequence[str]) -> None:
        """Those that are there. Raises ServiceUnavailable."""
        await self._ask("POST", f"{self._collections}/{collection_id}/delete", {"ids": ids}, WRITE_PATIENCE)

    async def _ask(self, method: str, url: str, body: Any = None, patience: float | None = None) -> Any:
        seconds = patience or self._timeout
        content = None if body is None else orjson.dumps(body)
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request(method, url, content=content, timeout=seconds)
            response.raise_for_status()
            return response.json()
        except FAILURES as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ServiceUnavailable:
        said = error.response.text[:MOST_SAID] if isinstance(error, httpx.HTTPStatusError) else ""
        log.warning("chroma.failed", error=repr(error), said=said)
        return ServiceUnavailable("Chroma does not answer as it should.")


def is_ours(vector_id: str) -> bool:
    """Whether it may be the id of a passage; what others put there is passed over."""
    return IS_ID.match(vector_id) is not None


def collection_name(prefix: str, model: str, dimensions: int) -> str:
    """Readable, and different for every model, whatever signs Chroma takes in names."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[:60]
    return f"{prefix}-{readable}-{dimensions}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"


@asynccontextmanager
async def open_vectors(store: VectorSettings, settings: ChromaSettings) -> AsyncIterator[ChromaVectors | None]:
    """None where PostgreSQL compares vectors itself."""
    if store.store != "chroma":
        yield None
        return
    token = settings.token.get_secret_value()
    headers = {"Content-Type": "application/json"}
    if token:
        headers |= {"Authorization": f"Bearer {token}", "X-Chroma-Token": token}
    async with httpx.AsyncClient(headers=headers) as client:
        yield ChromaVectors(settings, client)
