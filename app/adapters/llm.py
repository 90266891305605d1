"""What a language model is to the rest of the house, and which one there is."""

import contextlib
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

from app.settings import LLMSettings

Speaker = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation that the model is shown."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is made; what is left out is as the settings say."""

    max_tokens: int | None = None
    temperature: float | None = None
    model: str = ""


DEFAULT_SAMPLING: Final = Sampling()


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What the answer cost, in the model's own tokens; comes last, if the server counts."""

    prompt_tokens: int
    completion_tokens: int


class LanguageModel(Protocol):
    @property
    def name(self) -> str: ...

    def stream(
        self, turns: Sequence[Turn], sampling: Sampling = DEFAULT_SAMPLING
    ) -> AsyncGenerator[Delta | TokenUsage, None]:
        """The answer, piece by piece. Closing the generator, or cancelling its reader, stops the model.

        Raises:
            ServiceUnavailable: the model cannot be reached, refuses, falls silent or breaks off.
        """
        ...

    async def check(self) -> None:
        """Whether the model can be reached.

        Raises:
            ServiceUnavailable: it cannot.
        """
        ...


@runtime_checkable
class RelayingModel(Protocol):
    """A language model that takes whole requests in OpenAI's form, tools and all."""

    def relay(self, request: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any], None]:
        """What is streamed as the answer to a request for a chat completion: its chunks, as they come.

        The model, and how long an answer may be, is said by the settings. Closing the generator stops the model.

        Raises:
            BadRequest: the model does not accept the request.
            ServiceUnavailable: the model cannot be reached, refuses, falls silent or breaks off.
        """
        ...


@contextlib.asynccontextmanager
async def open_language_model(settings: LLMSettings) -> AsyncIterator[LanguageModel | None]:
    """The configured model; None when there is none.

    The client's module costs half a second and 40 MB, so it is loaded only where it is used.
    """
    if not settings.base_url:
        yield None
        return
    async with importlib.import_module("app.adapters.openai_llm").connect(settings) as model:
        yield model
