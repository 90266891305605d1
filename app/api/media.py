"""Files of memories over HTTP."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.documents import ERROR_SCHEMA, FILE_ANSWERS, UPLOAD_BYTES
from app.api.downloads import Download
from app.api.media_uploads import REQUEST_BODY, MediaUploadDep
from app.api.routing import Router
from app.repositories.media import SeenMedia
from app.schemas.common import ErrorResponse, Page
from app.schemas.media import MediaRead, MediaUpdate, ThumbnailName
from app.services.media_files import MediaFile

router = Router(prefix="/memories/{memory_id}/media", tags=["media"])

UPLOAD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": MediaRead, "description": "The same bytes are in this memory already"},
    409: {"model": ErrorResponse, "description": "The memory has as many files as it may"},
    413: {"model": ErrorResponse, "description": "Too large: its bytes, its pixels or its frames"},
    415: {"model": ErrorResponse, "description": "No multipart form"},
}
NOT_YET: Final = {"description": "It is not prepared yet, or could not be"}
SHOWN_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **FILE_ANSWERS,
    200: {**FILE_ANSWERS[200], "description": "The file"},
    409: {**NOT_YET, "content": {"application/json": {"schema": ERROR_SCHEMA}}},
}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=MediaRead,
    responses=UPLOAD_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=UPLOAD_BYTES,
)
async def create_media(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    upload: MediaUploadDep,
    response: Response,
    conditional: ConditionalDep,
) -> SeenMedia:
    """Add a picture, a sound, a film or another file to a memory. The same bytes are the file that is there: 200.

    What is shown of a picture, and its thumbnails, follow in the background; `status` says how far that is.
    """
    added = await services.media.create(actor, memory_id, upload)
    response.headers["Location"] = f"/api/v1/memories/{memory_id}/media/{added.media.id}"
    response.status_code = status.HTTP_201_CREATED if added.is_new else status.HTTP_200_OK
    return conditional.tag(added.media)


@router.get("")
async def list_media(
    actor: Actor, services: ServicesDep, memory_id: UUID, limit: Limit = 20, cursor: Cursor = None
) -> Page[MediaRead]:
    """The files of a memory, in the order in which they were added."""
    return Page[MediaRead].of(await services.media.list(actor, memory_id, after=cursor, limit=limit + 1), limit)


@router.get("/{media_id}", response_model=MediaRead)
async def get_media(
    actor: Actor, services: ServicesDep, memory_id: UUID, media_id: UUID, conditional: ConditionalDep
) -> SeenMedia:
    """What is known about a file."""
    return conditional.tag(await services.media.get(actor, memory_id, media_id))


@router.patch("/{media_id}", response_model=MediaRead)
async def update_media(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    media_id: UUID,
    changes: MediaUpdate,
    expected: IfMatch,
    conditional: ConditionalDep,
) -> SeenMedia:
    """Let others see what a picture says of itself, or not; by who added it."""
    return conditional.tag(await services.media.update(actor, memory_id, media_id, changes, expected=expected))


@router.delete("/{media_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_media(actor: Actor, services: ServicesDep, memory_id: UUID, media_id: UUID, expected: IfMatch) -> None:
    """Take a file out of a memory, for good; by who added it, or by the owner of the memory."""
    await services.media.delete(actor, memory_id, media_id, expected=expected)


@router.get("/{media_id}/content", response_class=Response, responses=SHOWN_ANSWERS)
async def get_media_content(
    actor: Actor, services: ServicesDep, memory_id: UUID, media_id: UUID, conditional: ConditionalDep
) -> Download:
    """The file as everybody gets it who sees the memory: a picture upright, without what it says of itself."""
    return _download(conditional.tag(await services.media.content(actor, memory_id, media_id)))


@router.get("/{media_id}/thumbnails/{name}", response_class=Response, responses=SHOWN_ANSWERS)
async def get_media_thumbnail(
    actor: Actor,
    services: ServicesDep,
    memory_id: UUID,
    media_id: UUID,
    name: ThumbnailName,
    conditional: ConditionalDep,
) -> Download:
    """A small copy of a picture, as WebP."""
    return _download(conditional.tag(await services.media.thumbnail(actor, memory_id, media_id, name)))


@router.get("/{media_id}/original", response_class=Response, responses=FILE_ANSWERS)
async def get_media_original(
    actor: Actor, services: ServicesDep, memory_id: UUID, media_id: UUID, conditional: ConditionalDep
) -> Download:
    """The file as it was uploaded, with all that it says of itself; for who added it alone."""
    return _download(conditional.tag(await services.media.original(actor, memory_id, media_id)))


def _download(file: MediaFile) -> Download:
    return Download(
        file.open,
        size=file.size,
        media_type=file.media_type,
        filename=file.filename,
        version=file.version,
        disposition=file.disposition,
    )
