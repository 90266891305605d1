"""Animations without what is said about them: the frames stay byte for byte, everything beside them goes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from app.adapters.parsers.documents import Unreadable

GIF_HEAD: Final = 13
GIF_EXTENSION, GIF_IMAGE, GIF_END = 0x21, 0x2C, 0x3B
GIF_CONTROL, GIF_APPLICATION = 0xF9, 0xFF
GIF_LOOPS: Final = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
PNG_MARK: Final = b"\x89PNG\r\n\x1a\n"
PNG_KEPT: Final = frozenset(
    b"IHDR PLTE tRNS gAMA cHRM sRGB iCCP sBIT bKGD pHYs acTL fcTL fdAT IDAT IEND".split()  # the picture and its colours
)
WEBP_KEPT: Final = frozenset(b"VP8X|ICCP|ANIM|ANMF|ALPH|VP8 |VP8L".split(b"|"))
WEBP_HAS_EXIF, WEBP_HAS_XMP = 0x08, 0x04


def scrub_gif(content: bytes) -> bytes:
    """
    Raises:
        Unreadable: CORRUPT.
    """
    return b"".join(piece for piece, _ in _gif_blocks(content))


def count_gif_frames(content: bytes) -> int:
    """
    Raises:
        Unreadable: CORRUPT.
    """
    return sum(is_frame for _, is_frame in _gif_blocks(content))


def _gif_blocks(content: bytes) -> Iterator[tuple[bytes, bool]]:
    """What is kept, block by block, and whether it is a frame; what stands behind the end is not looked at."""
    try:
        position = GIF_HEAD + _color_table_bytes(content[10])
        yield content[:position], False
        while content[position] != GIF_END:
            start = position
            if content[position] == GIF_IMAGE:
                position += 10 + _color_table_bytes(content[position + 9]) + 1  # and how many bits a code has
            elif content[position] == GIF_EXTENSION:
                position += 2
            else:
                raise _damaged()
            body = position
            position = _behind_blocks(content, position)
            is_frame = content[start] == GIF_IMAGE
            if is_frame or _is_kept_extension(content, start, body):
                yield content[start:position], is_frame
    except IndexError:
        raise _damaged() from None
    yield bytes([GIF_END]), False


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(content: bytes, position: int) -> int:
    while length := content[position]:
        position += length + 1
    return position + 1


def _is_kept_extension(content: bytes, start: int, body: int) -> bool:
    label = content[start + 1]
    return label == GIF_CONTROL or (label == GIF_APPLICATION and content[body + 1 : body + 12] in GIF_LOOPS)


def scrub_png(content: bytes) -> bytes:
    """
    Raises:
        Unreadable: CORRUPT.
    """
    kept, position = [PNG_MARK], len(PNG_MARK)
    while True:
        length, name = int.from_bytes(content[position : position + 4]), content[position + 4 : position + 8]
        end = position + 12 + length
        if len(name) < 4 or end > len(content):
            raise _damaged()
        if name in PNG_KEPT:
            kept.append(content[position:end])
        if name == b"IEND":
            return b"".join(kept)
        position = end


def scrub_webp(content: bytes) -> bytes:
    """
    Raises:
        Unreadable: CORRUPT.
    """
    kept, position = [], 12
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    while position + 8 <= end:
        name, length = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        following = position + 8 + length + length % 2
        if position + 8 + length > end:
            raise _damaged()
        if name in WEBP_KEPT:
            chunk = bytearray(content[position:following])
            if name == b"VP8X":
                chunk[8] &= ~(WEBP_HAS_EXIF | WEBP_HAS_XMP)
            kept.append(bytes(chunk))
        position = following
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


SCRUBBERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "image/gif": scrub_gif,
    "image/png": scrub_png,
    "image/webp": scrub_webp,
}


def _damaged() -> Unreadable:
    return Unreadable("CORRUPT", "The picture is damaged: it could not be read.")
