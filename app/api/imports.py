"""Memories in and out over HTTP: files that come in, and everything as an archive."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response, status
from fastapi.responses import StreamingResponse

from app.api.conditional import ConditionalDep
from app.api.deps import Actor, Cursor, Limit, ServicesDep
from app.api.import_uploads import REQUEST_BODY, ImportDep
from app.api.routing import Router
from app.events import utc_now
from app.models import MemoryImport
from app.schemas.common import ErrorResponse, Page
from app.schemas.imports import ImportRead, ImportStarted
from app.services.imports import StartedImport

router = Router(prefix="/memories", tags=["memories"])

UPLOAD_BYTES: Final = 2**40  # no limit here: the setting MEMORY_IMPORT_MAX_BYTES is kept while the bytes come in
UPLOAD_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    413: {"model": ErrorResponse, "description": "Too large"},
    415: {"model": ErrorResponse, "description": "No multipart body"},
}
ARCHIVE_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A ZIP archive", "content": {"application/zip": {"schema": {"type": "string"}}}}
}


@router.post(
    "/imports",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=ImportStarted,
    responses=UPLOAD_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=UPLOAD_BYTES,
)
async def import_memories(actor: Actor, services: ServicesDep, response: Response, upload: ImportDep) -> StartedImport:
    """Bring in memories: JSON Lines, CSV, iCalendar, or an archive of `/memories/export`.

    The same file again changes nothing; where a record says something else than before, its memory is changed.
    """
    started = await services.imports.start(actor, upload)
    response.headers["Location"] = f"/api/v1/memories/imports/{started.started.id}"
    return started


@router.get("/imports")
async def list_memory_imports(
    actor: Actor, services: ServicesDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[ImportRead]:
    """Your imports, the newest first."""
    return Page[ImportRead].of(await services.imports.list(actor, before=cursor, limit=limit + 1), limit)


@router.get("/imports/{import_id}", response_model=ImportRead)
async def get_memory_import(
    actor: Actor, services: ServicesDep, import_id: UUID, conditional: ConditionalDep
) -> MemoryImport:
    """How far an import of yours is, and what could not be read."""
    return conditional.tag(await services.imports.get(actor, import_id))


@router.get("/export", response_class=StreamingResponse, responses=ARCHIVE_ANSWER)
async def export_memories(actor: Actor, services: ServicesDep) -> StreamingResponse:
    """All memories that are yours as one ZIP archive, made while you download it; an import takes it in again."""
    pieces = await services.exports.memories.export(actor)
    headers = {
        "Content-Disposition": f'attachment; filename="memories-{utc_now():%Y-%m-%d}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)
