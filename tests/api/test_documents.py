"""Documents through the public door."""

import asyncio
import json
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import pytest
from httpx import ASGITransport, AsyncClient, Response

from app.adapters.media_types import XLSX
from app.main import create_app
from app.resources import Resources, open_resources
from app.services.blobs import BlobService
from app.services.documents import DocumentService
from app.settings import Settings
from tests.conftest import cloned_database
from tests.documents import make_docx, make_pdf, make_scan, make_zip
from tests.factories import User, make_project, make_user, share
from tests.office_files import make_xlsx
from tests.work import run_queued_tasks

DOCUMENTS = "/api/v1/documents"
LAMP = b"The lamp is lit at dusk.\n\nIt burns until dawn."


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


async def upload(
    client: AsyncClient, user: User, content: bytes, filename: str = "lamp.txt", **fields: str
) -> Response:
    files = {"file": (filename, content)}
    return await client.post(DOCUMENTS, files=files, data=fields, headers=user.headers)


async def ready(
    client: AsyncClient, resources: Resources, user: User, content: bytes, filename: str = "lamp.txt"
) -> dict:
    accepted = await upload(client, user, content, filename)
    assert accepted.status_code == 202, accepted.text
    await run_queued_tasks(resources)
    document = (await client.get(f"{DOCUMENTS}/{accepted.json()['document']['id']}", headers=user.headers)).json()
    assert document["status"] == "ready", document
    return document


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_an_upload_is_accepted_at_once_and_read_in_the_background(client, resources, ada):
    accepted = await upload(client, ada, make_pdf(["The lamp is lit at dusk."]), "lamp.pdf", metadata='{"shelf": 3}')
    assert accepted.status_code == 202
    document, task = accepted.json()["document"], accepted.json()["task"]
    assert accepted.headers["location"] == f"{DOCUMENTS}/{document['id']}"
    assert (document["status"], document["media_type"], document["filename"]) == (
        "pending",
        "application/pdf",
        "lamp.pdf",
    )
    assert (document["title"], document["metadata"], document["chunk_count"]) == ("lamp.pdf", {"shelf": 3}, None)
    assert (task["task_type"], task["status"], task["params"]) == (
        "ingest_document",
        "queued",
        {"document_id": document["id"]},
    )
    await run_queued_tasks(resources)
    read = (await client.get(accepted.headers["location"], headers=ada.headers)).json()
    assert (read["status"], read["page_count"], read["chunk_count"]) == ("ready", 1, 1)
    done = (await client.get(f"/api/v1/tasks/{task['id']}", headers=ada.headers)).json()
    assert (done["status"], done["progress"], done["result"]["chunk_count"]) == ("succeeded", 1, 1)


async def test_the_same_bytes_in_the_same_project_are_the_same_document(client, resources, ada):
    first = (await upload(client, ada, LAMP)).json()
    while_it_waits = await upload(client, ada, LAMP, "other.txt", title="Other")
    assert while_it_waits.status_code == 200
    assert while_it_waits.json() == first
    await run_queued_tasks(resources)
    when_it_is_read = await upload(client, ada, LAMP)
    assert (when_it_is_read.status_code, when_it_is_read.json()["task"]) == (200, None)
    assert when_it_is_read.headers["location"].endswith(first["document"]["id"])
    project = await make_project(client, ada)
    elsewhere = await upload(client, ada, LAMP, project_id=project["id"])
    assert elsewhere.status_code == 202
    assert elsewhere.json()["document"]["id"] != first["document"]["id"]


async def test_a_failed_document_is_tried_again_by_the_same_upload(client, resources, ada):
    first = (await upload(client, ada, make_scan(), "scan.pdf")).json()["document"]
    await run_queued_tasks(resources)
    failed = (await client.get(f"{DOCUMENTS}/{first['id']}", headers=ada.headers)).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "NO_TEXT")
    assert "scan" in failed["error"]["message"]
    again = await upload(client, ada, make_scan(), "scan.pdf")
    assert (again.status_code, again.json()["document"]["id"]) == (202, first["id"])
    assert (again.json()["document"]["status"], again.json()["document"]["error"]) == ("pending", None)


