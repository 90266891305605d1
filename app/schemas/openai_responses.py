"""Responses on the wire, as OpenAI's clients send and read them. Other fields are ignored."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from app.schemas.base import Schema
from app.schemas.openai_chat import LARGEST_SEED, MOST_MESSAGES, MOST_TOOLS, Number, Text
from app.schemas.openai_common import JsonObject, ModelName, StoreId
from app.schemas.openai_files import MOST_FOUND, Filter
from app.schemas.texts import Storable, Truth, Whole

MOST_STORES: Final = 20


class FileSearchTool(Schema):
    """Where to look: in these projects alone, and in documents with such metadata."""

    type: Literal["file_search"]
    vector_store_ids: Annotated[list[StoreId], Field(min_length=1, max_length=MOST_STORES)]
    max_num_results: Annotated[Whole, Field(ge=1, le=MOST_FOUND)] | None = None
    filters: Filter | None = None


class FunctionTool(Schema):
    """For the language model."""

    type: Literal["function"]
    name: Annotated[Storable, Field(min_length=1, max_length=64)]
    description: Annotated[Storable, Field(max_length=10_000)] | None = None
    parameters: JsonObject | None = None
    strict: Truth | None = None


Tool = Annotated[FileSearchTool | FunctionTool, Field(discriminator="type")]


class TextOptions(Schema):
    format: JsonObject | None = None


class ResponseRequest(Schema):
    """Responses are not kept here: the whole conversation comes as `input`, and there is no `previous_response_id`."""

    model: ModelName
    input: Text | Annotated[list[JsonObject], Field(min_length=1, max_length=MOST_MESSAGES)]
    instructions: Text | None = None
    stream: Truth | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    parallel_tool_calls: Truth | None = None
    include: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=20)] | None = None
    text: TextOptions | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[Whole, Field(ge=1, le=LARGEST_SEED)] | None = None
    previous_response_id: None = None
    background: Literal[False] | None = None


class TokenDetails(Schema):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokenDetails(Schema):
    reasoning_tokens: int = 0


class ResponseUsage(Schema):
    input_tokens: int
    input_tokens_details: TokenDetails = TokenDetails()
    output_tokens: int
    output_tokens_details: OutputTokenDetails = OutputTokenDetails()
    total_tokens: int


class ResponseError(Schema):
    code: str
    message: str


class ResponseRead(Schema):
    """`output`: what was looked up, then the answer with a `file_citation` for each marker, then calls of tools."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None = None
    incomplete_details: dict[str, str] | None = None
    instructions: str | None
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    temperature: float | None
    top_p: float | None
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    max_output_tokens: int | None
    previous_response_id: None = None
    store: Literal[False] = False
    usage: ResponseUsage | None = None
    metadata: dict[str, str]
