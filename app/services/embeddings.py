"""Vectors of texts, for those who search by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder
from app.errors import InvalidInput, ModelNotFound
from app.services.model_names import GROUNDED


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors`: (texts, dimensions) float32, L2-normalised. `tokens`: of all texts together."""

    model: str
    vectors: FloatArray
    tokens: int


class EmbeddingService:
    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def embed(self, model: str, texts: Sequence[str], *, dimensions: int | None) -> Embedded:
        """What is longer than the model can read is cut.

        Raises:
            ModelNotFound: `model` is neither the configured one's name nor `hearth`.
            InvalidInput: there are not so many dimensions.
            ServiceUnavailable: the embedding model does not answer.
        """
        if model not in (self._embedder.model, GROUNDED):
            raise ModelNotFound(model)
        if dimensions is not None and dimensions > self._embedder.dimensions:
            raise InvalidInput(f"The model has {self._embedder.dimensions} dimensions.", field="dimensions")
        vectors = await self._vectors(texts)
        tokens = len(await self._embedder.token_spans("\n".join(texts)))
        return Embedded(self._embedder.model, _cut(vectors, dimensions), tokens)

    async def _vectors(self, texts: Sequence[str]) -> FloatArray:
        """A single text is most often a question, which overtakes passages."""
        if len(texts) == 1:
            return (await self._embedder.embed_query(texts[0]))[np.newaxis]
        return await self._embedder.embed_passages(texts)


def _cut(vectors: FloatArray, dimensions: int | None) -> FloatArray:
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    unit: FloatArray = (cut / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit
