"""Models and embeddings, as OpenAI's clients ask for them."""

import asyncio
import base64
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from app.api.deps import Actor, ServicesDep, require_read
from app.api.routing import Router
from app.api.streams import unless_gone
from app.schemas.openai_common import ListOf, epoch
from app.schemas.openai_embeddings import EmbeddingRead, EmbeddingRequest, EmbeddingResult, EmbeddingUsage, ModelRead
from app.services.embeddings import Embedded
from app.services.model_names import Answerer

router = Router(tags=["openai"])

OWNER = "hearth"
LITTLE_ENDIAN = "<f4"


@router.get("/models")
async def list_models(actor: Actor, services: ServicesDep) -> ListOf[ModelRead]:
    """What `model` can be: all of your documents, those of one project, the language model alone, and embeddings."""
    return ListOf(data=[_model(answerer) for answerer in await services.compatibility.models.list(actor)])


@router.get("/models/{model:path}")
async def get_model(
    actor: Actor, services: ServicesDep, model: Annotated[str, Path(min_length=1, max_length=200)]
) -> ModelRead:
    """Whether something answers by this name."""
    return _model(await services.compatibility.models.get(actor, model))


@router.post("/embeddings", response_model=EmbeddingResult, dependencies=[Depends(require_read)])
async def create_embeddings(
    request: Request, services: ServicesDep, data: EmbeddingRequest
) -> EmbeddingResult | Response:
    """Vectors of texts, by the model that documents are embedded with. What is longer than it can read is cut."""
    texts = [data.input] if isinstance(data.input, str) else data.input
    return await unless_gone(request, _embed(services, data, texts))


async def _embed(services: ServicesDep, data: EmbeddingRequest, texts: list[str]) -> EmbeddingResult:
    embedded = await services.compatibility.embeddings.embed(data.model, texts, dimensions=data.dimensions)
    write = _as_base64 if data.encoding_format == "base64" else _as_numbers
    return await asyncio.to_thread(write, embedded)


def _as_base64(embedded: Embedded) -> EmbeddingResult:
    rows = embedded.vectors.astype(LITTLE_ENDIAN)
    return _result(embedded, [base64.b64encode(row.tobytes()).decode() for row in rows])


def _as_numbers(embedded: Embedded) -> EmbeddingResult:
    return _result(embedded, embedded.vectors.tolist())


def _result(embedded: Embedded, vectors: list[str] | list[list[float]]) -> EmbeddingResult:
    return EmbeddingResult(
        data=[EmbeddingRead(index=number, embedding=vector) for number, vector in enumerate(vectors)],
        model=embedded.model,
        usage=EmbeddingUsage(prompt_tokens=embedded.tokens, total_tokens=embedded.tokens),
    )


def _model(answerer: Answerer) -> ModelRead:
    return ModelRead(id=answerer.name, created=epoch(answerer.created_at), owned_by=OWNER)
