"""A folder of photos becomes memories: when and where they were taken, once, whatever is in the archive."""

import io
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from app.adapters.memory_files.packed import MOST_CONTENTS, open_packed
from app.errors import ExtractionFailed
from app.resources import Resources
from tests.factories import User, make_user
from tests.media import make_exif, make_film, make_photo, make_picture, make_png
from tests.memories import listed
from tests.work import run_queued_tasks

IMPORTS = "/api/v1/memories/imports"


def pack(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2021, 5, 6, 7, 8, 10)), content)
    return written.getvalue()


async def bring(
    client: AsyncClient, user: User, resources: Resources, files: Mapping[str, bytes], **fields: str
) -> dict[str, Any]:
    """What came of an archive of these files."""
    upload = {"file": ("photos.zip", pack(files))}
    started = await client.post(IMPORTS, files=upload, data=fields, headers=user.headers)
    assert started.status_code == 202, started.text
    await run_queued_tasks(resources)
    return (await client.get(f"{IMPORTS}/{started.json()['import']['id']}", headers=user.headers)).json()


def counts(brought: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(brought[name] for name in ("status", "created", "updated", "unchanged", "failed"))


async def test_photos_of_one_minute_are_one_memory(client: AsyncClient, owner: User, resources: Resources):
    burst = {f"Oslo 2023/IMG_{n}.jpg": make_picture(exif=make_exif(6), quality=50 + n) for n in range(3)}
    files = {
        **burst,
        "Oslo 2023/later.mp4": make_film(),
        "old.png": make_picture("PNG"),
        "notes.txt": b"not a photo",
        "__MACOSX/Oslo 2023/._IMG_1.jpg": b"nothing",
    }
    brought = await bring(client, owner, resources, files, timezone="Europe/Oslo")
    assert (brought["format"], brought["progress"], brought["problems"]) == ("photos", 1.0, [])
    assert counts(brought) == ("succeeded", 3, 2, 0, 0)
    items = {(one["title"], one["occurred_local"]): one for one in (await listed(client, owner))["items"]}
    assert set(items) == {
        ("Oslo 2023", "2023-07-04T23:30:00"),  # the photos, which know their zone, and the film, which does not
        ("old", "2021-05-06T00:00:00"),
    } | {("Oslo 2023", time) for title, time in items if title == "Oslo 2023"}
    photos = max(items.values(), key=lambda one: len(one["media"]))
    assert [media["filename"] for media in photos["media"]] == ["IMG_0.jpg", "IMG_1.jpg", "IMG_2.jpg"]
    assert [media["status"] for media in photos["media"]] == ["ready"] * 3
    assert (photos["occurred_at"], photos["precision"]) == ("2023-07-04T21:30:00Z", "exact")
    assert photos["location"]["coordinates"] == {"latitude": 59.91, "longitude": 10.75}
    assert photos["source"] == {"kind": "import", "ids": {"import_id": brought["id"]}}
    assert items["old", "2021-05-06T00:00:00"]["precision"] == "day"

    renamed = {f"copy/{n}.jpg": content for n, content in enumerate(burst.values())}
    one_more = {"Oslo 2023/IMG_9.jpg": make_picture(exif=make_exif(6), quality=77)}
    again = await bring(client, owner, resources, renamed | one_more)
    assert counts(again) == ("succeeded", 0, 1, 3, 0)
    assert len((await listed(client, owner))["items"]) == 3
    stranger = await make_user(client, "Stranger")
    assert counts(await bring(client, stranger, resources, renamed)) == ("succeeded", 1, 2, 0, 0)
    assert len((await listed(client, owner))["items"]) == 3


async def test_what_is_wrong_with_a_photo_is_said_and_the_others_come_in(
    client: AsyncClient, owner: User, resources: Resources
):
    files = {
        "a.jpg": make_photo()[:-400],
        "b.png": make_png(60_000, 60_000, pixels=b""),
        "c.jpg": b"<html><script>",
        "d.jpg": make_photo(),
    }
    brought = await bring(client, owner, resources, files)
    assert counts(brought) == ("succeeded", 1, 0, 0, 3)
    assert [(one["line"], one["message"].split(":")[0]) for one in brought["problems"]] == [
        (1, "a.jpg"),
        (2, "b.png"),
        (3, "c.jpg"),
    ]
    for name, content in (("x.txt", b"nothing"), ("bomb.png", bytes(90_000_000))):
        deflated = io.BytesIO()
        with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        upload = {"file": ("photos.zip", deflated.getvalue())}
        started = await client.post(IMPORTS, files=upload, data={"format": "photos"}, headers=owner.headers)
        await run_queued_tasks(resources)
        ended = (await client.get(f"{IMPORTS}/{started.json()['import']['id']}", headers=owner.headers)).json()
        assert (ended["status"], ended["error"]["code"]) == ("failed", {"x": "NO_PHOTOS", "b": "TOO_LARGE"}[name[0]])


async def test_two_photos_of_one_name_are_two(client: AsyncClient, owner: User, resources: Resources):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for quality in (60, 90):
            archive.writestr("same.jpg", make_picture(quality=quality))
    started = await client.post(IMPORTS, files={"file": ("photos.zip", written.getvalue())}, headers=owner.headers)
    await run_queued_tasks(resources)
    ended = (await client.get(f"{IMPORTS}/{started.json()['import']['id']}", headers=owner.headers)).json()
    assert counts(ended) == ("succeeded", 2, 0, 0, 0)
    files = [media for one in (await listed(client, owner))["items"] for media in one["media"]]
    assert len({media["sha256"] for media in files}) == 2


@pytest.mark.parametrize("is_large", [False, True])
def test_an_archive_of_more_files_than_can_be_listed_is_not_listed(tmp_path: Path, *, is_large: bool):
    """However the length of the list is told: a record of 22 bytes, or that of ZIP64 before it."""
    length = MOST_CONTENTS + 1
    path = tmp_path / "photos.zip"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 0 if is_large else length, 0, 0)
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, length, 0)
    where = struct.pack("<4sLQL", b"PK\x06\x07", 0, length, 1)
    with path.open("wb") as file:
        file.truncate(length)
        file.seek(length)
        file.write(large + where + end if is_large else end)
    with pytest.raises(ExtractionFailed) as refused, open_packed(path):
        pass
    assert refused.value.code == "TOO_LARGE"
