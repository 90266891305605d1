import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from app.adapters.batching import MAX_WAITING_QUERIES
from app.adapters.embeddings import Embedder, open_embedder
from app.adapters.wordpieces import token_spans
from app.errors import ServiceUnavailable
from app.settings import EmbeddingSettings

Answer = Callable[[list[str]], Response]


def vectors(texts: list[str]) -> Response:
    """[length, 1, 0, 0] for each text, so that a vector tells whose it is; in reverse, which the protocol allows."""
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), 1.0, 0.0, 0.0]}
        for index, text in enumerate(texts)
    ]
    return JSONResponse({"object": "list", "model": "m", "data": data[::-1], "usage": {}})


def refusal(status: int, **headers: str) -> Answer:
    return lambda _: JSONResponse({"error": {"message": "secret internals", "type": "test"}}, status, headers)


@dataclass
class EmbeddingServer:
    """`answers` are given one after the other, the last one for ever; `calls` are the bodies received."""

    answers: list[Answer] = field(default_factory=lambda: [vectors])
    calls: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    pause: float = 0.0  # seconds before each answer
    url: str = ""

    async def embed(self, request: Request) -> Response:
        body = await request.json()
        self.calls.append(body)
        self.keys.add(request.headers["authorization"])
        await asyncio.sleep(self.pause)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(body["input"])


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    remote = EmbeddingServer()
    application = FastAPI()
    application.add_api_route("/v1/embeddings", remote.embed, methods=["POST"])
    running = uvicorn.Server(uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        remote.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        serving = asyncio.create_task(running.serve([listening]))
        yield remote
        running.should_exit = True
        await serving


@asynccontextmanager
async def remote_embedder(server: EmbeddingServer, **changes: Any) -> AsyncIterator[Embedder]:
    values = {"base_url": server.url, "api_key": SecretStr("k-1"), "model": "m", "dimensions": 4, "batch_size": 8}
    async with open_embedder(EmbeddingSettings(**(values | changes)), Path("not needed")) as embedder:
        yield embedder


async def test_vectors_come_in_order_and_of_length_one_in_bounded_calls(server: EmbeddingServer):
    texts = ["x" * length for length in range(20, 0, -1)] + [""]
    async with remote_embedder(server) as embedder:
        found = await embedder.embed_passages(texts)
        query = await embedder.embed_query("xxx")

    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert found[:, 0] / found[:, 1] == pytest.approx([*range(20, 0, -1), 1])  # an empty text is sent as a space
    assert query[0] / query[1] == pytest.approx(3)
    assert sorted(len(call["input"]) for call in server.calls) == [1, 5, 8, 8]
    assert {call["model"] for call in server.calls} == {"m"}
    assert server.keys == {"Bearer k-1"}


async def test_questions_that_wait_together_are_sent_together_and_before_passages(server: EmbeddingServer):
    server.pause = 0.1
    async with remote_embedder(server) as embedder:
        passages = asyncio.create_task(embedder.embed_passages(["passage"] * 8 * 8))
        await asyncio.sleep(0.05)  # all of the calls that are allowed at once are under way
        await asyncio.gather(*(embedder.embed_query(f"question {number}") for number in range(8)))
        assert not passages.done()
        await passages

    assert ["question 0" in call["input"] for call in server.calls].index(True) == 4
    assert len(server.calls) == 9


async def test_no_more_questions_wait_than_can_be_served_soon(server: EmbeddingServer):
    async with remote_embedder(server, batch_size=MAX_WAITING_QUERIES) as embedder:
        asked = [embedder.embed_query(f"question {number}") for number in range(MAX_WAITING_QUERIES + 5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 5
    assert {str(error) for error in refused} == {"Too many questions are waiting. Please try again in a moment."}


@pytest.mark.parametrize("failure", [refusal(429, **{"retry-after": "0"}), refusal(500), refusal(503)])
async def test_a_passing_failure_is_tried_again(server: EmbeddingServer, failure: Answer):
    server.answers = [failure, vectors]
    async with remote_embedder(server) as embedder:
        assert (await embedder.embed_query("hello")).shape == (4,)
    assert len(server.calls) == 2


async def test_a_busy_server_is_not_waited_for_longer_than_is_bearable(server: EmbeddingServer):
    server.answers = [refusal(429, **{"retry-after": "600"})]
    async with remote_embedder(server) as embedder, asyncio.timeout(5):
        with pytest.raises(ServiceUnavailable, match="busy"):
            await embedder.embed_query("hello")
    assert len(server.calls) == 1


def answer(*rows: object) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return lambda _: JSONResponse({"object": "list", "model": "m", "data": data, "usage": {}})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (refusal(400), "does not accept"),
        (refusal(401), "refuses the configured key"),
        (refusal(404), "address or name"),
        (answer([1.0, 2.0]), "have 2 dimensions: EMBEDDING_DIMENSIONS"),
        (answer(), "cannot be read"),
        (answer([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]), "cannot be read"),
        (answer([0.0, 0.0, 0.0, 0.0]), "cannot be read"),
        (answer("not numbers"), "cannot be read"),
        (lambda _: Response("<html>Welcome</html>", media_type="text/html"), "cannot be read"),
        (lambda _: JSONResponse({"object": "list"}), "cannot be read"),
    ],
)
async def test_what_does_not_get_better_is_said_at_once(server: EmbeddingServer, given: Answer, said: str):
    server.answers = [given]
    async with remote_embedder(server) as embedder:
        with pytest.raises(ServiceUnavailable, match=said) as refused:
            await embedder.embed_query("hello")
        assert "secret" not in str(refused.value)
        assert len(server.calls) == 1
        with pytest.raises(ServiceUnavailable, match=said):
            await embedder.check()
        server.answers = [vectors]
        await embedder.check()
        assert (await embedder.embed_query("hello")).shape == (4,)


async def test_a_silent_server_is_given_up(server: EmbeddingServer):
    server.pause = 1
    async with remote_embedder(server, timeout=timedelta(seconds=0.2)) as embedder:
        with pytest.raises(ServiceUnavailable, match="in time"):
            await embedder.embed_passages(["hello"])
    assert len(server.calls) == 1


async def test_an_absent_server_is_said_to_be_absent(server: EmbeddingServer):
    server.url = "http://127.0.0.1:9/v1"  # the discard port: nobody listens
    async with remote_embedder(server) as embedder:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await embedder.check()


async def test_lengths_are_estimated_in_word_pieces(server: EmbeddingServer):
    async with remote_embedder(server) as embedder:
        assert await embedder.token_spans("two words") == token_spans("two words") == [(0, 3), (4, 9)]
        assert embedder.max_tokens < 254
