"""Files that are sent as they were uploaded: downloads, in which nothing runs in the name of this service."""

from pathlib import Path
from typing import Final

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"


class Download(FileResponse):
    """A whole file, or the `Range` of it that was asked for (RFC 9110, section 14)."""

    def __init__(self, path: Path, *, media_type: str, filename: str, version: str) -> None:
        headers = {
            "ETag": f'"{version}"',
            "Content-Security-Policy": SANDBOX,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }
        super().__init__(path, media_type=media_type, filename=filename, headers=headers)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        """Starlette answers in plain text where a range is wrong; every error of ours has one form."""
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []  # such a header is ignored, says the RFC
        except RangeNotSatisfiable as error:
            message = f"The file has {file_size:,} bytes."
            raise HTTPException(416, message, {"Content-Range": f"bytes */{file_size}"}) from error
