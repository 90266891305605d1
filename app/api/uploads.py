"""A document on its way in: from the request as it arrives straight into the store, never as a whole in memory."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.adapters.media_types import TEXT
from app.adapters.storage import StoredBlob
from app.api.deps import Actor, ServicesDep
from app.api.multipart import Multipart, Part
from app.errors import InvalidInput, PayloadTooLarge, UnsupportedMediaType
from app.permissions import Principal
from app.schemas.documents import DocumentFields, DocumentTextCreate, DocumentUrlCreate, safe_filename
from app.services import Services
from app.services.documents import Upload

MAX_FORM_BYTES: Final = 1_048_576  # of a form beside its file
MAX_JSON_BYTES: Final = 8_388_608  # a JSON body is read as a whole; longer texts are uploaded as files

REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "project_id": {"type": "string", "format": "uuid", "description": "Default: your own project."},
                    "title": {"type": "string", "maxLength": 300, "description": "Default: the file's."},
                    "metadata": {"type": "string", "description": "A JSON object of your own."},
                },
            }
        },
        "application/json": {
            "schema": {"oneOf": [DocumentTextCreate.model_json_schema(), DocumentUrlCreate.model_json_schema()]}
        },
    },
}


async def receive_upload(request: Request, actor: Actor, services: ServicesDep) -> Upload:
    """The document in the body of `request`; nothing of it stays in the store when it is refused here.

    The body is not a declared parameter, for FastAPI would read it as a whole, and before it knows who is calling.
    """
    refuse_announced(request, services.blobs.max_bytes + MAX_FORM_BYTES)
    content_type = request.headers.get("content-type", "")
    match content_type.partition(";")[0].strip().lower():
        case "multipart/form-data":
            return await receive_file(Multipart(content_type, request.stream()), services)
        case "application/json":
            return await _receive_json(actor, request, services)
    raise UnsupportedMediaType("A document is sent as multipart/form-data with a `file`, or as application/json.")


UploadDep = Annotated[Upload, Depends(receive_upload)]


async def receive_file(body: Multipart, services: Services) -> Upload:
    """The document in a form; nothing of it stays in the store when it is refused here."""
    form = _Form()
    try:
        await form.read(body, services)
        return form.upload()
    except BaseException:
        if form.blob is not None:
            await services.blobs.discard(form.blob.sha256)
        raise


class _Form:
    """What was read of a form so far."""

    def __init__(self) -> None:
        self.blob: StoredBlob | None = None
        self._filename: str | None = None
        self._fields: dict[str, Any] = {}

    async def read(self, body: Multipart, services: Services) -> None:
        async for part in body.parts():
            if part.name == "file":
                await self._take_file(part, body, services)
            elif part.name in DocumentFields.model_fields:
                self._fields[part.name] = await body.text()

    def upload(self) -> Upload:
        if self.blob is None:
            raise InvalidInput("The part `file` is missing.", field="file")
        return Upload(self.blob, validate(DocumentFields, _decoded(self._fields)), self._filename)

    async def _take_file(self, part: Part, body: Multipart, services: Services) -> None:
        if self.blob is not None:
            raise InvalidInput("One request carries one file.", field="file")
        self._filename = safe_filename(part.filename)
        self.blob = await services.blobs.store(body.data())


def refuse_announced(request: Request, limit: int) -> None:
    """Nobody needs to send 50 MB to hear that they are too many; a chunked body is counted as it comes."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise PayloadTooLarge(f"A request may have at most {limit:,} bytes here.", max_bytes=limit)


async def _receive_json(actor: Principal, request: Request, services: Services) -> Upload:
    refuse_announced(request, MAX_JSON_BYTES)
    given = _parse(await _read_bounded(request.stream()))
    if isinstance(given, dict) and "url" in given:
        return await services.documents.fetch(actor, validate(DocumentUrlCreate, given))
    data = validate(DocumentTextCreate, given)
    blob = await services.blobs.store(_once(data.text.encode()))
    return Upload(blob, data, media_type=TEXT)


async def _read_bounded(stream: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for piece in stream:
        body += piece
        if len(body) > MAX_JSON_BYTES:
            raise PayloadTooLarge(
                f"A JSON body may have at most {MAX_JSON_BYTES:,} bytes: send a longer text as a file.",
                max_bytes=MAX_JSON_BYTES,
            )
    return bytes(body)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        problem = {"loc": ("body",), "msg": f"JSON decode error: {error}", "type": "json_invalid"}
        raise RequestValidationError([problem]) from error


def _decoded(fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields of a form are texts; an empty one was left out, and `metadata` is JSON."""
    given: dict[str, Any] = {name: text for name, text in fields.items() if text}
    if "metadata" in given:
        given["metadata"] = _parse(given["metadata"].encode())
    return given


Fields = TypeVar("Fields", bound=BaseModel)


def validate(model: type[Fields], given: Any) -> Fields:
    """Raises RequestValidationError."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from error