async def test_a_text_is_a_document_too(client, resources, ada):
    body = {"text": "<b>Not HTML</b>, but a text.\nWith two lines.", "metadata": {"kind": "note"}}
    accepted = await client.post("/api/v1/ingest", json=body, headers=ada.headers)
    assert accepted.status_code == 202, accepted.text
    document = accepted.json()["document"]
    assert (document["media_type"], document["filename"], document["title"]) == (
        "text/plain",
        None,
        "<b>Not HTML</b>, but a text.",
    )
    await run_queued_tasks(resources)
    text = await client.get(f"{DOCUMENTS}/{document['id']}/text", headers=ada.headers)
    assert (text.text, text.headers["content-type"]) == (body["text"], "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("filename", "content", "media_type"),
    [
        ("a.docx", make_docx(["# Lamps", "They are lit at dusk."]), "application/vnd.openxmlformats-officedocument"),
        ("a.html", b"<!doctype html><title>Lamps</title><p>They are lit at dusk.</p>", "text/html"),
        ("a.md", b"# Lamps\n\nThey are lit at dusk.", "text/markdown"),
        ("a.xlsx", make_xlsx({"Lamps": "<row><c t='str'><v>They are lit at dusk.</v></c></row>"}), XLSX),
        ("a.eml", b"Subject: Lamps\r\nMIME-Version: 1.0\r\n\r\nThey are lit at dusk.", "message/rfc822"),
        ("a.zip", make_zip({"lamps.docx": make_docx(["They are lit at dusk."])}), "application/zip"),
        ("no name", b"%PDF-1.4 told by bytes" + make_pdf(["They are lit at dusk."])[8:], "application/pdf"),
    ],
)
async def test_each_format_is_told_from_its_bytes_and_read(client, resources, ada, filename, content, media_type):
    document = await ready(client, resources, ada, content, filename)
    assert document["media_type"].startswith(media_type)
    chunks = (await client.get(f"{DOCUMENTS}/{document['id']}/chunks", headers=ada.headers)).json()["items"]
    assert "lit at dusk" in chunks[-1]["text"]


async def test_what_cannot_be_a_document_is_refused_and_leaves_nothing(client, resources, ada):
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    stored = resources.settings.data_dir / "blobs"
    before = {path for path in stored.rglob("*") if path.is_file()}
    assert code_of(await upload(client, ada, png, "a.pdf")) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert code_of(await upload(client, ada, b"", "a.txt")) == (422, "VALIDATION_ERROR")
    assert code_of(await upload(client, ada, b"bad metadata", metadata="[1]")) == (422, "VALIDATION_ERROR")
    assert code_of(await upload(client, ada, b"bad metadata", metadata="{")) == (422, "VALIDATION_ERROR")
    assert code_of(await upload(client, ada, b"bad title", title="x" * 301)) == (422, "VALIDATION_ERROR")
    assert code_of(await upload(client, ada, b"no such project", project_id=str(uuid4()))) == (
        404,
        "RESOURCE_NOT_FOUND",
    )
    assert {path for path in stored.rglob("*") if path.is_file()} == before
    assert (await upload(client, ada, b"a good one", metadata="{}", title="x" * 300)).status_code == 202


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "nul \0 byte"}, "text"),
        ({"text": "half \ud800 a pair"}, "text"),
        ({"text": "fine", "metadata": {"deep": ["\0"]}}, "metadata"),
        ({"text": "fine", "metadata": {"long": "x" * 20_000}}, "metadata"),
        ({"text": "fine", "metadata": {"deep": json.loads("[" * 600 + "]" * 600)}}, "metadata"),
        ({"text": "fine", "title": " "}, "title"),
        ({"text": "fine", "project_id": "mine"}, "project_id"),
        ({"url": "https://example.org/lamp.pdf"}, "url"),
    ],
)
async def test_a_text_that_does_not_fit_is_refused_with_the_place(client, ada, body, place):
    content = json.dumps(body).encode()
    headers = ada.headers | {"Content-Type": "application/json"}
    refused = await client.post(DOCUMENTS, content=content, headers=headers)
    assert code_of(refused) == (422, "VALIDATION_ERROR")
    assert place in refused.json()["error"]["details"]["errors"][0]["loc"]


