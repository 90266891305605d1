"""Pictures: whatever bytes come, they are read or refused, in a process that can be killed."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from app.adapters.media_kinds import is_shown, kind_of, recognise
from app.adapters.parsers.documents import Unreadable
from app.adapters.parsers.exif import Taken, read_exif
from app.adapters.parsers.images import FORMATS, THUMBNAILS, Bounds, inspect, render, warm_up
from app.adapters.pictures import PICTURES, Pictures
from app.errors import ExtractionFailed
from app.settings import MediaSettings
from tests.media import (
    BLUE,
    HEIC,
    RED,
    SECRET,
    make_animation,
    make_exif,
    make_film,
    make_photo,
    make_picture,
    make_png,
    opened,
)

BOUNDS = Bounds(max_pixels=100_000, max_frames=20)
SEEDS = {
    "image/jpeg": make_photo(),
    "image/png": make_picture("PNG", exif=make_exif()),
    "image/gif": make_animation("GIF"),
    "image/webp": make_animation("WEBP", exif=make_exif()),
    "image/avif": make_picture("AVIF", exif=make_exif()),
    "image/heic": HEIC,
    "image/tiff": make_picture("TIFF"),
    "image/bmp": make_picture("BMP"),
}


@pytest.fixture(autouse=True)
def limit_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set in a process of its own otherwise: what is set here must not last."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_up()


@pytest.fixture(scope="module")
async def pictures() -> AsyncIterator[Pictures]:
    async with Pictures(MediaSettings(max_pixels=100_000, processes=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "picture"


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_promised_can_be_read():
    assert set(FORMATS) == PICTURES == set(SEEDS)


@given(st.sampled_from(sorted(SEEDS)), st.binary(max_size=400), st.integers(0, 3000), st.integers(0, 80))
@example("image/png", make_png(60_000, 60_000, pixels=b""), 0, 100_000)
@example("image/gif", b"GIF89a\1\0\1\0\x80", 0, 100_000)
def test_whatever_the_bytes_are_nothing_but_the_refusal_is_raised(
    path: Path, media_type: str, garbage: bytes, at: int, cut: int
):
    seed = SEEDS[media_type]
    at %= len(seed) + 1
    path.write_bytes(seed[:at] + garbage + seed[at + cut :])
    try:
        picture = inspect(path, media_type, BOUNDS)
        made = list(render(path, media_type, BOUNDS))
    except Unreadable:
        return
    assert picture.width * picture.height <= BOUNDS.max_pixels
    assert [one.name for one in made] == ["shown", *THUMBNAILS]


@given(st.binary(max_size=600))
@example(b"Exif\0\0MM\0*\0\0\0\x08\0\1\x88\x25\0\4\0\0\0\1\0\0\0\x08\0\0\0\0")  # a directory that holds itself
@example(b"Exif\0\0II*\0\xff\xff\xff\xff")
def test_whatever_exif_says_it_is_understood_or_left_out(data: bytes):
    image = Image.new("RGB", (1, 1))
    image.info["exif"] = data
    taken = read_exif(image)
    assert 1 <= taken.orientation <= 8
    assert (taken.latitude is None) == (taken.longitude is None)


def _read_with(tags: dict[int, object], place: dict[int, object]) -> Taken:
    exif = make_exif()
    exif.get_ifd(0x8769).update(tags)
    exif.get_ifd(0x8825).update(place)
    return read_exif(opened(make_picture(exif=exif)))


def test_what_a_camera_writes_without_knowing_is_left_out():
    assert _read_with({}, {}) == Taken("2023-07-04T23:30:00+02:00", 59.91, 10.75)
    assert _read_with({0x9011: "  :  "}, {}).at == "2023-07-04T23:30:00"
    assert _read_with({0x9003: "0000:00:00 00:00:00"}, {}).at is None
    assert _read_with({0x9003: "2023:02:31 10:00:00"}, {}).at is None
    assert _read_with({}, {1: "S", 3: "W"}).latitude == -59.91
    assert _read_with({}, {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}).latitude is None
    assert _read_with({}, {2: (91.0, 0.0, 0.0)}).latitude is None
    assert _read_with({}, {1: "?"}).longitude is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_the_way_it_was_taken(path: Path, orientation: int):
    turned = {1: (0, 0), 2: (0, 0), 3: (0, 19), 4: (0, 19), 5: (0, 0), 6: (19, 0), 7: (19, 0), 8: (0, 0)}
    path.write_bytes(make_photo(orientation))
    shown = opened(next(render(path, "image/jpeg", BOUNDS)).content).convert("RGB")
    assert shown.size == ((40, 20) if orientation < 5 else (20, 40))
    assert sum(abs(a - b) for a, b in zip(shown.getpixel(turned[orientation]), RED, strict=True)) < 30
    assert SECRET not in shown.tobytes()


def test_colours_and_edges_come_through(path: Path):
    transparent = Image.new("RGBA", (2000, 1000), (*BLUE, 0))
    written = io.BytesIO()
    transparent.save(written, "PNG")
    path.write_bytes(written.getvalue())
    shown, large, small = render(path, "image/png", Bounds(10_000_000, 1))
    assert [(one.width, one.height) for one in (shown, large, small)] == [(2000, 1000), (1280, 640), (320, 160)]
    assert opened(small.content).convert("RGBA").getpixel((5, 5))[3] == 0
    path.write_bytes(make_picture("TIFF"))
    assert next(render(path, "image/tiff", BOUNDS)).media_type == "image/jpeg"


def test_a_picture_of_an_iphone_becomes_one_that_browsers_know(path: Path):
    picture = inspect(put(path, HEIC), "image/heic", BOUNDS)
    assert (picture.width, picture.height, picture.taken.at) == (40, 20, "2023-07-04T23:30:00+02:00")
    assert (picture.taken.latitude, picture.taken.longitude) == (59.91, 10.75)
    shown = next(render(path, "image/heic", BOUNDS))
    pixels = opened(shown.content)
    assert (shown.media_type, dict(pixels.getexif())) == ("image/jpeg", {})
    assert sum(abs(a - b) for a, b in zip(pixels.getpixel((20, 3)), RED, strict=True)) < 40


async def test_a_process_reads_refuses_and_lives_on(pictures: Pictures, path: Path):
    assert (await pictures.inspect(put(path, make_photo(6)), "image/jpeg")).taken_at == "2023-07-04T23:30:00+02:00"
    with pytest.raises(ExtractionFailed) as refused:
        await pictures.inspect(put(path, make_png(1000, 1000)), "image/png")
    assert refused.value.code == "TOO_LARGE"
    made = await pictures.render(put(path, make_photo(6)), "image/jpeg")
    assert [(one.name, one.width, opened(one.content).size) for one in made] == [
        ("shown", 20, (20, 40)),
        ("large", 20, (20, 40)),
        ("small", 20, (20, 40)),
    ]


async def test_a_picture_that_takes_too_long_is_given_up(path: Path):
    async with Pictures(MediaSettings(timeout=timedelta(milliseconds=1))) as hasty:
        with pytest.raises(ExtractionFailed) as refused:
            await hasty.inspect(put(path, make_picture(size=(3000, 3000))), "image/jpeg")
    assert refused.value.code == "PARSE_TIMEOUT"


@pytest.mark.parametrize(
    ("head", "media_type", "kind", "shown"),
    [
        (make_film(), "video/mp4", "video", True),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video/quicktime", "video", True),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "audio/mp4", "audio", True),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif", "image", True),
        (SEEDS["image/heic"], "image/heic", "image", False),
        (b"\xff\xfb\x90\x44" + bytes(100), "audio/mpeg", "audio", True),
        (b"\xff\xf1\x50\x80" + bytes(100), "audio/aac", "audio", True),
        (b"\x1aE\xdf\xa3" + bytes(20) + b"webm" + bytes(50), "video/webm", "video", True),
        (b"#!AMR\n" + bytes(30), "audio/amr", "audio", True),
        (b"the ftyp of this is text", "text/plain", "file", False),
        (b"<svg onload='x'/>", "image/svg+xml", "file", False),
        (b"<html>", "text/html", "file", False),
        (make_picture("TIFF"), "image/tiff", "image", False),
    ],
)
def test_a_file_is_told_from_its_bytes(head: bytes, media_type: str, kind: str, shown: bool):
    found = recognise(head, "a name that lies.jpg")
    assert (found, kind_of(found), is_shown(found)) == (media_type, kind, shown)
