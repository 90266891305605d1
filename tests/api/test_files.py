"""Files of a project: by path, in both directions, within bounds."""

import asyncio
import hashlib
import io
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from httpx import AsyncClient
from PIL import Image
from sqlalchemy import select

from app.errors import PayloadTooLarge
from app.models import EventRow
from app.resources import Resources
from app.services import blobs
from app.services.files import FileService, Wish
from app.settings.workspace import ProjectSettings
from tests.factories import User, execute, make_project, make_user, share
from tests.tasks.probes import make_place


@pytest.fixture
async def project(client: AsyncClient, owner: User) -> str:
    return (await make_project(client, owner))["id"]


@pytest.fixture
async def files(project: str) -> str:
    return f"/api/v1/projects/{project}/files"


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def with_limits(resources: Resources, **limits: int) -> Resources:
    service = FileService(
        resources.uow, resources.services.blobs, resources.foundation.pictures, ProjectSettings(**limits)
    )
    workspace = replace(resources.services.workspace, files=service)
    return replace(resources, services=replace(resources.services, workspace=workspace))


async def told_of(resources: Resources, project: str) -> list[str]:
    async with resources.uow() as uow:
        rows = await uow._session.scalars(
            select(EventRow.frame).where(EventRow.channel_id == project).order_by(EventRow.seq)
        )
        return [text for text in rows if '"file_changed"' in text]