async def test_bodies_that_are_no_upload_are_refused_in_the_form_of_every_error(client, ada):
    async def post(content: bytes, content_type: str) -> tuple[int, str]:
        headers = ada.headers | {"Content-Type": content_type}
        return code_of(await client.post(DOCUMENTS, content=content, headers=headers))

    form = "multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nlamp'
    assert await post(b"lamp", "text/plain") == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert await post(b"{", "application/json") == (422, "VALIDATION_ERROR")
    assert await post(b"[" * 100_000, "application/json") == (422, "VALIDATION_ERROR")
    assert await post(b"lamp", "multipart/form-data") == (400, "BAD_REQUEST")
    assert await post(b"lamp", form) == (400, "BAD_REQUEST")
    assert await post(part, form) == (400, "BAD_REQUEST"), "it ends in the middle of the file"
    assert await post(b"--b--\r\n", form) == (422, "VALIDATION_ERROR"), "there is no file"
    assert await post(part + b"\r\n" + part + b"\r\n--b--\r\n", form) == (422, "VALIDATION_ERROR"), "there are two"
    headers = ada.headers | {"Content-Type": form}
    assert (await client.post(DOCUMENTS, content=part + b"\r\n--b--\r\n", headers=headers)).status_code == 202


async def test_an_upload_may_be_as_large_as_the_setting_says_and_no_larger(resources):
    limit = resources.settings.max_body_bytes + 1000
    blobs = BlobService(resources.uow, resources.foundation.storage, resources.foundation.fetcher, max_bytes=limit)
    documents = DocumentService(resources.uow, blobs, resources.services.tasks)
    small = replace(resources, services=replace(resources.services, blobs=blobs, documents=documents))
    transport = ASGITransport(create_app(resources=small))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        ada = await make_user(client)
        assert (await upload(client, ada, b"x" * limit)).status_code == 202
        refused = await upload(client, ada, b"x" * (limit + 1))
        assert code_of(refused) == (413, "PAYLOAD_TOO_LARGE")
        other = await client.post("/api/v1/projects", json={"name": "y" * limit}, headers=ada.headers)
        assert other.status_code == 413, "the limit of other routes stays"


async def test_editors_add_and_change_and_viewers_read_and_strangers_see_nothing(client, resources, ada):
    project = await make_project(client, ada)
    grace, eve, mallory = [await make_user(client, name) for name in ("Grace", "Eve", "Mallory")]
    await share(client, ada, project["id"], grace, "editor")
    await share(client, ada, project["id"], eve, "viewer")
    added = await upload(client, grace, LAMP, project_id=project["id"])
    assert added.status_code == 202
    path = added.headers["location"]
    for user, expected in ((ada, 202), (eve, 403), (mallory, 404)):
        status = (await upload(client, user, b"other", project_id=project["id"])).status_code
        assert status == expected
    for user, read, changed in ((grace, 200, 200), (eve, 200, 403), (mallory, 404, 404)):
        for part in ("", "/content", "/chunks"):
            assert (await client.get(path + part, headers=user.headers)).status_code == read
        assert (await client.patch(path, json={"title": "Lamps"}, headers=user.headers)).status_code == changed
        listed = (await client.get(DOCUMENTS, params={"project_id": project["id"]}, headers=user.headers)).json()
        assert len(listed["items"]) == (2 if read == 200 else 0)
    assert (await client.post(f"{path}/reingest", headers=eve.headers)).status_code == 403
    assert (await client.delete(path, headers=eve.headers)).status_code == 403
    assert (await client.delete(path, headers=mallory.headers)).status_code == 404
    assert (await client.delete(path, headers=grace.headers)).status_code == 204


async def test_title_and_metadata_change_under_the_version_that_was_seen(client, ada):
    path = (await upload(client, ada, LAMP)).headers["location"]
    seen = await client.get(path, headers=ada.headers)
    changed = await client.patch(
        path, json={"title": " New lamp "}, headers=ada.headers | {"If-Match": seen.headers["etag"]}
    )
    assert (changed.json()["title"], changed.json()["metadata"]) == ("New lamp", {})
    stale = ada.headers | {"If-Match": seen.headers["etag"]}
    assert code_of(await client.patch(path, json={"title": "Old"}, headers=stale)) == (412, "PRECONDITION_FAILED")
    assert code_of(await client.delete(path, headers=stale)) == (412, "PRECONDITION_FAILED")
    changed = await client.patch(path, json={"metadata": {"a": 1}}, headers=ada.headers)
    assert (changed.json()["title"], changed.json()["metadata"]) == ("New lamp", {"a": 1})
    assert code_of(await client.patch(path, json={"status": "ready"}, headers=ada.headers)) == (422, "VALIDATION_ERROR")


