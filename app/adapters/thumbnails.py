"""Small pictures of pictures, made in a thread and without trust in what is decoded."""

import asyncio
import io
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from app.errors import UnsupportedMediaType

THUMBNAIL: Final = "image/webp"
MOST_PIXELS: Final = 64_000_000  # of a picture that is decoded: 256 MB while that lasts
AT_ONCE: Final = 2


class Thumbnails:
    """Few are made at once, whoever asks."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def make(self, path: Path, media_type: str, size: int) -> bytes:
        """WebP, upright, `size` pixels at most in both directions; never larger than the picture.

        Raises:
            UnsupportedMediaType: it cannot be decoded, or has too many pixels.
        """
        async with self._turns:
            return await asyncio.to_thread(_make, path, media_type.removeprefix("image/").upper(), size)


def _make(path: Path, form: str, size: int) -> bytes:
    """`form` is what the decoder calls it: no other is tried."""
    try:
        with Image.open(path, formats=[form]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise UnsupportedMediaType(f"Pictures of more than {MOST_PIXELS:,} pixels are not shown small.")
            picture.draft("RGB", (size, size))  # JPEG alone: decodes a smaller one right away
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((size, size))
            small = upright if upright.mode in ("RGB", "RGBA") else upright.convert("RGBA")
            written = io.BytesIO()
            small.save(written, "WEBP", quality=80)
            return written.getvalue()
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UnsupportedMediaType("This picture cannot be decoded.") from error
