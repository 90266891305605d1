"""Chat completions on the wire, as OpenAI's clients send and read them. Other fields are ignored."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from app.events import Citation
from app.schemas.base import Schema
from app.schemas.openai_common import JsonObject, ModelName
from app.schemas.texts import ONLY_NUMBERS, Storable, Truth, Whole

MOST_MESSAGES: Final = 1_000
MOST_TOOLS: Final = 128
LARGEST_SEED: Final = 2**63 - 1
Text = Annotated[Storable, Field(max_length=1_000_000)]
Number = Annotated[float, ONLY_NUMBERS]
Parts = Annotated[list[JsonObject], Field(min_length=1, max_length=100)]


class ChatMessage(Schema):
    """`content` is a text, or parts of it; of a part that is none, a picture for example, only models know."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Parts | None = None
    name: Annotated[Storable, Field(max_length=200)] | None = None
    tool_calls: Annotated[list[JsonObject], Field(min_length=1, max_length=MOST_TOOLS)] | None = None
    tool_call_id: Annotated[Storable, Field(max_length=200)] | None = None


class StreamOptions(Schema):
    include_usage: Truth | None = Field(None, description="Tell the tokens in a last chunk.")


class Sampling(Schema):
    """What is passed on to the language model."""

    tools: Annotated[list[JsonObject], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    parallel_tool_calls: Truth | None = None
    response_format: JsonObject | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    seed: Annotated[Whole, Field(ge=-LARGEST_SEED, le=LARGEST_SEED)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logprobs: Truth | None = None
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    reasoning_effort: Annotated[Storable, Field(max_length=20)] | None = None


class ChatRequest(Sampling):
    """With `hearth` the answer is made from the caller's documents, and sampling is the operator's; with tools, or with
    `hearth-raw`, the language model is passed all of this.
    """

    model: ModelName
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: Truth | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[Whole, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[Whole, Field(ge=1)] | None = None
    n: Annotated[Whole, Field(ge=1, le=1)] | None = Field(None, description="One answer to one request.")


class ChatUsage(Schema):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(Schema):
    """`citations`: what bears the markers `[n]` of the answer out."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    citations: list[Citation] | None = None


class ChatChoice(Schema):
    index: int = 0
    message: AnswerMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: str


class ChatCompletion(Schema):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage


class ChunkChoice(Schema):
    index: int = 0
    delta: dict[str, Any]
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class ChatChunk(Schema):
    """A piece of the answer. The one with `finish_reason` has the `citations`; `usage` comes last, if it is wanted."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    citations: list[Citation] | None = None
