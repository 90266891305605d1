"""Files of projects over HTTP: bodies are files as they are, in both directions."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Header, Path, Query, Request, Response, status

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, Limit, ServicesDep
from app.api.downloads import SANDBOX, Download
from app.api.routing import Router
from app.errors import InvalidInput
from app.models import ProjectFile
from app.schemas.common import ErrorResponse
from app.schemas.files import FilePage, FileRead, PathCursor, PathPrefix, ProjectPath
from app.services.files import Wish

router = Router(prefix="/projects/{project_id}", tags=["projects"])

INLINE: Final = frozenset(
    ("image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "video/mp4", "video/webm", "audio/mpeg")
)
"""What a browser may show by itself: nothing in it runs. All else is downloaded."""
UPLOAD_BYTES: Final = 2**40  # no limit here: the project's is kept while the bytes come in
ERROR_SCHEMA: Final = {"$ref": "#/components/schemas/ErrorResponse"}
FILE: Final = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
PUT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "The file as it is; its type is told from its bytes.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
PUT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": FileRead, "description": "It was put in the place of the one with this path"},
    413: {"model": ErrorResponse, "description": "Too large, or more than the project's files may be together"},
}
FILE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file", "content": FILE},
    206: {"description": "The bytes that the header `Range` asks for"},
    416: {"description": "There are no such bytes", "content": {"application/json": {"schema": ERROR_SCHEMA}}},
}
PREVIEW_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "WebP, or plain text", "content": {"image/webp": {}, "text/plain": {}}},
    415: {
        "description": "There is nothing to show of such a file",
        "content": {"application/json": {"schema": ERROR_SCHEMA}},
    },
}
OfFile = Annotated[ProjectPath, Path()]


@router.get("/files", response_model=FilePage)
async def list_files(
    actor: Actor,
    services: ServicesDep,
    project_id: UUID,
    prefix: Annotated[PathPrefix, Query(description="What the paths begin with, such as `notes/`.")] = "",
    limit: Limit = 20,
    cursor: Annotated[PathCursor, Query(description="`next_cursor` of the page before.")] = None,
) -> FilePage:
    """The project's files, in the order of their paths."""
    rows = await services.workspace.files.list(actor, project_id, prefix=prefix, after=cursor, limit=limit + 1)
    return FilePage.of(rows, limit)


@router.put(
    "/files/{path:path}",
    status_code=status.HTTP_201_CREATED,
    response_model=FileRead,
    responses=PUT_ANSWERS,
    openapi_extra={"requestBody": PUT_BODY},
    max_body_size=UPLOAD_BYTES,
)
async def put_file(
    actor: Actor,
    services: ServicesDep,
    request: Request,
    response: Response,
    conditional: ConditionalDep,
    project_id: UUID,
    path: OfFile,
    expected: IfMatch,
    if_none_match: Annotated[str, Header(description="`*`: only where there is none yet.")] = "",
) -> ProjectFile:
    """Keep the body as a file of the project; what was under this path is replaced."""
    must_be_new = if_none_match.strip() == "*"
    wish = Wish(project_id, path, actor.user_id, expected=expected, must_be_new=must_be_new)
    put = await services.workspace.files.put(actor, wish, request.stream(), announced=_announced(request))
    response.status_code = status.HTTP_201_CREATED if put.is_new else status.HTTP_200_OK
    response.headers["Location"] = FileRead.model_validate(put.file).url
    return conditional.tag(put.file)


@router.get("/files/{path:path}", response_class=Response, responses=FILE_ANSWERS)
async def get_file(
    actor: Actor, services: ServicesDep, conditional: ConditionalDep, project_id: UUID, path: OfFile
) -> Download:
    """The file as it is."""
    content = conditional.tag(await services.workspace.files.content(actor, project_id, path))
    return Download(
        content.open,
        size=content.file.size,
        media_type=content.file.media_type,
        filename=path.rpartition("/")[2],
        version=content.version,
        disposition="inline" if content.file.media_type in INLINE else "attachment",
    )


@router.delete("/files/{path:path}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_file(actor: Actor, services: ServicesDep, project_id: UUID, path: OfFile, expected: IfMatch) -> None:
    """Remove it."""
    await services.workspace.files.delete(actor, project_id, path, expected=expected)


@router.get("/previews/{path:path}", response_class=Response, responses=PREVIEW_ANSWERS)
async def get_file_preview(
    actor: Actor,
    services: ServicesDep,
    conditional: ConditionalDep,
    project_id: UUID,
    path: OfFile,
    size: Annotated[int, Query(ge=16, le=1024, description="Pixels of the longer side of a picture.")] = 256,
) -> Response:
    """A small picture of a picture, or the first lines of a text."""
    files = services.workspace.files
    file = conditional.tag(await files.get(actor, project_id, path))
    preview = await files.preview(file, size)
    headers = {
        "ETag": f'"{file.version}"',
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
    }
    return Response(preview.content, media_type=preview.media_type, headers=headers)


def _announced(request: Request) -> int:
    """How many bytes the client says that will come; 0 where it does not say."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 18:
        raise InvalidInput("The header Content-Length is not a number.", field="Content-Length")
    return int(length)
