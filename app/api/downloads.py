"""Files that are sent as they were uploaded: downloads, in which nothing runs in the name of this service."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

SANDBOX: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,4000})-([0-9]{0,4000})[ \t]*")

Open = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""The bytes from a start to an end (exclusive)."""


class Download(Response):
    """A whole file of `size` bytes, or the one `Range` of it that was asked for (RFC 9110, section 14).

    A header that asks for several ranges is ignored, as the RFC allows.
    """

    def __init__(
        self,
        open_bytes: Open,
        *,
        size: int,
        media_type: str,
        filename: str,
        version: str,
        disposition: str = "attachment",
    ) -> None:
        super().__init__(media_type=media_type)
        self._open = open_bytes
        self._size = size
        self._sent = {
            "Content-Type": self.headers.get("content-type", media_type),
            "Content-Disposition": _disposition(disposition, filename),
            "ETag": f'"{version}"',
            "Accept-Ranges": "bytes",
            "Content-Security-Policy": SANDBOX,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = self._wanted(Headers(scope=scope))
        start, end = wanted or (0, self._size)
        pieces = await self._open(start, end)
        headers = self._sent | {"Content-Length": str(end - start)}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{self._size}"
        await StreamingResponse(pieces, 206 if wanted else 200, headers)(scope, receive, send)

    def _wanted(self, headers: Headers) -> tuple[int, int] | None:
        """Start and end of the range that is asked for; None for the whole file. Raises HTTPException 416."""
        match = _RANGE.fullmatch(headers.get("range", ""))
        if match is None or match[1] + match[2] == "":
            return None
        if headers.get("if-range", self._sent["ETag"]) != self._sent["ETag"]:
            return None  # of another version
        first, last = match[1], match[2]
        if first and last and int(last) < int(first):
            return None  # malformed, and so ignored
        start = int(first) if first else max(0, self._size - int(last))
        end = min(self._size, int(last) + 1) if first and last else self._size
        if start >= end:
            message = f"The file has {self._size:,} bytes."
            raise HTTPException(416, message, {"Content-Range": f"bytes */{self._size}"})
        return start, end


def _disposition(kind: str, filename: str) -> str:
    """As RFC 6266 wants names that are not ASCII."""
    quoted = quote(filename, safe="")
    return f'{kind}; filename="{filename}"' if quoted == filename else f"{kind}; filename*=utf-8''{quoted}"