async def test_a_file_is_put_read_in_parts_replaced_and_deleted(client, resources: Resources, owner, project, files):
    path, content = f"{files}/notes/plan%20B.txt", b"0123456789" * 100
    put = await client.put(path, content=content, headers=owner.headers | {"Content-Type": "text/html"})
    file = put.json()
    digest = hashlib.sha256(content).hexdigest()
    assert (put.status_code, file["path"], file["size"], file["media_type"]) == (
        201,
        "notes/plan B.txt",
        1000,
        "text/plain",
    )
    assert (file["sha256"], put.headers["etag"], file["created_by"]) == (digest, f'"{digest}"', owner.id)
    assert file["url"] == put.headers["location"] == path
    read = await client.get(path, headers=owner.headers)
    assert (read.content, read.headers["etag"]) == (content, f'"{digest}"')
    part = await client.get(path, headers=owner.headers | {"Range": "bytes=995-"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"56789", "bytes 995-999/1000")
    assert (await client.get(path, headers=owner.headers | {"Range": "bytes=1000-"})).status_code == 416
    assert (await client.get(path, headers=owner.headers | {"If-None-Match": f'"{digest}"'})).status_code == 304

    again = await client.put(path, content=content, headers=owner.headers)
    assert (again.status_code, again.json()) == (200, file)
    assert (await client.put(path, content=b"new", headers=owner.headers)).status_code == 200
    assert not await resources.foundation.storage.has(digest), "bytes that no file names any more are gone"
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert code_of(await client.get(path, headers=owner.headers)) == (404, "RESOURCE_NOT_FOUND")
    assert code_of(await client.delete(path, headers=owner.headers)) == (404, "RESOURCE_NOT_FOUND")
    assert not await resources.foundation.storage.has(hashlib.sha256(b"new").hexdigest())
    changes = [text.split('"change":"')[1].split('"')[0] for text in await told_of(resources, project)]
    assert changes == ["created", "updated", "deleted"], "the same bytes again are no change"


async def test_a_change_that_is_based_on_other_bytes_is_refused(client, resources: Resources, owner, files):
    path, new = f"{files}/a.txt", owner.headers | {"If-None-Match": "*"}
    made = await client.put(path, content=b"one", headers=new)
    assert made.status_code == 201
    assert code_of(await client.put(path, content=b"two", headers=new)) == (412, "PRECONDITION_FAILED")
    current = owner.headers | {"If-Match": made.headers["etag"]}
    assert (await client.put(path, content=b"three", headers=current)).status_code == 200
    assert code_of(await client.put(path, content=b"four", headers=current)) == (412, "PRECONDITION_FAILED")
    assert code_of(await client.delete(path, headers=current)) == (412, "PRECONDITION_FAILED")
    gone = await client.put(f"{files}/b.txt", content=b"five", headers=current)
    assert code_of(gone) == (412, "PRECONDITION_FAILED")
    assert (await client.get(path, headers=owner.headers)).content == b"three"
    for refused in (b"two", b"four", b"five"):
        assert not await resources.foundation.storage.has(hashlib.sha256(refused).hexdigest())


@pytest.mark.parametrize(
    "path",
    [
        *("%2e%2e/secret", "a/%2e%2e/b", "%2e/a", "a//b", "a/", "%2Fetc%2Fpasswd", "", "a%00b", "a%0Ab", "a%1bb"),
        *("a%5Cb", "..%5C..%5Cb", "C:/x", "con", "a/NUL.txt", "com1.log", "a.", "a%20", "%20a", "a%3Fb", "a*b", "%FF"),
        *("a%E2%80%AEtxt.exe", "%E2%80%8B", "x" * 256, "%C3%A9" * 128, "/".join("a" * 17), "/".join(["x" * 200] * 6)),
    ],
)
async def test_a_path_that_leads_elsewhere_or_that_some_system_cannot_have_is_refused(client, owner, files, path):
    for method, content in (("PUT", {"content": b"x"}), ("GET", {}), ("DELETE", {})):
        refused = await client.request(method, f"{files}/{path}", headers=owner.headers, **content)
        assert refused.status_code in (404, 422), refused.text
    assert (await client.get(files, headers=owner.headers)).json()["items"] == []


async def test_one_name_is_one_file_however_its_letters_are_composed(client, owner, files):
    decomposed, composed = (unicodedata.normalize(form, "Café/Größe 東京.txt") for form in ("NFD", "NFC"))
    assert decomposed != composed
    put = await client.put(f"{files}/{decomposed}", content=b"x", headers=owner.headers)
    assert put.json()["path"] == composed
    for spelling in (decomposed, composed):
        read = await client.get(f"{files}/{spelling}", headers=owner.headers)
        assert read.content == b"x"
        assert "filename*=utf-8''Gr%C3%B6%C3%9Fe%20%E6%9D%B1%E4%BA%AC.txt" in read.headers["content-disposition"]
        listed = await client.get(files, headers=owner.headers, params={"prefix": spelling[:6]})
        assert [file["path"] for file in listed.json()["items"]] == [composed]


async def test_a_file_and_a_folder_do_not_share_a_name(client, owner, files):
    assert (await client.put(f"{files}/a/b", content=b"1", headers=owner.headers)).status_code == 201
    assert (await client.put(f"{files}/a%25/b", content=b"1", headers=owner.headers)).status_code == 201
    for path in ("a", "a/b/c", "a/b/c/d"):
        assert code_of(await client.put(f"{files}/{path}", content=b"2", headers=owner.headers)) == (409, "CONFLICT")
    assert (await client.put(f"{files}/a-b", content=b"3", headers=owner.headers)).status_code == 201


async def test_lists_go_by_prefix_and_page_while_files_come_and_go(client, owner, files):
    names = ["B.txt", "a/1.txt", "a/2.txt", "a/3.txt", "a_4.txt", "ab.txt", "ä.txt"]
    for name in names:
        assert (await client.put(f"{files}/{name}", content=name.encode(), headers=owner.headers)).status_code == 201

    async def page(**params) -> tuple[list[str], str | None]:
        answer = await client.get(files, headers=owner.headers, params=params)
        assert answer.status_code == 200, answer.text
        return [file["path"] for file in answer.json()["items"]], answer.json()["next_cursor"]

    assert await page() == (names, None)
    assert await page(prefix="a/") == (names[1:4], None)
    assert await page(prefix="a_") == (["a_4.txt"], None)
    first, cursor = await page(limit=2)
    assert first == names[:2]
    await client.delete(f"{files}/a/1.txt", headers=owner.headers)
    await client.put(f"{files}/a/0.txt", content=b"0", headers=owner.headers)
    assert await page(limit=3, cursor=cursor) == (names[2:5], "YV80LnR4dA")
    for bad in ("x", "!!", "gICA"):
        assert code_of(await client.get(files, headers=owner.headers, params={"cursor": bad})) == (
            422,
            "VALIDATION_ERROR",
        )


async def test_a_project_has_a_quota_and_nobody_uploads_in_vain(client, application, resources, owner, files):
    application.state.resources = with_limits(resources, file_max_bytes=100, files_max_bytes=250, files_max_count=4)
    read = []

    async def body(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 10):
            read.append(10)
            yield b"x" * 10

    for name, size in (("a", 100), ("b", 100)):
        assert (await client.put(f"{files}/{name}", content=b"x" * size, headers=owner.headers)).status_code == 201
    announced = owner.headers | {"Content-Length": "60"}
    for headers in (owner.headers, announced):
        refused = await client.put(f"{files}/c", content=body(60), headers=headers)
        assert code_of(refused) == (413, "PAYLOAD_TOO_LARGE")
    assert sum(read) == 60, "whoever says how much comes is told before it does"
    assert (await client.put(f"{files}/a", content=b"y" * 101, headers=owner.headers)).status_code == 413
    assert (await client.put(f"{files}/a", content=b"y" * 100, headers=owner.headers)).status_code == 200
    for name in ("c", "d"):
        assert (await client.put(f"{files}/{name}", content=b"z" * 5, headers=owner.headers)).status_code == 201
    full = await client.put(f"{files}/e", content=b"", headers=owner.headers)
    assert (full.status_code, full.json()["error"]["details"]["reason"]) == (413, "quota")
    assert (await client.put(f"{files}/d", content=b"", headers=owner.headers)).status_code == 200


async def test_files_that_come_at_the_same_time_do_not_break_the_quota(committed: Resources):
    place = await make_place(committed)
    service = with_limits(committed, files_max_bytes=50, files_max_count=100).services.workspace.files

    async def once(content: bytes) -> AsyncIterator[bytes]:
        yield content

    async def put(number: int) -> bool:
        wish = Wish(place.project_id, f"{number}.txt", place.actor.user_id)
        try:
            await service.put(place.actor, wish, once(b"%d" % number * 10), announced=10)
        except PayloadTooLarge:
            return False
        return True

    assert sum(await asyncio.gather(*(put(number) for number in range(9)))) == 5


async def test_nothing_that_is_kept_runs_in_the_name_of_this_service(client, owner, files):
    contents = {
        "page.txt": (b"<!doctype html><script>alert(1)</script>", "attachment"),
        "picture.png": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "attachment"),
        "real.html": (picture(3, 3), "inline"),
        "plain.html": (b"nothing", "attachment"),
        "a.bin": (bytes(range(256)), "attachment"),
    }
    for name, (content, disposition) in contents.items():
        await client.put(f"{files}/{name}", content=content, headers=owner.headers | {"Content-Type": "text/html"})
        read = await client.get(f"{files}/{name}", headers=owner.headers)
        assert read.headers["content-disposition"].startswith(disposition), name
        assert read.headers["x-content-type-options"] == "nosniff"
        assert read.headers["content-security-policy"].startswith("sandbox;")


