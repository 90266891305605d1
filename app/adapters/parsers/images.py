"""Pictures: what they are, and what is shown of them, made anew from the pixels, so that nothing else comes along."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pi_heif
from PIL import Image, JpegImagePlugin

from app.adapters.parsers.documents import Unreadable
from app.adapters.parsers.exif import Taken, read_exif
from app.adapters.parsers.scrubbing import SCRUBBERS, count_gif_frames

FORMATS: Final[Mapping[str, str]] = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}
"""Pictures that are shown: media type to what Pillow calls it."""
ANIMATED: Final = frozenset(SCRUBBERS)
THUMBNAILS: Final[Mapping[str, int]] = {"large": 1280, "small": 320}  # pixels of the longer side, the larger first
SHOWN, REDUCED = "shown", "reduced"
LARGEST_PROFILE: Final = 65_536  # bytes of a description of colours
DRAFT: Final = 8  # a JPEG is decoded at an eighth of its size where only its soundness is asked for
QUALITY, THUMBNAIL_QUALITY = 92, 80
PLAIN_MODES: Final = frozenset(("L", "RGB", "RGBA"))

_TURNS: Final[Mapping[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING: Final = frozenset((5, 6, 7, 8))  # width and height change places


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a picture may be: `max_pixels` of one frame, and how many frames."""

    max_pixels: int
    max_frames: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture is, as it is to be seen: width and height in pixels, turned upright."""

    width: int
    height: int
    frames: int
    taken: Taken


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture made of another: `name` is `shown`, `large`, `small` or `reduced`."""

    name: str
    media_type: str
    width: int
    height: int
    content: bytes


def warm_up() -> None:
    """Load the formats, before memory is limited."""
    pi_heif.register_heif_opener()
    Image.init()


