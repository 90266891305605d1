"""Texts become vectors: by the embedded model, or by any endpoint that speaks OpenAI's embeddings."""

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from app.adapters.batching import FloatArray
from app.adapters.minilm import MiniLMEmbedder
from app.settings import EmbeddingSettings


class Embedder(Protocol):
    """What makes vectors; all of its methods raise `ServiceUnavailable` while it does not work."""

    @property
    def model(self) -> str:
        """Name kept with each passage: vectors of different models cannot be compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest passage, counted in `token_spans`; what is longer is cut, or refused by an endpoint."""
        ...

    async def embed_query(self, text: str) -> FloatArray:
        """(dimensions,) float32, L2-normalised, read-only. Calls that wait together are embedded together."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        """(texts, dimensions) float32, L2-normalised, in the order of `texts`. Questions overtake passages."""
        ...

    async def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The code points `(start, end)` of each token of the whole text, in order; see `wordpieces.token_spans`."""
        ...

    async def check(self) -> None:
        """Make sure that it works; loads the embedded model, so that the first question need not wait for it."""
        ...


@asynccontextmanager
async def open_embedder(settings: EmbeddingSettings, models_dir: Path) -> AsyncIterator[Embedder]:
    """The configured embedder. The embedded model is built in `models_dir`, and loaded when it is first needed.

    The client of endpoints costs half a second and 40 MB, so it is loaded only where it is used.

    Raises:
        ValueError: the settings name another model, or other dimensions, than those of the embedded model.
    """
    if settings.base_url:
        embedder = importlib.import_module("app.adapters.openai_embeddings").OpenAIEmbedder(settings)
    else:
        embedder = MiniLMEmbedder(settings, models_dir)
    async with aclosing(embedder):
        yield embedder