def picture(width: int, height: int, form: str = "PNG", **options) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, form, **options)
    return written.getvalue()


async def test_pictures_and_texts_have_previews_and_other_files_have_none(client, owner, files):
    async def preview(name: str, content: bytes, **params):
        put = await client.put(f"{files}/{name}", content=content, headers=owner.headers)
        url = put.json()["preview_url"]
        assert (url is None) == (name == "a.bin")
        return await client.get(
            url or f"{files.removesuffix('/files')}/previews/{name}", headers=owner.headers, params=params
        )

    for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        small = await preview(f"a.{form.lower()}", picture(800, 400, form), size=64)
        shown = Image.open(io.BytesIO(small.content))
        assert (small.headers["content-type"], shown.format, shown.size) == ("image/webp", "WEBP", (64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert Image.open(io.BytesIO((await preview("r.jpg", picture(90, 30, "JPEG", exif=exif))).content)).size == (30, 90)
    text = await preview("long.txt", "\n".join(f"Zeile {number} ä" for number in range(10_000)).encode())
    assert (text.headers["content-type"], len(text.text.splitlines())) == ("text/plain; charset=utf-8", 40)
    wide = await preview("wide.txt", "Größe und Änderung\n".encode("utf-16"))
    assert wide.text == "Größe und Änderung\n"
    page = await preview("p.html", b"<!doctype html><script>1</script>")
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    assert code_of(await preview("a.bin", bytes(range(256)))) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert code_of(await preview("cut.png", picture(64, 64)[:60])) == (415, "UNSUPPORTED_MEDIA_TYPE")
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    assert code_of(await preview("bomb.png", bomb.getvalue())) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_viewers_read_files_and_editors_write_them(client, resources, owner, project, files):
    viewer, editor, stranger = [await make_user(client, name) for name in ("Viewer", "Editor", "Stranger")]
    await share(client, owner, project, viewer, "viewer")
    await share(client, owner, project, editor, "editor")
    path = f"{files}/a.txt"
    assert (await client.put(path, content=b"x", headers=editor.headers)).status_code == 201
    assert (await client.get(path, headers=viewer.headers)).content == b"x"
    for method, content in (("PUT", {"content": b"y"}), ("DELETE", {})):
        refused = await client.request(method, path, headers=viewer.headers, **content)
        assert code_of(refused) == (403, "PERMISSION_DENIED")
        hidden = await client.request(method, path, headers=stranger.headers, **content)
        assert code_of(hidden) == (404, "RESOURCE_NOT_FOUND")
    for url in (path, files, path.replace("/files/", "/previews/")):
        assert code_of(await client.get(url, headers=stranger.headers)) == (404, "RESOURCE_NOT_FOUND")
    assert not await resources.foundation.storage.has(hashlib.sha256(b"y").hexdigest())


async def test_bytes_go_with_the_last_that_names_them_a_document_or_a_project(
    client, resources: Resources, owner, project, files, monkeypatch
):
    content = b"Named by a document, and by a file of a project."
    digest, storage = hashlib.sha256(content).hexdigest(), resources.foundation.storage
    await client.put(f"{files}/a.txt", content=content, headers=owner.headers)
    body = {"text": content.decode(), "project_id": project}
    document = (await client.post("/api/v1/documents", json=body, headers=owner.headers)).json()["document"]
    assert document["sha256"] == digest
    await client.delete(f"/api/v1/documents/{document['id']}", headers=owner.headers)
    monkeypatch.setattr(blobs, "UNNAMED_AFTER", timedelta(0))
    await resources.services.blobs.discard_unnamed()
    assert await storage.has(digest)
    await client.delete(f"/api/v1/projects/{project}", headers=owner.headers)
    await resources.services.blobs.discard_unnamed()
    assert not await storage.has(digest)
    assert await execute(resources, select(EventRow.seq).where(EventRow.channel_id == project)) is None
