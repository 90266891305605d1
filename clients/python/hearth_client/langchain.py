"""Hearth for LangChain: its documents and memories as a retriever, and a project as a vector store.

`pip install "hearth-client[langchain]"`. Texts are embedded by the server: there is nothing to embed here.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import Field, PrivateAttr, SecretStr

from hearth_client.errors import HearthError
from hearth_client.steps import Call, Pause, Server, Steps
from hearth_client.types import DocumentRead, HitRead, SearchResult

OWN_ID: Final = "langchain_id"  # in a document's metadata: the id that it was added under
LONGEST_TITLE: Final = 300
MOST_FOUND: Final = 100
IDS_AT_ONCE: Final = 20  # that one search looks for
MANY: Final = 40  # passages: where a search finds as many, there may be more
ASKED_AT_ONCE: Final = 20  # documents, whether they are read
POLL_INTERVAL: Final = 0.2  # seconds
NOT_FOUND: Final = 404
Metadata = dict[str, Any]


class HearthRetriever(BaseRetriever):
    """The passages that fit a question best, best first, out of all that the caller may see.

    A passage's metadata: `title`, `page`, `heading`, `score`, and where it stands (`document_id` or `memory_id`,
    `char_start`, `char_end`), without what is null.
    """

    url: str
    """Of the server, without `/api/v1`."""
    api_key: SecretStr | None = None
    token: SecretStr | None = None
    k: int = Field(default=4, ge=1, le=MOST_FOUND)
    project_ids: list[str] | None = None
    """Only in these; else in all projects of the caller."""
    sources: list[Literal["documents", "memories", "messages"]] = Field(default=["documents"])
    filters: dict[str, Any] = Field(default={})
    """As `POST /api/v1/search` takes them: `metadata`, `where`, `document_ids`, `occurred_from` …"""
    quality: Literal["draft", "standard", "high", "ultra"] = "standard"

    _server: Server = PrivateAttr()

    def model_post_init(self, _: Any) -> None:
        self._server = Server(self.url, token=_revealed(self.token), api_key=_revealed(self.api_key))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        """Raises HearthError."""
        return self._server.perform(self._find(query, k or self.k))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return await self._server.aperform(self._find(query, k or self.k))

    def _find(self, query: str, k: int) -> Steps[list[Document]]:
        fields = {
            "project_ids": self.project_ids,
            "sources": self.sources,
            "filters": self.filters,
            "quality": self.quality,
        }
        found: SearchResult = yield _search(query, k, fields)
        return [_passage(hit) for hit in found["items"]]


class HearthVectorStore(VectorStore):
    """A project of a Hearth server: each text that is added is a document of it, which the server cuts and embeds.

    Short texts are found as they were added; of a longer one the passages that fit, under the document's id. What is
    known of a text elsewhere stays: other documents of the project are found, too, by their own ids and metadata. The
    same text is one document of a project: added again under another id, it goes by that one.

    Scores are 0 to 1, relative to the other passages of the search. There are no searches by vectors.
    """

    def __init__(
        self,
        url: str,
        *,
        project_id: str,
        api_key: str | None = None,
        token: str | None = None,
        patience: float = 120.0,
    ) -> None:
        """`patience`: seconds that adding waits until the server has read what was added."""
        self._server = Server(url, token=token, api_key=api_key)
        self._project_id = str(UUID(project_id))
        self._patience = patience

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **given: Any,
    ) -> Self:
        """A store of a project with these texts in it; `given` is what the constructor takes.

        Raises:
            ValueError: there is an `embedding`, which would not be used.
        """
        if embedding is not None:
            raise ValueError("The server embeds by itself: pass embedding=None.")
        store = cls(**given)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Metadata] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **_: Any,
    ) -> list[str]:
        """Ids of the texts, once they can be found. A text takes the place of that with the same id.

        Raises:
            HearthError: the server refuses one, or cannot read it (an empty one, for example).
            TimeoutError: the server has not read all of them in time.
        """
        return self._server.perform(self._add(list(texts), metadatas, ids))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Metadata] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **_: Any,
    ) -> list[str]:
        """As `add_texts`."""
        return await self._server.aperform(self._add(list(texts), metadatas, ids))

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """Delete documents; those that are not there are passed over.

        Raises:
            ValueError: no ids: a whole project is deleted elsewhere.
        """
        return self._server.perform(self._delete(_required(ids)))

    async def adelete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """As `delete`."""
        return await self._server.aperform(self._delete(_required(ids)))

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Whole documents, in the order of `ids`; those that are not there, or not read yet, are left out."""
        return self._server.perform(self._get(ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As `get_by_ids`."""
        return await self._server.aperform(self._get(ids))

    def similarity_search(self, query: str, k: int = 4, **fields: Any) -> list[Document]:
        """`filter`: what metadata must hold, as `{"year": {"$gte": 2020}}`. Other fields: those of `/api/v1/search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **fields)]

    async def asimilarity_search(self, query: str, k: int = 4, **fields: Any) -> list[Document]:
        """As `similarity_search`."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **fields)]

    def similarity_search_with_score(self, query: str, k: int = 4, **fields: Any) -> list[tuple[Document, float]]:
        """The same, each with its score."""
        return self._server.perform(self._find(query, k, fields))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **fields: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        return await self._server.aperform(self._find(query, k, fields))

    def _select_relevance_score_fn(self) -> Any:
        return lambda score: score

    def _find(self, query: str, k: int, fields: Mapping[str, Any]) -> Steps[list[tuple[Document, float]]]:
        narrowed = {**fields, "project_ids": [self._project_id]}
        if condition := narrowed.pop("filter", None):
            narrowed["filters"] = {**narrowed.get("filters", {}), "where": condition}
        found: SearchResult = yield _search(query, k, narrowed)
        hits = [hit for hit in found["items"] if hit["document_id"]]
        ids = list(dict.fromkeys(hit["document_id"] for hit in hits))
        documents = dict(zip(ids, (yield [Call("GET", f"/documents/{one}") for one in ids]), strict=True))
        return [(_document(documents[hit["document_id"]], hit["text"]), hit["score"]) for hit in hits]

    def _add(
        self, texts: Sequence[str], metadatas: Sequence[Metadata] | None, ids: Sequence[str | None] | None
    ) -> Steps[list[str]]:
        metadatas = metadatas or [{} for _ in texts]
        ids = ids or [None for _ in texts]
        if not len(texts) == len(metadatas) == len(ids):
            raise ValueError("There must be as many metadatas and ids as texts.")
        former = yield from self._look_up([one for one in ids if one is not None])
        marked = [
            metadata if one is None else {**metadata, OWN_ID: one} for metadata, one in zip(metadatas, ids, strict=True)
        ]
        added = yield [self._creation(text, metadata) for text, metadata in zip(texts, marked, strict=True)]
        documents: list[DocumentRead] = [one["document"] for one in added]
        yield from self._wait(documents)
        yield [
            Call("PATCH", f"/documents/{document['id']}", {"json": {"metadata": metadata}})
            for document, metadata in zip(documents, marked, strict=True)
            if document["metadata"] != metadata  # the same text was there
        ]
        now = {document["id"] for document in documents}
        yield from self._remove([one["id"] for one in former.values() if one["id"] not in now])
        return [one or document["id"] for one, document in zip(ids, documents, strict=True)]

    def _creation(self, text: str, metadata: Metadata) -> Call:
        fields = {"text": text, "metadata": metadata, "project_id": self._project_id}
        title = metadata.get("title")
        if isinstance(title, str) and 0 < len(title.strip()) <= LONGEST_TITLE:
            fields["title"] = title
        return Call("POST", "/documents", {"json": fields})

    def _wait(self, documents: Sequence[DocumentRead]) -> Steps[None]:
        """Until all are read. Raises HearthError, TimeoutError."""
        deadline = time.monotonic() + self._patience
        waiting = [one["id"] for one in documents if one["status"] != "ready"]
        while waiting:
            asked, later = waiting[:ASKED_AT_ONCE], waiting[ASKED_AT_ONCE:]
            now: list[DocumentRead] = yield [Call("GET", f"/documents/{one}") for one in asked]
            for document in now:
                if error := document["error"]:
                    raise HearthError(409, error["code"], error["message"], {"document_id": document["id"]}, None)
            unread = [one["id"] for one in now if one["status"] != "ready"]
            waiting = unread + later
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting)} documents were not read within {self._patience} seconds.")
            if unread:
                yield Pause(POLL_INTERVAL)

    def _get(self, ids: Sequence[str]) -> Steps[list[Document]]:
        there = yield from self._look_up(ids)
        ready = [one for one in there.values() if one["status"] == "ready"]
        texts = yield [Call("GET", f"/documents/{one['id']}/text") for one in ready]
        return [_document(one, text) for one, text in zip(ready, texts, strict=True)]

    def _delete(self, ids: Sequence[str]) -> Steps[bool]:
        there = yield from self._look_up(ids)
        yield from self._remove([one["id"] for one in there.values()])
        return True

    def _remove(self, document_ids: Iterable[str]) -> Steps[None]:
        for one in document_ids:
            try:
                yield Call("DELETE", f"/documents/{one}")
            except HearthError as error:
                if error.status != NOT_FOUND:
                    raise

    def _look_up(self, ids: Sequence[str]) -> Steps[dict[str, DocumentRead]]:
        """The documents of the project that go by these ids, in their order."""
        unique = list(dict.fromkeys(ids))
        marked: list[str] = []
        for start in range(0, len(unique), IDS_AT_ONCE):
            marked += yield from self._marked(unique[start : start + IDS_AT_ONCE])
        documents: list[DocumentRead] = yield [Call("GET", f"/documents/{one}") for one in dict.fromkeys(marked)]
        there = {_id_of(document): document for document in documents}
        for one in unique:
            if one not in there and (document := (yield from self._read(one))) is not None:
                there[one] = document
        return {one: there[one] for one in unique if one in there}

    def _marked(self, ids: Sequence[str]) -> Steps[list[str]]:
        """The server's own ids of those documents that were added under these ids.

        Whatever is searched for: their passages are all that there is to find, and unless they are many all are found.
        """
        condition = {OWN_ID: {"$in": list(ids)}}
        narrowed = {"project_ids": [self._project_id], "filters": {"where": condition}, "quality": "draft"}
        found: SearchResult = yield _search("text", MANY, narrowed)
        if len(found["items"]) < MANY or len(ids) == 1:
            return [hit["document_id"] for hit in found["items"] if hit["document_id"]]
        half = len(ids) // 2
        first = yield from self._marked(ids[:half])
        return first + (yield from self._marked(ids[half:]))

    def _read(self, document_id: str) -> Steps[DocumentRead | None]:
        """A document of this project that has no other id than the server's."""
        if not _is_uuid(document_id):
            return None
        try:
            document: DocumentRead = yield Call("GET", f"/documents/{document_id}")
        except HearthError as error:
            if error.status != NOT_FOUND:
                raise
            return None
        is_here = document["project_id"] == self._project_id and OWN_ID not in document["metadata"]
        return document if is_here else None


def _search(query: str, k: int, fields: Mapping[str, Any]) -> Call:
    return Call("POST", "/search", {"json": {**fields, "query": query, "top_k": min(k, MOST_FOUND)}})


def _passage(hit: HitRead) -> Document:
    shown = ("source", "document_id", "memory_id", "title", "page", "heading", "char_start", "char_end", "score")
    metadata = {name: value for name, value in hit.items() if name in shown and value is not None}
    return Document(page_content=hit["text"], id=hit["id"], metadata=metadata)


def _document(document: DocumentRead, text: str) -> Document:
    metadata = {name: value for name, value in document["metadata"].items() if name != OWN_ID}
    return Document(page_content=text, id=_id_of(document), metadata=metadata)


def _id_of(document: DocumentRead) -> str:
    return str(document["metadata"].get(OWN_ID, document["id"]))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _required(ids: list[str] | None) -> list[str]:
    if ids is None:
        raise ValueError("Say which documents to delete; a project is deleted at /api/v1/projects.")
    return ids


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
