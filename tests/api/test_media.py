"""Files of memories: added, shown without what they say of themselves, taken out again."""

import hashlib
import zlib
from typing import Any

import pytest
from httpx import AsyncClient

from app.resources import Resources
from tests.factories import User, make_project, make_user, share
from tests.media import (
    BLUE,
    RED,
    SECRET,
    attach,
    fetch,
    make_animation,
    make_exif,
    make_film,
    make_photo,
    make_picture,
    make_png,
    opened,
    see,
    send,
)
from tests.memories import remember
from tests.work import run_queued_tasks

MEMORIES = "/api/v1/memories"
TAKEN_AT, OSLO = "2023-07-04T23:30:00+02:00", {"latitude": 59.91, "longitude": 10.75}


async def has_blob(resources: Resources, sha256: str) -> bool:
    return await resources.foundation.storage.has(sha256)


def is_near(pixel: Any, color: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 25 for one, other in zip(pixel, color, strict=True))


async def test_a_picture_is_shown_upright_and_says_nothing_of_itself(
    client: AsyncClient, owner: User, resources: Resources
):
    memory = await remember(client, owner, "A summer night.")
    photo = make_photo(orientation=6)  # stored lying: to be turned clockwise by a quarter
    added = await attach(client, owner, memory["id"], photo, "IMG 1.jpeg")
    assert (added["kind"], added["media_type"], added["status"]) == ("image", "image/jpeg", "processing")
    assert (added["width"], added["height"], added["orientation"]) == (20, 40, 6)
    assert (added["taken_at"], added["coordinates"]) == (TAKEN_AT, OSLO)
    assert (await fetch(client, owner, added)).status_code == 409
    await run_queued_tasks(resources)

    ready = await see(client, owner, added)
    assert ready["status"] == "ready"
    assert [(one["name"], one["width"], one["height"]) for one in ready["thumbnails"]] == [
        ("small", 20, 40),
        ("large", 20, 40),
    ]
    shown = await fetch(client, owner, added)
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")
    assert shown.headers["Content-Disposition"] == "inline; filename*=utf-8''IMG%201.jpg"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert SECRET not in shown.content
    picture = opened(shown.content)
    assert (picture.size, dict(picture.getexif())) == ((20, 40), {})
    assert is_near(picture.getpixel((3, 20)), BLUE)
    assert is_near(picture.getpixel((16, 20)), RED)
    for name in ("small", "large"):
        thumbnail = await fetch(client, owner, added, f"thumbnails/{name}")
        assert (thumbnail.headers["Content-Type"], SECRET in thumbnail.content) == ("image/webp", False)
        assert opened(thumbnail.content).size == (20, 40)
    assert (await fetch(client, owner, added, "thumbnails/huge")).status_code == 422
    assert (await fetch(client, owner, added, "original")).content == photo
    shown_memory = (await client.get(f"{MEMORIES}/{memory['id']}", headers=owner.headers)).json()
    assert [one["id"] for one in shown_memory["media"]] == [added["id"]]


async def test_parts_and_versions_of_a_file_are_sent(client: AsyncClient, owner: User):
    memory = await remember(client, owner, "A sound.")
    sound = b"ID3\x04\0\0\0\0\0\0" + bytes(range(256))
    media = await attach(client, owner, memory["id"], sound, "song.mp3")
    assert (media["kind"], media["status"], media["thumbnails"]) == ("audio", "ready", [])
    part = await fetch(client, owner, media, Range="bytes=10-12")
    assert (part.status_code, part.content) == (206, b"\0\1\2")
    assert part.headers["Content-Disposition"].startswith("inline")
    whole = await fetch(client, owner, media)
    assert (await fetch(client, owner, media, **{"If-None-Match": whole.headers["ETag"]})).status_code == 304
    assert (await fetch(client, owner, media, Range=f"bytes={len(sound)}-")).status_code == 416
    assert (await fetch(client, owner, media, "thumbnails/small")).status_code == 404


