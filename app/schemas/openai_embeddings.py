"""Models and embeddings on the wire, as OpenAI's clients know them."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from app.schemas.base import Schema
from app.schemas.openai_common import ListOf, ModelName
from app.schemas.texts import Whole, require_content

MOST_TEXTS: Final = 2_048
MOST_CHARACTERS: Final = 1_000_000  # of all texts of one request


class ModelRead(Schema):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


def _bounded(given: str | list[str]) -> str | list[str]:
    characters = len(given) if isinstance(given, str) else sum(map(len, given))
    if characters > MOST_CHARACTERS:
        raise ValueError(f"must have at most {MOST_CHARACTERS:,} characters in all")
    return given


Text = Annotated[str, Field(min_length=1), AfterValidator(require_content)]


class EmbeddingRequest(Schema):
    """Texts, not token numbers, whose meaning only the models of others know."""

    model: ModelName
    input: Annotated[Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)], AfterValidator(_bounded)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="Fewer than the model's: each vector is cut, and made as long as 1 again."
    )


class EmbeddingRead(Schema):
    """Numbers, or their 32-bit form in base64, little-endian."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Schema):
    prompt_tokens: int
    total_tokens: int


class EmbeddingResult(ListOf[EmbeddingRead]):
    model: str
    usage: EmbeddingUsage
