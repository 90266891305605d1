"""The bytes of files of memories as they are sent: all of them, without what a film says, or made of a picture."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from app.adapters.films import blanked
from app.adapters.media_kinds import is_shown
from app.models import Media, MediaRendition
from app.services.blobs import BlobService

EXTENSIONS: Final = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """Bytes to send, from a start to an end (exclusive); `version` is another one when they are others."""

    open: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
    size: int
    media_type: str
    filename: str
    version: str

    @property
    def disposition(self) -> str:
        """Shown in place, or saved: whatever could run is saved."""
        return "inline" if is_shown(self.media_type) else "attachment"


def original_of(blobs: BlobService, media: Media) -> MediaFile:
    """As it was uploaded."""
    return MediaFile(
        lambda start, end: blobs.open(media.sha256, start=start, end=end),
        media.size,
        media.media_type,
        media.filename or f"{media.id}{EXTENSIONS.get(media.media_type, '')}",
        media.sha256,
    )


def film_of(blobs: BlobService, media: Media) -> MediaFile:
    """As it was uploaded, apart from what it says of itself."""
    original = original_of(blobs, media)

    async def open_blanked(start: int, end: int) -> AsyncIterator[bytes]:
        return _with_blanks(await original.open(start, end), start, media.blanks)

    return replace(original, open=open_blanked, version=f"{media.sha256}-blanked")


def rendition_of(blobs: BlobService, media: Media, made: MediaRendition) -> MediaFile:
    """What was made of a picture, under the name that the picture has."""
    stem = PurePosixPath(media.filename or str(media.id)).stem or str(media.id)
    return MediaFile(
        lambda start, end: blobs.open(made.sha256, start=start, end=end),
        made.size,
        made.media_type,
        stem + EXTENSIONS.get(made.media_type, ""),
        made.sha256,
    )


async def _with_blanks(
    pieces: AsyncIterator[bytes], offset: int, blanks: Sequence[Sequence[int]]
) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield blanked(piece, offset, blanks)
        offset += len(piece)