async def test_a_film_says_nothing_of_itself_whichever_part_is_sent(client: AsyncClient, owner: User):
    memory, film = await remember(client, owner, "A summer night."), make_film()
    added = await attach(client, owner, memory["id"], film, "night.mp4")
    assert (added["kind"], added["media_type"], added["status"]) == ("video", "video/mp4", "ready")
    assert added["coordinates"] == {"latitude": 59.91, "longitude": 10.75}
    shown = await fetch(client, owner, added)
    assert (shown.status_code, shown.headers["Content-Type"], len(shown.content)) == (200, "video/mp4", len(film))
    assert SECRET in film
    assert SECRET not in shown.content
    assert b"+59.9100" not in shown.content
    assert b"THE PICTURES" in shown.content
    for start in range(0, len(film), 50):
        part = await fetch(client, owner, added, Range=f"bytes={start}-{start + 49}")
        assert (part.status_code, part.content) == (206, shown.content[start : start + 50])
    assert (await fetch(client, owner, added, "original")).content == film


@pytest.mark.parametrize(
    ("content", "filename", "media_type"),
    [
        (b"<!DOCTYPE html><script>alert(1)</script>", "photo.jpg", "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "photo.png", "image/svg+xml"),
        (b"%PDF-1.7 nothing", "plan.pdf", "application/pdf"),
        (b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0", "photo.gif", "application/x-dosexec"),
    ],
)
async def test_what_could_run_is_saved_and_never_shown(
    client: AsyncClient, owner: User, content: bytes, filename: str, media_type: str
):
    memory = await remember(client, owner, "A file.")
    media = await attach(client, owner, memory["id"], content, filename)
    assert (media["kind"], media["media_type"]) == ("file", media_type)
    sent = await fetch(client, owner, media)
    assert sent.headers["Content-Disposition"].startswith("attachment")
    assert sent.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert (sent.content, sent.headers["X-Content-Type-Options"]) == (content, "nosniff")


BOMB = make_png(60_000, 60_000, pixels=b"")
CUT = make_picture(size=(400, 400))[:-900]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (BOMB, 413),
        (make_animation("GIF", frames=60), 413),  # more than this server lets in
        (CUT, 422),
        (make_png(4, 4, (b"zTXt", b"k\0\0" + zlib.compress(bytes(8_000_000)))), 422),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), 422),
        (b"GIF89a" + bytes(100), 422),
        (b"\xff\xd8\xff\xe1\xff\xff" + bytes(100), 422),
        (b"", 422),
    ],
    ids=["bomb", "endless animation", "cut off", "text bomb", "no PNG", "no GIF", "no JPEG", "empty"],
)
async def test_a_hostile_picture_is_refused_and_leaves_nothing(
    client: AsyncClient, owner: User, resources: Resources, content: bytes, status: int, monkeypatch: pytest.MonkeyPatch
):
    strict = resources.settings.media.model_copy(update={"max_frames": 50})
    monkeypatch.setattr(resources.foundation.pictures, "_settings", strict)
    memory = await remember(client, owner, "A trap.")
    answer = await send(client, owner, memory, content)
    code = {413: "PAYLOAD_TOO_LARGE", 422: "VALIDATION_ERROR"}[status]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    listed = await client.get(f"{MEMORIES}/{memory['id']}/media", headers=owner.headers)
    assert listed.json()["items"] == []
    assert not await has_blob(resources, hashlib.sha256(content).hexdigest())


async def test_what_hides_in_a_picture_is_not_shown(client: AsyncClient, owner: User, resources: Resources):
    memory = await remember(client, owner, "Two in one.")
    page = b"<html><script>alert('" + SECRET + b"')</script>"
    for kind, extra in (("GIF", {"comment": SECRET}), ("PNG", {}), ("WEBP", {"exif": make_exif()})):
        media = await attach(client, owner, memory["id"], make_animation(kind, **extra) + page, "x.html")
        await run_queued_tasks(resources)
        shown = await fetch(client, owner, media)
        assert (shown.headers["Content-Type"], SECRET in shown.content) == (f"image/{kind.lower()}", False)
        picture = opened(shown.content)
        picture.seek(2)
        assert (media["frames"], picture.n_frames) == (3, 3)
    still = await attach(client, owner, memory["id"], make_photo() + page, "x.html")
    await run_queued_tasks(resources)
    assert SECRET not in (await fetch(client, owner, still)).content


