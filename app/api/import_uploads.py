"""A file of memories on its way in: from the request straight into the store."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.adapters.storage import StoredBlob
from app.api.deps import Actor, ServicesDep
from app.api.multipart import Multipart
from app.api.uploads import MAX_FORM_BYTES, refuse_announced
from app.errors import InvalidInput, UnsupportedMediaType
from app.schemas.documents import safe_filename
from app.schemas.imports import ImportFields
from app.services import Services
from app.services.imports import ImportUpload

REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "format": {"type": "string", "enum": ["jsonl", "csv", "ical", "archive", "photos"]},
                    "source": {"type": "string", "maxLength": 100},
                    "timezone": {"type": "string", "description": "Of times without an offset. Default: yours."},
                },
            }
        }
    },
}


async def receive_import(request: Request, actor: Actor, services: ServicesDep) -> ImportUpload:  # noqa: ARG001 - who calls
    """The file in the body of `request`; nothing of it stays in the store when it is refused here."""
    refuse_announced(request, services.imports.max_bytes + MAX_FORM_BYTES)
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedMediaType("Memories are sent as multipart/form-data with a `file`.")
    form = _Form(services)
    try:
        await form.read(Multipart(content_type, request.stream()))
        return form.upload()
    except BaseException:
        await form.discard()
        raise


ImportDep = Annotated[ImportUpload, Depends(receive_import)]


class _Form:
    """What was read of a form so far."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._blob: StoredBlob | None = None
        self._filename: str | None = None
        self._fields: dict[str, str] = {}

    async def read(self, body: Multipart) -> None:
        async for part in body.parts():
            if part.name == "file" and self._blob is None:
                self._filename = safe_filename(part.filename)
                most = self._services.imports.max_bytes
                self._blob = await self._services.blobs.store(body.data(), max_bytes=most)
            elif part.name == "file":
                raise InvalidInput("One request carries one file.", field="file")
            elif part.name in ImportFields.model_fields:
                self._fields[part.name] = await body.text()

    def upload(self) -> ImportUpload:
        if self._blob is None:
            raise InvalidInput("The part `file` is missing.", field="file")
        return ImportUpload(self._blob, _validated(self._fields), self._filename)

    async def discard(self) -> None:
        if self._blob is not None:
            await self._services.blobs.discard(self._blob.sha256)


def _validated(given: Mapping[str, str]) -> ImportFields:
    """An empty field was left out."""
    try:
        return ImportFields.model_validate({name: text for name, text in given.items() if text})
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from error
