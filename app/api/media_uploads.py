"""A file of a memory on its way in: straight into the store, once it is clear that the caller may add it."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request

from app.adapters.storage import StoredBlob
from app.api.deps import Actor, ServicesDep
from app.api.multipart import Multipart
from app.api.uploads import MAX_FORM_BYTES, refuse_announced, validate
from app.errors import InvalidInput, UnsupportedMediaType
from app.schemas.documents import safe_filename
from app.schemas.media import MediaFields
from app.services import Services
from app.services.media import MediaUpload

REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "keeps_metadata": {
                        "type": "boolean",
                        "default": False,
                        "description": "Everybody who sees the memory gets the file as it is, with place and time.",
                    },
                    "fill": {
                        "type": "string",
                        "pattern": "^ *(occurred_at|location)?( *, *(occurred_at|location))? *$",
                        "description": "`occurred_at,location`: take time and place of the picture where your memory "
                        "says nothing about them.",
                    },
                },
            }
        }
    },
}


async def receive_media(request: Request, actor: Actor, services: ServicesDep, memory_id: UUID) -> MediaUpload:
    """The file in the body of `request`; nothing of it stays in the store when it is refused here."""
    await services.media.require_addable(actor, memory_id)
    refuse_announced(request, services.media.max_bytes + MAX_FORM_BYTES)
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedMediaType("A file is sent as multipart/form-data, in a part called `file`.")
    return await _receive(Multipart(content_type, request.stream()), services)


MediaUploadDep = Annotated[MediaUpload, Depends(receive_media)]


async def _receive(body: Multipart, services: Services) -> MediaUpload:
    blob: StoredBlob | None = None
    filename: str | None = None
    fields: dict[str, str] = {}
    try:
        async for part in body.parts():
            if part.name == "file":
                _require_first(blob)
                filename, blob = safe_filename(part.filename), await services.media.store(body.data())
            elif part.name in MediaFields.model_fields:
                fields[part.name] = await body.text()
        if blob is None:
            raise InvalidInput("The part `file` is missing.", field="file")  # noqa: TRY301 - what was stored goes below
        given = {name: text for name, text in fields.items() if text}  # an empty field was left out
        return MediaUpload(blob, validate(MediaFields, given), filename)
    except BaseException:
        if blob is not None:
            await services.media.discard(blob)
        raise


def _require_first(blob: StoredBlob | None) -> None:
    if blob is not None:
        raise InvalidInput("One request carries one file.", field="file")
