"""Text out of files. The parser runs in processes of its own, which are killed when a file is too much for them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from app.adapters.media_types import SUPPORTED, refusal
from app.adapters.parsers.documents import Extracted, Heading, Page
from app.adapters.processes import ProcessPool
from app.errors import ExtractionFailed
from app.settings import DocumentSettings

__all__ = ["Extracted", "Extractor", "Heading", "Page"]

MAX_BYTES_PER_CHARACTER: Final = 4


class Extractor:
    """Reads files in warm parser processes, at most `settings.parse_processes` at once; close it with `async with`."""

    def __init__(self, settings: DocumentSettings) -> None:
        self._settings = settings
        self._pool = ProcessPool(
            "app.adapters.parsing",
            processes=settings.parse_processes,
            memory_bytes=settings.parse_memory_bytes,
            timeout=settings.parse_timeout,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def extract(self, path: Path, media_type: str) -> Extracted:
        """Text, pages and headings of the file at `path`; offsets are code points of the text.

        Raises:
            ExtractionFailed: UNSUPPORTED_MEDIA_TYPE, EMPTY, NO_TEXT, ENCRYPTED, CORRUPT, TOO_LARGE, FILE_MISSING,
                PARSE_TIMEOUT or PARSE_CRASHED, with a message for the person who sent the file.
        """
        if media_type not in SUPPORTED:
            raise ExtractionFailed("UNSUPPORTED_MEDIA_TYPE", refusal(media_type), media_type=media_type)
        max_body = self._settings.max_characters * MAX_BYTES_PER_CHARACTER
        header, body = await self._pool.ask(self._request(path, media_type), max_body=max_body)
        pages = tuple(Page(*page) for page in header["pages"])
        headings = tuple(Heading(*heading) for heading in header["headings"])
        return Extracted(body.decode(), pages, headings, header["title"])

    def _request(self, path: Path, media_type: str) -> Mapping[str, Any]:
        return {
            "path": str(path.absolute()),
            "media_type": media_type,
            "max_pages": self._settings.max_pages,
            "max_characters": self._settings.max_characters,
        }
