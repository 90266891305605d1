"""Files, as OpenAI's clients upload and read them: documents."""

from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Path, Query, Request, Response

from app.api.deps import Actor, ServicesDep
from app.api.documents import FILE_ANSWERS, UPLOAD_BYTES
from app.api.downloads import Download
from app.api.multipart import Multipart
from app.api.routing import Router
from app.api.uploads import MAX_FORM_BYTES, receive_file, refuse_announced
from app.errors import UnsupportedMediaType
from app.repositories.documents import DocumentFilter
from app.schemas.openai_common import DeletedRead, FileId, OpenAIErrorResponse, PageOf, page_of, uuid_of
from app.schemas.openai_files import FileRead
from app.services.documents import Upload

router = Router(tags=["openai"])

MOST_LISTED: Final = 100
FORM: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "purpose": {"type": "string", "description": "Makes no difference: all files are `assistants`."},
                },
            }
        }
    },
}
UPLOAD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    415: {"model": OpenAIErrorResponse, "description": "A file that cannot be read"}
}
CONTENT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: FILE_ANSWERS[200],
    206: FILE_ANSWERS[206],
    416: {"model": OpenAIErrorResponse, "description": "There are no such bytes"},
}

FileIdInPath = Annotated[FileId, Path()]
After = Annotated[FileId | None, Query(description="`last_id` of the page before.")]
PageSize = Annotated[int, Query(ge=1, le=10_000, description=f"At most; a page has no more than {MOST_LISTED}.")]
NewestFirst = Annotated[Literal["desc"] | None, Query(description="The newest come first.")]


async def receive_openai_file(request: Request, actor: Actor, services: ServicesDep) -> Upload:  # noqa: ARG001 - first
    refuse_announced(request, services.blobs.max_bytes + MAX_FORM_BYTES)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise UnsupportedMediaType("A file is sent as multipart/form-data.")
    return await receive_file(Multipart(content_type, request.stream()), services)


@router.post("/files", responses=UPLOAD_ANSWERS, openapi_extra={"requestBody": FORM}, max_body_size=UPLOAD_BYTES)
async def create_openai_file(
    actor: Actor, services: ServicesDep, upload: Annotated[Upload, Depends(receive_openai_file)]
) -> FileRead:
    """Add a document to your default project; reading it goes on in the background.

    Put into a vector store, it moves there and keeps its id. The same bytes again are the file that is there.
    """
    return FileRead.of((await services.documents.create(actor, upload)).document)


@router.get("/files")
async def list_openai_files(
    actor: Actor,
    services: ServicesDep,
    after: After = None,
    limit: PageSize = 100,
    order: NewestFirst = None,  # noqa: ARG001 - there is no other
) -> PageOf[FileRead]:
    """The documents of all your projects, the newest first."""
    most = min(limit, MOST_LISTED)
    before = uuid_of(after) if after else None
    rows = await services.documents.list(actor, DocumentFilter(), before=before, limit=most + 1)
    return page_of([FileRead.of(row) for row in rows], most)


@router.get("/files/{file_id}")
async def get_openai_file(actor: Actor, services: ServicesDep, file_id: FileIdInPath) -> FileRead:
    """What is known about it, and how far it is read."""
    return FileRead.of(await services.documents.get(actor, uuid_of(file_id)))


@router.delete("/files/{file_id}")
async def delete_openai_file(
    actor: Actor, services: ServicesDep, file_id: FileIdInPath
) -> DeletedRead[Literal["file"]]:
    """Remove it with everything that was made from it."""
    await services.documents.delete(actor, uuid_of(file_id), expected=None)
    return DeletedRead(id=file_id, object="file")


@router.get("/files/{file_id}/content", response_class=Response, responses=CONTENT_ANSWERS)
async def get_openai_file_content(actor: Actor, services: ServicesDep, file_id: FileIdInPath) -> Download:
    """The original, as it was uploaded."""
    original = await services.documents.original(actor, uuid_of(file_id))
    return Download(
        original.open,
        size=original.document.size,
        media_type=original.document.media_type,
        filename=original.filename,
        version=original.version,
    )
