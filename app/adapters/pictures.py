"""Pictures: what they are, when and where they were taken, what is shown of them. Read in processes of their own."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from app.adapters.processes import ProcessPool
from app.settings import MediaSettings

PICTURES: Final = frozenset(f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "avif", "heic", "tiff", "bmp"))
"""Media types that are read here; a test compares them with what the process can read."""
REDUCED: Final = "image/webp"
LARGEST_REPLY: Final = 1_073_741_824  # bytes of all renditions


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture is, as it is to be seen: `width` and `height` in pixels, turned upright.

    `taken_at` is `2023-07-04T23:30:00`, with an offset where the camera knew it; `latitude` and `longitude` are
    degrees, both or none; `orientation` is 1 to 8, as EXIF counts.
    """

    width: int
    height: int
    frames: int
    taken_at: str | None
    latitude: float | None
    longitude: float | None
    orientation: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture made of another: `name` is `shown` (all of it, for everybody), `large` or `small` (thumbnails)."""

    name: str
    media_type: str
    width: int
    height: int
    content: bytes


class Pictures:
    """At most `settings.processes` are read at once; close it with `async with`."""

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._pool = ProcessPool(
            "app.adapters.picturing",
            processes=settings.processes,
            memory_bytes=settings.memory_bytes,
            timeout=settings.timeout,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def inspect(self, path: Path, media_type: str) -> Picture:
        """What is in the file at `path`, of one of the `PICTURES`.

        Raises:
            ExtractionFailed: CORRUPT, TOO_LARGE (bytes, pixels or frames), PARSE_TIMEOUT or PARSE_CRASHED.
        """
        header, _ = await self._pool.ask(self._request("inspect", path, media_type), max_body=0)
        picture = header["picture"]
        taken = picture.pop("taken")
        return Picture(**picture, taken_at=taken.pop("at"), **taken)

    async def render(self, path: Path, media_type: str) -> Sequence[Rendition]:
        """What is shown of it, without what its file says of it. Raises ExtractionFailed, as `inspect` does."""
        return await self._made(self._request("render", path, media_type))

    async def reduce(self, path: Path, media_type: str, side: int) -> bytes:
        """WebP (`REDUCED`), upright, of at most `side` pixels in both directions and never larger than the picture.

        Raises:
            ExtractionFailed: as `inspect` does.
        """
        [made] = await self._made({**self._request("reduce", path, media_type), "side": side})
        return made.content

    async def reduce_bytes(self, content: bytes, media_type: str, side: int) -> bytes:
        """The same of a picture that is no file."""
        with tempfile.NamedTemporaryFile() as file:
            await asyncio.to_thread(_write, file, content)
            return await self.reduce(Path(file.name), media_type, side)

    async def _made(self, request: Mapping[str, Any]) -> Sequence[Rendition]:
        header, body = await self._pool.ask(request, max_body=LARGEST_REPLY)
        made, start = [], 0
        for name, kind, width, height, size in header["renditions"]:
            made.append(Rendition(name, kind, width, height, body[start : start + size]))
            start += size
        return made

    def _request(self, action: str, path: Path, media_type: str) -> Mapping[str, Any]:
        return {
            "action": action,
            "path": str(path.absolute()),
            "media_type": media_type,
            "max_pixels": self._settings.max_pixels,
            "max_frames": self._settings.max_frames,
        }


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