async def test_lists_are_filtered_and_paged(client, resources, ada):
    await upload(client, ada, b"first", "100%_sure.txt")
    await upload(client, ada, make_pdf(["second"]), "second.pdf", title="Whale oil")
    await run_queued_tasks(resources)
    await upload(client, ada, b"third", "third.md", title="Storm")

    async def titles(**params: str) -> list[str]:
        listed = await client.get(DOCUMENTS, params=params, headers=ada.headers)
        assert listed.status_code == 200, listed.text
        return [document["title"] for document in listed.json()["items"]]

    assert await titles() == ["Storm", "Whale oil", "100%_sure.txt"]
    assert await titles(status="ready") == ["Whale oil", "100%_sure.txt"]
    assert await titles(media_type="application/pdf") == ["Whale oil"]
    assert await titles(q="WHALE") == ["Whale oil"]
    assert await titles(q="second.") == ["Whale oil"]
    assert await titles(q="0%_s") == ["100%_sure.txt"]
    assert await titles(q="%") == ["100%_sure.txt"]
    assert await titles(project_id=str(uuid4())) == []
    assert (await client.get(DOCUMENTS, params={"status": "lost"}, headers=ada.headers)).status_code == 422
    assert (await client.get(DOCUMENTS, params={"q": "nul\0"}, headers=ada.headers)).status_code == 422

    page = (await client.get(DOCUMENTS, params={"limit": 2}, headers=ada.headers)).json()
    await upload(client, ada, b"fourth", "fourth.txt")
    rest = (await client.get(DOCUMENTS, params={"cursor": page["next_cursor"]}, headers=ada.headers)).json()
    assert [document["title"] for document in rest["items"]] == ["100%_sure.txt"]
    assert rest["next_cursor"] is None


