"""Embeddings of any endpoint that speaks OpenAI's protocol."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
import openai
import structlog

from app.adapters.batching import Batcher, FloatArray
from app.adapters.wordpieces import token_spans
from app.errors import ServiceUnavailable
from app.settings import EmbeddingSettings
from app.telemetry.model_calls import ModelCall

log = structlog.get_logger(__name__)

MAX_TOKENS = 220  # word pieces: well inside the 256 that the smallest models take, since theirs are counted otherwise
CONCURRENT_CALLS = 4
CALL_CHARACTERS = 100_000
ATTEMPTS = 4
FIRST_PAUSE = 0.5  # seconds; doubled each time
LONGEST_PAUSE = 8.0  # seconds; a server that asks for more has to be asked again by the caller
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
NO_KEY = "none"  # servers of one's own rarely want a key, and the client insists on one
BLANK = " "  # servers refuse an empty text


class WrongDimensions(Exception):
    """The vectors are not as long as the settings say; holds their length."""


# The last three: what came is not of the protocol's form.
FAILURES = (openai.OpenAIError, WrongDimensions, TimeoutError, ValueError, TypeError, AttributeError)


class OpenAIEmbedder:
    """See `Embedder`. Lengths are estimated by the embedded model's tokenizer: no endpoint tells its own."""

    max_tokens = MAX_TOKENS

    def __init__(self, settings: EmbeddingSettings) -> None:
        self.model = settings.model
        self.dimensions = settings.dimensions
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value() or NO_KEY,
            timeout=settings.timeout.total_seconds(),
            max_retries=0,  # it would also try again what cannot get better
        )
        self._timeout = settings.timeout.total_seconds()
        self._batcher = Batcher(
            self._encode,
            settings.dimensions,
            concurrency=CONCURRENT_CALLS,
            max_texts=settings.batch_size,
            max_characters=CALL_CHARACTERS,
        )

    async def embed_query(self, text: str) -> FloatArray:
        return await self._batcher.query(text)

    async def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        return await self._batcher.passages(texts)

    async def token_spans(self, text: str) -> list[tuple[int, int]]:
        return await asyncio.to_thread(token_spans, text)

    async def check(self) -> None:
        try:
            await self._request(["check"])
        except FAILURES as error:
            raise _explained(error) from error

    async def aclose(self) -> None:
        await self._batcher.aclose()
        await self._client.close()

    async def _encode(self, texts: Sequence[str]) -> FloatArray:
        attempt = 1
        while True:
            try:
                return await self._request(texts)
            except FAILURES as error:
                pause = _pause_after(attempt, error)
                if pause is None:
                    raise _explained(error) from error
                log.warning("embeddings.trying_again", attempt=attempt, error=repr(error))
            await asyncio.sleep(pause)
            attempt += 1

    async def _request(self, texts: Sequence[str]) -> FloatArray:
        """(texts, dimensions), L2-normalised."""
        with ModelCall("embeddings", self.model) as call:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.embeddings.create(
                    model=self.model,
                    input=[text or BLANK for text in texts],
                    encoding_format="float",  # not every server knows base64, which is the client's default
                    extra_headers=call.headers,
                )
        rows = [found.embedding for found in sorted(answer.data, key=lambda found: found.index)]
        vectors = np.array(rows, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(f"{len(rows)} vectors for {len(texts)} texts")
        if vectors.shape[1] != self.dimensions:
            raise WrongDimensions(vectors.shape[1])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise ValueError("a vector without a direction")
        unit: FloatArray = vectors / lengths
        return unit


def _pause_after(attempt: int, error: Exception) -> float | None:
    """Seconds to wait before the next try; None when another try is of no use, or there was the last one."""
    if attempt == ATTEMPTS or not isinstance(error, openai.APIStatusError):
        return None
    if error.status_code != TOO_MANY_REQUESTS and error.status_code < SERVER_ERROR:
        return None
    pause = FIRST_PAUSE * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads, guards nothing
    asked = str(error.response.headers.get("retry-after", ""))
    wanted = float(asked) if asked.isdecimal() else pause
    return wanted if wanted <= LONGEST_PAUSE else None


def _explained(error: Exception) -> ServiceUnavailable:
    """In words for whoever asked; what the server said stays in the log."""
    log.warning("embeddings.failed", error=repr(error))
    match error:
        case WrongDimensions():
            return ServiceUnavailable(
                f"The embedding model's vectors have {error} dimensions: EMBEDDING_DIMENSIONS is not right."
            )
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ServiceUnavailable("The embedding model refuses the configured key.")
        case openai.NotFoundError():
            return ServiceUnavailable("The embedding model's address or name is not right.")
        case openai.RateLimitError():
            return ServiceUnavailable("The embedding model is busy. Please try again in a moment.")
        case TimeoutError() | openai.APITimeoutError():
            return ServiceUnavailable("The embedding model does not answer in time.")
        case openai.APIConnectionError() | openai.InternalServerError():
            return ServiceUnavailable("The embedding model cannot be reached.")
        case openai.APIStatusError():
            return ServiceUnavailable("The embedding model does not accept this request.")
        case _:
            return ServiceUnavailable("The embedding model gave an answer that cannot be read.")
