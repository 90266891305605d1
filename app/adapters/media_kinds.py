"""What a file of a memory is: a picture, a sound, a film, or something else; told from its bytes."""

import re
from collections.abc import Mapping
from typing import Final

from app.adapters.media_types import UNKNOWN, sniff

AUDIO, FILE, IMAGE, VIDEO = "audio", "file", "image", "video"

LARGEST_HEAD: Final = 65_536  # bytes of the box that says what it is; more is a word that ends there
_BRANDS: Final[Mapping[bytes, str]] = {  # of files that consist of boxes, such as MP4
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}
_MPEG_FRAME: Final = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]")  # layers 1 to 3, any sane bit rate
_ADTS: Final = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_INLINE: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"))


def recognise(head: bytes, filename: str | None) -> str:
    """Media type of the file that begins with `head`, in which nothing said about it is believed."""
    if head[4:8] == b"ftyp" and int.from_bytes(head[:4]) < LARGEST_HEAD:
        return _box_kind(head)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"#!AMR"):
        return "audio/amr"
    found = sniff(head, filename)
    if found == UNKNOWN and _MPEG_FRAME.match(head):
        return "audio/mpeg"
    return "audio/aac" if found == UNKNOWN and _ADTS.match(head) else found


def kind_of(media_type: str) -> str:
    """`image`, `audio`, `video`, or `file`, which is anything else; an SVG is a document that may hold programs."""
    kind = media_type.partition("/")[0]
    return kind if kind in (AUDIO, IMAGE, VIDEO) and media_type != "image/svg+xml" else FILE


def is_shown(media_type: str) -> bool:
    """Whether browsers may show it where it is asked for, instead of saving it: nothing in it can run."""
    return media_type in _INLINE or kind_of(media_type) in (AUDIO, VIDEO)


def _box_kind(head: bytes) -> str:
    """By the first brand that is known; `mif1` says only that it is a picture of some kind."""
    size = min(int.from_bytes(head[:4]), 256, len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, size - 3, 4))]
    known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if known and brands[0] in (b"mif1", b"msf1") and "image/avif" in known:
        return "image/avif"
    return known[0] if known and brands[0] in _BRANDS else "video/mp4"
