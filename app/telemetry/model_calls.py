"""One call to a model's endpoint: counted, traced, and told which trace it belongs to."""

import time
from asyncio import CancelledError
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from app.telemetry.meters import FIRST_TOKEN_SECONDS, MODEL_CALLS, MODEL_SECONDS, TOKENS
from app.telemetry.spans import Kind, begin, traceparent


class ModelCall:
    """For the length of the block. It never becomes what later spans belong to, so that generators may use it.

    `kind`: chat, embeddings, rerank or images.
    """

    def __init__(self, kind: str, model: str) -> None:
        self._kind = kind
        self._span = begin(
            f"{kind} {model}", Kind.CLIENT, {"gen_ai.operation.name": kind, "gen_ai.request.model": model}
        )
        self._started = time.perf_counter()
        self._is_heard = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send along."""
        parent = self._span.traceparent or traceparent()
        return {"traceparent": parent} if parent else {}

    def hear(self) -> None:
        """The model says something; the first time counts."""
        if not self._is_heard:
            self._is_heard = True
            FIRST_TOKEN_SECONDS.observe(time.perf_counter() - self._started)

    def use(self, prompt_tokens: int, completion_tokens: int) -> None:
        TOKENS.labels("prompt").inc(prompt_tokens)
        TOKENS.labels("completion").inc(completion_tokens)
        self._span.set({"gen_ai.usage.input_tokens": prompt_tokens, "gen_ai.usage.output_tokens": completion_tokens})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_left = exc_type is not None and issubclass(exc_type, GeneratorExit | CancelledError)
        outcome = "ok" if exc_type is None else "abandoned" if is_left else "failed"
        MODEL_CALLS.labels(self._kind, outcome).inc()
        MODEL_SECONDS.labels(self._kind).observe(time.perf_counter() - self._started)
        self._span.end(exc_type.__name__ if exc_type is not None and not is_left else "")