async def test_others_learn_what_a_picture_says_only_if_it_may_stay(
    client: AsyncClient, owner: User, resources: Resources
):
    project = await make_project(client, owner)
    editor, viewer = await make_user(client, "Editor"), await make_user(client, "Viewer")
    await share(client, owner, project["id"], editor, "editor")
    await share(client, owner, project["id"], viewer, "viewer")
    memory = await remember(client, owner, "Shared.", project_id=project["id"])
    photo = make_photo()
    media = await attach(client, editor, memory["id"], photo, "photo.jpg")
    await run_queued_tasks(resources)
    hidden = ("taken_at", "coordinates", "sha256")
    for user in (owner, viewer):
        assert [(await see(client, user, media))[name] for name in hidden] == [None, None, None]
        assert SECRET not in (await fetch(client, user, media)).content
        assert (await fetch(client, user, media, "original")).status_code == 403
        [listed] = (await client.get(f"{MEMORIES}/{memory['id']}", headers=user.headers)).json()["media"]
        assert (listed["coordinates"], listed["thumbnails"][0]["name"]) == (None, "small")
    path = f"{MEMORIES}/{memory['id']}/media/{media['id']}"
    assert (await client.patch(path, json={"keeps_metadata": True}, headers=owner.headers)).status_code == 403
    opened_up = await client.patch(path, json={"keeps_metadata": True}, headers=editor.headers)
    assert opened_up.json()["keeps_metadata"] is True
    assert (await fetch(client, viewer, media)).content == photo
    assert (await see(client, viewer, media))["coordinates"] == OSLO
    assert (await client.delete(path, headers=viewer.headers)).status_code == 403
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert (await fetch(client, editor, media)).status_code == 404


async def test_the_same_bytes_are_one_file_and_a_memory_takes_so_many(
    client: AsyncClient, owner: User, resources: Resources, monkeypatch: pytest.MonkeyPatch
):
    memory = await remember(client, owner, "Full.")
    before = (await client.get(f"{MEMORIES}/{memory['id']}", headers=owner.headers)).headers["ETag"]
    first = await attach(client, owner, memory["id"], b"One.")
    changed = await client.get(f"{MEMORIES}/{memory['id']}", headers=owner.headers)
    assert changed.headers["ETag"] != before
    again = await send(client, owner, memory, b"One.")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    small = resources.settings.media.model_copy(update={"per_memory": 2, "max_bytes": 1000})
    monkeypatch.setattr(resources.services.media, "_settings", small)
    assert (await send(client, owner, memory, bytes(1001))).status_code == 413
    await attach(client, owner, memory["id"], b"Two.")
    full = await send(client, owner, memory, b"Three.")
    assert (full.status_code, full.json()["error"]["code"]) == (409, "CONFLICT")
    page = (await client.get(f"{MEMORIES}/{memory['id']}/media?limit=1", headers=owner.headers)).json()
    rest = await client.get(
        f"{MEMORIES}/{memory['id']}/media", params={"cursor": page["next_cursor"]}, headers=owner.headers
    )
    assert [len(page["items"]), len(rest.json()["items"]), rest.json()["next_cursor"]] == [1, 1, None]


async def test_time_and_place_of_a_picture_fill_what_the_owner_asks_for(
    client: AsyncClient, owner: User, resources: Resources
):
    memory = await remember(client, owner, "A photo.")
    await attach(client, owner, memory["id"], make_photo(), fill="occurred_at, location")
    path = f"{MEMORIES}/{memory['id']}"
    filled = (await client.get(path, headers=owner.headers)).json()
    assert (filled["occurred_local"], filled["precision"]) == ("2023-07-04T23:30:00", "exact")
    assert (filled["occurred_at"], filled["location"]["coordinates"]) == ("2023-07-04T21:30:00Z", OSLO)
    undone = (await client.post(f"{path}/undo", headers=owner.headers)).json()
    assert (undone["location"], len(undone["media"])) == (None, 1)

    said = await remember(client, owner, "Said.", occurred_at="2020", location={"name": "Home"})
    await attach(client, owner, said["id"], make_photo(), fill="occurred_at,location")
    kept = (await client.get(f"{MEMORIES}/{said['id']}", headers=owner.headers)).json()
    assert (kept["occurred_at"], kept["location"]) == (said["occurred_at"], said["location"])
    unasked = await remember(client, owner, "Unasked.")
    await attach(client, owner, unasked["id"], make_photo())
    assert (await client.get(f"{MEMORIES}/{unasked['id']}", headers=owner.headers)).json()["location"] is None
    wrong = await send(client, owner, unasked, make_photo(), fill="title")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
