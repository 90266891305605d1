"""Files of memories for tests, and pictures made by code."""

import base64
import io
import struct
import zlib
from typing import Any

from httpx import AsyncClient, Response
from PIL import Image

from tests.factories import User

TAKEN, ZONE = "2023:07:04 23:30:00", "+02:00"
SECRET = b"SECRET"  # stands in all that a picture says of itself
HEIC = base64.b64decode(  # of an encoder that is not among the dependencies: red above, blue below, with place and time
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAA"
    "AERAAAIAAQAAAAAB4QABAAAAAAAAADoAAgAAAAACGwABAAAAAAAAANwAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZl"
    "AgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH/"
    "/wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAKAAAAAEAAAAUAAAAAf///+gAAAAC////1AAAAAIAAAAQcGl4aQAAAAAD"
    "CAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAGmlyZWYAAAAAAAAADmNkc2MAAgABAAEAAAEebWRhdAAAADYoAa8ZIXKiQO9eScBo36N5taCG"
    "7c6hiTlCHG7VXUYuRj10qwn0eTkkkgB1DSCW1hqrEIwyiH8AAAAGRXhpZgAATU0AKgAAAAgAAwESAAMAAAABAAYAAIdpAAQAAAABAAAAMoglAAQA"
    "AAABAAAAbAAAAAAAApADAAIAAAAUAAAAUJARAAIAAAAHAAAAZAAAAAAyMDIzOjA3OjA0IDIzOjMwOjAwACswMjowMAAAAAQAAQACAAAAAk4AAAAA"
    "AgAFAAAAAwAAAKIAAwACAAAAAkUAAAAABAAFAAAAAwAAALoAAAAAAAAAOwAAAAEAAAA2AAAAAQAAACQAAAABAAAACgAAAAEAAAAtAAAAAQAAAAAA"
    "AAAB"
)
RED, BLUE = (200, 30, 30), (30, 30, 200)


async def attach(
    client: AsyncClient, user: User, memory_id: str, content: bytes, filename: str = "note.txt", **fields: str
) -> dict[str, Any]:
    """Add a file to a memory."""
    path, files = f"/api/v1/memories/{memory_id}/media", {"file": (filename, content)}
    response = await client.post(path, files=files, data=fields, headers=user.headers)
    assert response.is_success, response.text
    return response.json()


async def fetch(
    client: AsyncClient, user: User, media: dict[str, Any], what: str = "content", **headers: str
) -> Response:
    path = f"/api/v1/memories/{media['memory_id']}/media/{media['id']}/{what}"
    return await client.get(path, headers=user.headers | headers)


async def see(client: AsyncClient, user: User, media: dict[str, Any]) -> dict[str, Any]:
    response = await client.get(f"/api/v1/memories/{media['memory_id']}/media/{media['id']}", headers=user.headers)
    assert response.status_code == 200, response.text
    return response.json()


async def send(client: AsyncClient, user: User, memory: dict[str, Any], content: bytes, **fields: str) -> Response:
    files = {"file": ("picture", content)}
    path = f"/api/v1/memories/{memory['id']}/media"
    return await client.post(path, files=files, data=fields, headers=user.headers)


def make_exif(orientation: int = 1) -> Image.Exif:
    """Taken in Oslo, in the evening of a day in July."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = SECRET.decode()
    times = exif.get_ifd(0x8769)
    times[0x9003], times[0x9011] = TAKEN, ZONE
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (59.0, 54.0, 36.0), "E", (10.0, 45.0, 0.0)
    return exif


def make_picture(kind: str = "JPEG", *, size: tuple[int, int] = (40, 20), **options: Any) -> bytes:
    """Red above, blue below."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (0, size[1] // 2, *size))
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def make_photo(orientation: int = 1) -> bytes:
    """A JPEG with place, time, camera, comment and XMP."""
    return make_picture(
        exif=make_exif(orientation), comment=SECRET, xmp=b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>", quality=95
    )


def make_animation(kind: str, frames: int = 3, **options: Any) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (10 * n % 256, 0, n % 256)) for n in range(frames)]
    written = io.BytesIO()
    pictures[0].save(written, kind, save_all=True, append_images=pictures[1:], duration=50, loop=0, **options)
    return written.getvalue()


def make_png(width: int, height: int, *extra: tuple[bytes, bytes], pixels: bytes | None = None) -> bytes:
    """A PNG that says it has this size, whatever it has; `extra` are chunks by name and content."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(width * height + height) if pixels is None else pixels)
    chunks = ((b"IHDR", head), *extra, (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def make_film(*, place: bytes = b"+59.9100+010.7500+012.5/", seconds: int = 3_771_351_000) -> bytes:
    """An MP4 of no pictures, which says when (since 1904) and where it was taken, in boxes as Android and iOS do."""

    def box(name: bytes, *content: bytes) -> bytes:
        inside = b"".join(content)
        return struct.pack(">I", len(inside) + 8) + name + inside

    head = box(b"mvhd", bytes(4), struct.pack(">II", seconds, seconds), bytes(88))
    track = box(b"trak", box(b"tkhd", bytes(84)), box(b"udta", box(b"name", SECRET)))
    told = box(b"udta", box(b"\xa9xyz", struct.pack(">HH", len(place), 0) + place), box(b"\xa9mod", SECRET))
    index = box(b"moov", head, track, told, box(b"meta", bytes(4), SECRET))
    xmp = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), SECRET)
    return box(b"ftyp", b"isom", bytes(4), b"isommp42") + index + xmp + box(b"mdat", b"THE PICTURES" * 50)
