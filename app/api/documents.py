"""Documents over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response, status
from fastapi.responses import PlainTextResponse
from pydantic import AfterValidator, WithJsonSchema

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.downloads import Download
from app.api.routing import Router
from app.api.uploads import REQUEST_BODY, UploadDep
from app.models import Document, DocumentStatus
from app.repositories.documents import DocumentFilter
from app.schemas.common import ErrorResponse, Page
from app.schemas.documents import ChunkPage, DocumentRead, DocumentUpdate, IngestionRead
from app.schemas.search import DocumentCheck, Question
from app.services.documents import Ingestion

router = Router(tags=["documents"])

NO_NUL = r"^[^\x00]*$"  # PostgreSQL has no such character
LAST_ORDINAL = 2**31 - 1  # of a passage
OF_PASSAGES = {"type": "string", "pattern": "^A{16}[A-Za-f][A-Za-z0-9_-]{4}[AQgw]$"}  # cursors up to it
UPLOAD_BYTES = 2**40  # no limit here: the setting DOCUMENT_MAX_BYTES is kept while the bytes come in

UPLOAD_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": IngestionRead, "description": "The same bytes are in this project already"},
    413: {"model": ErrorResponse, "description": "Too large"},
    415: {"model": ErrorResponse, "description": "A file that cannot be read"},
}
ERROR_SCHEMA = {"$ref": "#/components/schemas/ErrorResponse"}  # `model` would be told to be plain text, too
FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes that were uploaded",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The bytes that the header `Range` asks for"},
    416: {"description": "There are no such bytes", "content": {"application/json": {"schema": ERROR_SCHEMA}}},
}
TEXT_ANSWERS: dict[int | str, dict[str, Any]] = {
    409: {"description": "It is not read yet", "content": {"application/json": {"schema": ERROR_SCHEMA}}}
}


@router.post(
    "/documents",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=IngestionRead,
    responses=UPLOAD_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=UPLOAD_BYTES,
)
@router.post(
    "/ingest",
    operation_id="ingest",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=IngestionRead,
    responses=UPLOAD_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=UPLOAD_BYTES,
)
async def create_document(actor: Actor, services: ServicesDep, response: Response, upload: UploadDep) -> Ingestion:
    """Add a document, as a file, as text or by its URL; reading it goes on in the background.

    The same bytes in the same project are the document that is there: 200, and no new work unless it had failed.
    """
    ingestion = await services.documents.create(actor, upload)
    response.headers["Location"] = f"/api/v1/documents/{ingestion.document.id}"
    response.status_code = status.HTTP_202_ACCEPTED if ingestion.is_queued else status.HTTP_200_OK
    return ingestion


@router.get("/documents")
async def list_documents(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID | None = None,
    status: DocumentStatus | None = None,
    media_type: Annotated[str | None, Query(max_length=127, pattern=NO_NUL)] = None,
    q: Annotated[
        str | None, Query(max_length=300, pattern=NO_NUL, description="Stands in the title or the file name.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DocumentRead]:
    """The documents of your projects, the newest first."""
    narrowing = DocumentFilter(project_id=project_id, status=status, media_type=media_type, words=q)
    rows = await services.documents.list(actor, narrowing, before=cursor, limit=limit + 1)
    return Page[DocumentRead].of(rows, limit)


@router.get("/documents/{document_id}", response_model=DocumentRead)
async def get_document(actor: Actor, services: ServicesDep, conditional: ConditionalDep, document_id: UUID) -> Document:
    """What is known about it, and how far it is read."""
    return conditional.tag(await services.documents.get(actor, document_id))


@router.patch("/documents/{document_id}", response_model=DocumentRead)
async def update_document(
    actor: Actor,
    services: ServicesDep,
    conditional: ConditionalDep,
    if_match: IfMatch,
    document_id: UUID,
    data: DocumentUpdate,
) -> Document:
    """Change the title or the metadata."""
    return conditional.tag(await services.documents.update(actor, document_id, data, expected=if_match))


@router.delete("/documents/{document_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_document(actor: Actor, services: ServicesDep, if_match: IfMatch, document_id: UUID) -> None:
    """Remove it with everything that was made from it."""
    await services.documents.delete(actor, document_id, expected=if_match)


@router.get("/documents/{document_id}/content", response_class=Response, responses=FILE_ANSWERS)
async def get_document_content(
    actor: Actor, services: ServicesDep, conditional: ConditionalDep, document_id: UUID
) -> Download:
    """The original, as it was uploaded."""
    original = conditional.tag(await services.documents.original(actor, document_id))
    return Download(
        original.open,
        size=original.document.size,
        media_type=original.document.media_type,
        filename=original.filename,
        version=original.version,
    )


@router.get("/documents/{document_id}/text", response_class=PlainTextResponse, responses=TEXT_ANSWERS)
async def get_document_text(actor: Actor, services: ServicesDep, document_id: UUID) -> PlainTextResponse:
    """What was read in it; all offsets count code points of this text."""
    return PlainTextResponse(await services.documents.text(actor, document_id))


def _of_passages(cursor: UUID | None) -> UUID | None:
    if cursor is not None and cursor.int > LAST_ORDINAL:
        raise ValueError("not a cursor of this list")
    return cursor


@router.get("/documents/{document_id}/chunks")
async def list_document_chunks(
    actor: Actor,
    services: ServicesDep,
    document_id: UUID,
    limit: Limit = 20,
    cursor: Annotated[Cursor, AfterValidator(_of_passages), WithJsonSchema(OF_PASSAGES)] = None,
) -> ChunkPage:
    """Its passages, in the order of the text."""
    after = -1 if cursor is None else cursor.int
    return ChunkPage.of(await services.documents.chunks(actor, document_id, after=after, limit=limit + 1), limit)


@router.get("/documents/{document_id}/check")
async def check_document(
    actor: Actor, services: ServicesDep, document_id: UUID, q: Annotated[Question, Query(description="A question.")]
) -> DocumentCheck:
    """Say why this document does or does not come up for a question: its state, its rank, what each ranker finds."""
    return await services.retrieval.check(actor, document_id, q)


@router.post("/documents/{document_id}/reingest", status_code=status.HTTP_202_ACCEPTED, response_model=IngestionRead)
async def reingest_document(actor: Actor, services: ServicesDep, response: Response, document_id: UUID) -> Ingestion:
    """Read it again; until that is done, searches find what was read before."""
    ingestion = await services.documents.reingest(actor, document_id)
    response.headers["Location"] = f"/api/v1/documents/{document_id}"
    return ingestion
