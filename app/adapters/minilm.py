"""all-MiniLM-L6-v2, embedded: see `graphs`. It runs on threads of our own."""

import asyncio
import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort

from app.adapters.batching import Batcher, FloatArray
from app.adapters.graphs import NICENESS, BrokenGraph, LoadedOnce, Model, cpu_count
from app.adapters.wordpieces import MODEL_PACKAGE, token_ids, token_spans
from app.priorities import step_back
from app.settings import EmbeddingSettings

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MAX_TOKENS = 254  # and two special ones

LONGEST_TOKEN = 100  # characters; text behind MAX_TOKENS of these is not even looked at
RUN_TOKENS = 512  # in one run of the model: its memory, and nothing is won by more
PADDING = 1.1  # a text may be this much longer than the shortest one of its run
BATCH_CHARACTERS = 1000  # about 50 ms, the longest that a question waits for passages; one text may be longer

PROBE = "Hearth remembers what you tell it, and finds it again when you ask."
PROBE_VECTOR = (  # as fp32 gives it, in eight bits
    "N0j2HuwcOcslt8DpwxMV2Ook8Ps43vgAB+vRAfAEDDTGOIr1ujPT4M/uwdXk/PLiBjHODK0OQWJUHPQhwePBeMkYLjD71w0aKdQzWeS2"
    "DRvSIsFSDwUdvyXQB6viKglC8xvQJRoS/DIn8w4UA+T24yESBhcGBqhMEfRlH87lNwAM/jotLPvtLQr+RSrrF/v7jTAV8w8wJ8gDLBwY"
    "GhYw2QznByUh8d7k9Mzq6bmB79/FIDwyCQcIrgXG/Fcq1i47zy/5BdP5Hu7q5eHU7Q65wRHDqhLXm3CYGyLvTU/8FwDcydEB/uLuKhMd"
    "BzHfCwHyKcACNBcKxwcfGRH566E019ErGwQfCZf+Bb/DPujtJEh5FS2fF83VEQMuEtQpHt8QIw0O1sExCzeNvBw86sbFliLlKuLj5es5"
    "AQsbN/fBwwDU8hYtDN9BH+nHIygd4m3rPLziAfo4PS+vBfQnIHBPziccGUTRG1PS8tEYCqof6uMp8dA8E/cK6DETIdlEJtch"
)
LEAST_COSINE = 0.98


class MiniLM:
    """The model itself: blocking, safe to call from several threads, loaded by the first call."""

    def __init__(self, models_dir: Path, precision: str) -> None:
        self._loaded = LoadedOnce(MINILM, models_dir, precision)

    def load(self) -> None:
        """Raises ServiceUnavailable."""
        self._loaded.load()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(texts, 384) float32, L2-normalised; a text's vector depends on the others by rounding only.

        Raises:
            ServiceUnavailable: the model is not there, or does not run on this machine.
        """
        return _encode(self._loaded.load(), texts)


class MiniLMEmbedder:
    """See `Embedder`. Only `threads` texts are computed at once, each on one thread, which wastes none of them."""

    model = MODEL
    dimensions = DIMENSIONS
    max_tokens = MAX_TOKENS

    def __init__(self, settings: EmbeddingSettings, models_dir: Path) -> None:
        if (settings.model, settings.dimensions) != (MODEL, DIMENSIONS):
            raise ValueError(
                f"EMBEDDING_BASE_URL is empty, so EMBEDDING_MODEL must be {MODEL} and EMBEDDING_DIMENSIONS {DIMENSIONS}"
            )
        threads = settings.threads or max(1, cpu_count() - 1)
        self._minilm = MiniLM(models_dir, settings.precision)
        self._threads = ThreadPoolExecutor(threads, "embedding", step_back, (NICENESS,))
        self._batcher = Batcher(
            self._encode,
            DIMENSIONS,
            concurrency=threads,
            max_texts=settings.batch_size,
            max_characters=BATCH_CHARACTERS,
        )

    async def embed_query(self, text: str) -> FloatArray:
        return await self._batcher.query(text)

    async def embed_passages(self, texts: Sequence[str]) -> FloatArray:
        return await self._batcher.passages(texts)

    async def token_spans(self, text: str) -> list[tuple[int, int]]:
        return await asyncio.to_thread(token_spans, text)

    async def check(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._minilm.load)

    async def aclose(self) -> None:
        await self._batcher.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _encode(self, texts: Sequence[str]) -> FloatArray:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._minilm.encode, texts)


def _encode(session: ort.InferenceSession, texts: Sequence[str]) -> FloatArray:
    tokens = token_ids([text[: MAX_TOKENS * LONGEST_TOKEN] for text in texts], MAX_TOKENS + 2)
    vectors = np.empty((len(texts), DIMENSIONS), np.float32)
    for run in _runs(tokens):
        lengths = np.array([len(tokens[index]) for index in run], np.int32)
        input_ids = np.zeros((len(run), lengths.max()), np.int32)
        for row, index in enumerate(run):
            input_ids[row, : lengths[row]] = tokens[index]
        (vectors[run],) = session.run(None, {"input_ids": input_ids, "lengths": lengths})
    return vectors


def _runs(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indexes of texts of nearly the same length: a padded token costs as much as a real one."""
    run: list[int] = []
    for index in sorted(range(len(tokens)), key=lambda index: len(tokens[index])):
        length = len(tokens[index])
        if run and (length > len(tokens[run[0]]) * PADDING + 1 or length * (len(run) + 1) > RUN_TOKENS):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _test(session: ort.InferenceSession) -> None:
    (vector,) = _encode(session, [PROBE])
    right = np.frombuffer(base64.b64decode(PROBE_VECTOR), np.int8).astype(np.float32)
    cosine = float(vector @ right / np.linalg.norm(right))
    if not cosine >= LEAST_COSINE:  # which NaN is not either
        raise BrokenGraph(f"gives a vector with a cosine of {cosine:.3f} to the right one")


MINILM = Model(
    name=MODEL,
    package=MODEL_PACKAGE,
    file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    builder="app.adapters.minilm_graph",
    version=1,
    test=_test,
)