async def test_the_original_is_a_download_that_runs_nothing(client, resources, ada):
    content = b"<!doctype html><script>alert(1)</script><p>Lamp</p>"
    path = (await upload(client, ada, content, '../ Übel\r\n"lamp".html')).headers["location"] + "/content"
    answer = await client.get(path, headers=ada.headers)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-disposition"].startswith("attachment; filename*=utf-8''%C3%9Cbel")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    part = await client.get(path, headers=ada.headers | {"Range": "bytes=2-8"})
    assert (part.status_code, part.content) == (206, b"doctype")
    assert part.headers["content-range"] == f"bytes 2-8/{len(content)}"
    beyond = await client.get(path, headers=ada.headers | {"Range": "bytes=1000-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert beyond.json()["error"]["message"] == f"The file has {len(content)} bytes."
    assert (await client.get(path, headers=ada.headers | {"Range": "lines=1-2"})).content == content
    known = await client.get(path, headers=ada.headers | {"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_an_original_that_is_lost_is_not_found_and_the_document_says_so_when_it_is_read(client, resources, ada):
    document = (await upload(client, ada, b"to be lost")).json()["document"]
    resources.foundation.storage.path(document["sha256"]).unlink()
    path = f"{DOCUMENTS}/{document['id']}"
    assert code_of(await client.get(f"{path}/content", headers=ada.headers)) == (404, "RESOURCE_NOT_FOUND")
    await run_queued_tasks(resources)
    read = (await client.get(path, headers=ada.headers)).json()
    assert (read["status"], read["error"]["code"]) == ("failed", "FILE_MISSING")
    again = await upload(client, ada, b"to be lost")
    assert (again.status_code, again.json()["document"]["id"]) == (202, document["id"])
    await run_queued_tasks(resources)
    assert (await client.get(f"{path}/content", headers=ada.headers)).content == b"to be lost"


async def test_passages_stand_at_their_offsets_in_the_text_page_by_page(client, resources, ada):
    words = [f"Ünïcode 灯 lamp {number} is lit at dusk and burns until dawn. 🪔" for number in range(300)]
    document = await ready(client, resources, ada, "\n\n".join(words).encode())
    path = f"{DOCUMENTS}/{document['id']}"
    text = (await client.get(f"{path}/text", headers=ada.headers)).text
    found, cursor = [], ""
    while cursor is not None:
        params = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"{path}/chunks", params=params, headers=ada.headers)).json()
        found += page["items"]
        cursor = page["next_cursor"]
    elsewhere = await client.get(f"{path}/chunks", params={"cursor": "_" * 22}, headers=ada.headers)
    assert code_of(elsewhere) == (422, "VALIDATION_ERROR"), "a cursor of another list"
    assert [chunk["ordinal"] for chunk in found] == list(range(document["chunk_count"]))
    assert len(found) > 20
    assert all(text[chunk["char_start"] : chunk["char_end"]] == chunk["text"] for chunk in found)
    assert set(found[0]) == {"id", "ordinal", "text", "page", "heading", "char_start", "char_end", "token_count"}


async def test_a_document_that_is_not_read_yet_has_no_text(client, resources, ada):
    path = (await upload(client, ada, LAMP)).headers["location"]
    early = await client.get(f"{path}/text", headers=ada.headers)
    assert code_of(early) == (409, "CONFLICT")
    assert early.json()["error"]["details"]["status"] == "pending"
    await run_queued_tasks(resources)
    assert (await client.get(f"{path}/text", headers=ada.headers)).content == LAMP


async def test_a_deleted_document_is_gone_and_its_bytes_with_the_last_that_has_them(client, resources, ada):
    project = await make_project(client, ada)
    first = (await upload(client, ada, LAMP)).json()["document"]
    second = (await upload(client, ada, LAMP, project_id=project["id"])).json()["document"]
    stored = resources.foundation.storage.path(first["sha256"])
    task = (await client.get("/api/v1/tasks", headers=ada.headers)).json()["items"][1]
    assert (await client.delete(f"{DOCUMENTS}/{first['id']}", headers=ada.headers)).status_code == 204
    assert (await client.get(f"{DOCUMENTS}/{first['id']}", headers=ada.headers)).status_code == 404
    assert (await client.get(f"/api/v1/tasks/{task['id']}", headers=ada.headers)).json()["status"] == "cancelled"
    assert stored.exists()
    assert (await client.delete(f"{DOCUMENTS}/{second['id']}", headers=ada.headers)).status_code == 204
    assert not stored.exists()
    again = await upload(client, ada, LAMP)
    assert again.status_code == 202
    assert again.json()["document"]["id"] not in (first["id"], second["id"])


async def test_reading_again_is_queued_once(client, resources, ada):
    document = await ready(client, resources, ada, LAMP)
    path = f"{DOCUMENTS}/{document['id']}/reingest"
    first, second = [await client.post(path, headers=ada.headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["task"]["id"] == second.json()["task"]["id"]
    await run_queued_tasks(resources)
    after = (await client.get(f"{DOCUMENTS}/{document['id']}", headers=ada.headers)).json()
    assert (after["status"], after["chunk_count"]) == ("ready", 1)


@dataclass
class Committed:
    client: AsyncClient
    resources: Resources
    user: User


@pytest.fixture
async def racing(settings: Settings):
    """With a database of its own: no worker of another test reads a document before everybody has uploaded it."""
    async with cloned_database(settings) as own, open_resources(own) as resources:
        transport = ASGITransport(create_app(resources=resources))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield Committed(client, resources, await make_user(client))


async def test_many_uploads_of_the_same_bytes_at_once_make_one_document_and_one_task(racing):
    content = f"raced {uuid4()}".encode()
    answers = await asyncio.gather(*(upload(racing.client, racing.user, content) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["document"]["id"] for answer in answers}) == 1
    assert len({answer.json()["task"]["id"] for answer in answers}) == 1


async def test_no_document_ever_lacks_its_bytes_while_others_delete_the_same(racing):
    content = f"added and deleted {uuid4()}".encode()

    async def add_and_delete() -> None:
        for _ in range(6):
            added = await upload(racing.client, racing.user, content)
            assert added.status_code in (200, 202, 503), added.text
            if added.status_code != 503:
                await racing.client.delete(added.headers["location"], headers=racing.user.headers)

    await asyncio.gather(*(add_and_delete() for _ in range(5)))
    last = None
    while last is None or last.status_code == 503:
        last = await upload(racing.client, racing.user, content)
    original = await racing.client.get(last.headers["location"] + "/content", headers=racing.user.headers)
    assert original.content == content
    sha256 = last.json()["document"]["sha256"]
    assert racing.resources.foundation.storage.path(sha256).exists()
    assert UUID(last.json()["document"]["id"])