def inspect(path: Path, media_type: str, bounds: Bounds) -> Picture:
    """What the picture is. It is decoded once, so that a damaged one shows now.

    Raises:
        Unreadable: CORRUPT, TOO_LARGE.
    """
    with _opened(path, media_type, bounds) as image:
        frames = _frames(image, path, media_type, bounds)
        taken = _taken(image, media_type)
        width, height = _upright_size(image.size, taken.orientation)
        image.draft(None, (max(1, width // DRAFT), max(1, height // DRAFT)))
        image.load()
    return Picture(width, height, frames, taken)


def render(path: Path, media_type: str, bounds: Bounds) -> Iterator[Rendition]:
    """The picture as it is shown, in full size, and its thumbnails; with nothing that its file says of it.

    Raises:
        Unreadable: CORRUPT, TOO_LARGE.
    """
    with _opened(path, media_type, bounds) as image:
        is_animated = media_type in ANIMATED and _frames(image, path, media_type, bounds) > 1
        upright = _upright(image, _taken(image, media_type).orientation)
        if is_animated:
            yield Rendition(SHOWN, media_type, *image.size, SCRUBBERS[media_type](path.read_bytes()))
        else:
            yield _shown(upright, image, media_type)
        profile = _profile(image)
        small = _plain(upright)
        for name, side in THUMBNAILS.items():
            yield _reduced(small, name, side, profile)


def reduce(path: Path, media_type: str, bounds: Bounds, side: int) -> Rendition:
    """The picture, upright, of at most `side` pixels in both directions. Raises Unreadable as `render` does."""
    with _opened(path, media_type, bounds) as image:
        orientation = _taken(image, media_type).orientation
        image.draft("RGB", (side, side))  # JPEG alone: decodes a smaller one right away
        return _reduced(_plain(_upright(image, orientation)), REDUCED, side, _profile(image))


@contextlib.contextmanager
def _opened(path: Path, media_type: str, bounds: Bounds) -> Iterator[Image.Image]:
    Image.MAX_IMAGE_PIXELS = bounds.max_pixels  # asked for every frame and tile
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=[FORMATS[media_type]]) as image:
                _require_size(image, bounds)
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_many_pixels(bounds) from None
    except MemoryError:
        raise Unreadable("TOO_LARGE", "Reading the picture needs more memory than is allowed.") from None
    except Unreadable:
        raise
    except Exception as error:  # whatever a hostile file does to Pillow, it is a damaged file
        raise Unreadable("CORRUPT", "The picture is damaged: it could not be read.") from error


def _require_size(image: Image.Image, bounds: Bounds) -> None:
    if image.width * image.height > bounds.max_pixels:
        raise _too_many_pixels(bounds)


def _too_many_pixels(bounds: Bounds) -> Unreadable:
    return Unreadable("TOO_LARGE", f"A picture may have at most {bounds.max_pixels:,} pixels.")


def _frames(image: Image.Image, path: Path, media_type: str, bounds: Bounds) -> int:
    """How many are shown one after the other; of other formats only the first is shown."""
    if media_type not in ANIMATED:
        return 1
    frames = count_gif_frames(path.read_bytes()) if media_type == "image/gif" else getattr(image, "n_frames", 1)
    if frames > bounds.max_frames:
        raise Unreadable("TOO_LARGE", f"An animation may have at most {bounds.max_frames:,} frames.")
    return max(1, frames)


def _taken(image: Image.Image, media_type: str) -> Taken:
    taken = read_exif(image)
    if media_type == "image/tiff":  # turned by Pillow as it is decoded
        return Taken(taken.at, taken.latitude, taken.longitude)
    return taken


def _upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in _LYING else size


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    image.load()
    turn = _TURNS.get(orientation)
    return image.copy() if turn is None else image.transpose(turn)


def _shown(upright: Image.Image, original: Image.Image, media_type: str) -> Rendition:
    """In a format that browsers know; a JPEG with the very tables it had, so that it loses next to nothing."""
    profile = _profile(original)
    options: dict[str, Any]
    match media_type:
        case "image/jpeg" if upright.mode in ("L", "RGB"):
            kind, options = "JPEG", {"qtables": original.quantization, "subsampling": _sampling(original)}  # type: ignore[attr-defined]  # JPEGs have it
        case "image/png" | "image/bmp":
            kind, options = "PNG", {}
        case "image/gif":
            kind, options = "GIF", {}
        case _ if (plain := _plain(upright)).mode == "RGBA" or media_type == "image/webp":
            upright, kind, options = plain, "WEBP", {"quality": QUALITY, "method": 4}
        case _:
            upright, kind, options = plain.convert("RGB"), "JPEG", {"quality": QUALITY}
    content = _encoded(upright, kind, icc_profile=profile, **options)
    return Rendition(SHOWN, f"image/{kind.lower()}", *upright.size, content)


def _reduced(image: Image.Image, name: str, side: int, profile: bytes | None) -> Rendition:
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    content = _encoded(image, "WEBP", quality=THUMBNAIL_QUALITY, method=4, icc_profile=profile)
    return Rendition(name, "image/webp", *image.size, content)


def _sampling(original: Image.Image) -> int:
    return max(0, JpegImagePlugin.get_sampling(original))  # -1 where it is none that Pillow knows


def _profile(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and 0 < len(profile) <= LARGEST_PROFILE else None


def _plain(image: Image.Image) -> Image.Image:
    """A copy in grey, RGB or RGBA, whatever it was."""
    if image.mode.startswith("I"):  # 16 bits of grey, or more
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in PLAIN_MODES and "transparency" not in image.info:
        return image.copy()
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB")


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """With what is said of it left out: Pillow would write comments, resolutions and more along."""
    kept = {name: image.info[name] for name in ("transparency",) if name in image.info}
    written, image.info = io.BytesIO(), kept  # type: ignore[assignment]  # other keys than declared
    image.save(written, kind, **{name: value for name, value in options.items() if value is not None})
    return written.getvalue()
