"""LangChain's own tests: of a chat model, embeddings and retriever through `langchain-openai`, and of Hearth's client.

Run by `test_langchain.py` in a process of its own, since `langchain-tests` brings plugins for pytest along.
"""

import os
from collections.abc import Iterator

import httpx
import openai
import pytest
from hearth_client.langchain import HearthRetriever, HearthVectorStore
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

URL, KEY, STORE, PROJECT = (os.environ[f"HEARTH_{name}"] for name in ("URL", "KEY", "STORE", "PROJECT"))
ACCESS = {"base_url": f"{URL}/v1", "api_key": KEY}


class StoreRetriever(BaseRetriever):
    """Passages of a vector store."""

    store: str
    k: int = 4

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        found = openai.OpenAI(**ACCESS).vector_stores.search(self.store, query=query, max_num_results=k or self.k)
        return [
            Document(passage.content[0].text, id=passage.file_id, metadata={"filename": passage.filename})
            for passage in found
        ]


class TestGroundedChat(ChatModelIntegrationTests):
    answerer = "hearth"

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict:
        return {"model": self.answerer, "stream_usage": True, **ACCESS}


class TestRawChat(TestGroundedChat):
    answerer = "hearth-raw"


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict:
        return {"model": "hearth", "check_embedding_ctx_length": False, **ACCESS}  # else it sends numbers, not texts


class TestRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[StoreRetriever]:
        return StoreRetriever

    @property
    def retriever_constructor_params(self) -> dict:
        return {"store": STORE}

    @property
    def retriever_query_example(self) -> str:
        return "Who built the lighthouse?"


class TestHearthRetriever(TestRetriever):
    @property
    def retriever_constructor(self) -> type[HearthRetriever]:
        return HearthRetriever

    @property
    def retriever_constructor_params(self) -> dict:
        return {"url": URL, "api_key": KEY, "project_ids": [PROJECT]}


class TestHearthVectorStore(VectorStoreIntegrationTests):
    """All of them. Their embeddings are not used: the server has its own."""

    @pytest.fixture
    def vectorstore(self) -> Iterator[HearthVectorStore]:
        with httpx.Client(base_url=f"{URL}/api/v1", headers={"X-API-Key": KEY}) as http:
            project = http.post("/projects", json={"name": "Store"}).raise_for_status().json()["id"]
            yield HearthVectorStore(URL, api_key=KEY, project_id=project)
            http.delete(f"/projects/{project}").raise_for_status()
