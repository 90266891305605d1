"""Documents that are fetched from where a URL says, and the inside of the network, which no URL reaches."""

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from app.adapters.fetching import Fetcher
from app.main import create_app
from app.resources import Resources
from app.services.blobs import BlobService
from app.services.documents import DocumentService
from app.settings import FetchSettings
from tests.api.test_application import error_of
from tests.documents import make_pdf
from tests.factories import User, make_project, make_user, share
from tests.web_server import Web, answer, start_web
from tests.work import run_queued_tasks

DOCUMENTS = "/api/v1/documents"
LAMP = b"The lamp is lit at dusk.\n\nIt burns until dawn."
LARGEST = 100_000


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """The internet: 127.0.0.1 at the ports that the fetcher may name."""
    async with start_web() as opened:
        yield opened


@pytest.fixture
async def canary() -> AsyncIterator[Web]:
    """The inside: nobody may ever connect to it."""
    async with start_web() as opened:
        yield opened
        assert opened.connections == 0


async def resolve(host: str, port: int) -> list[str]:
    """`changing.test` is public when it is first asked for, and inside ever after."""
    asked.append(host)
    return ["127.0.0.1" if asked.count("changing.test") < 2 else "127.0.0.2"]


asked: list[str] = []


@pytest.fixture
async def client(resources: Resources, web: Web, canary: Web) -> AsyncIterator[AsyncClient]:
    asked.clear()
    settings = FetchSettings(
        ports=(80, web.port, canary.port), allowed_networks=("127.0.0.1/32",), timeout=timedelta(seconds=5)
    )
    async with client_with(resources, Fetcher(settings, resolve=resolve)) as opened:
        yield opened


def client_with(resources: Resources, fetcher: Fetcher) -> AsyncClient:
    blobs = BlobService(resources.uow, resources.foundation.storage, fetcher, max_bytes=LARGEST)
    documents = DocumentService(resources.uow, blobs, resources.services.tasks)
    services = replace(resources.services, blobs=blobs, documents=documents)
    application = create_app(resources=replace(resources, services=services))
    return AsyncClient(transport=ASGITransport(application), base_url="http://test")


@pytest.fixture
async def ada(client: AsyncClient) -> User:
    return await make_user(client)


async def post(client: AsyncClient, user: User, url: object, **fields: object) -> Response:
    return await client.post(DOCUMENTS, json={"url": url, **fields}, headers=user.headers)


async def stored(resources: Resources) -> set[str]:
    return set(await resources.foundation.storage.list_older_than(timedelta(0)))


async def test_a_document_is_fetched_and_read_as_if_it_was_uploaded(client, resources, ada, web):
    web.pages["/a/lamp.pdf"] = answer(make_pdf(["The lamp is lit at dusk."]), Content_Type="text/html")
    accepted = await post(client, ada, web.url("/a/lamp.pdf#page=2"), metadata={"source_url": "mine", "shelf": 3})
    assert accepted.status_code == 202, accepted.text
    document = accepted.json()["document"]
    assert accepted.headers["location"] == f"{DOCUMENTS}/{document['id']}"
    assert (document["filename"], document["media_type"], document["title"]) == (
        "lamp.pdf",
        "application/pdf",
        "lamp.pdf",
    )
    assert document["metadata"] == {"source_url": "mine", "shelf": 3}
    assert document["source_url"] == web.url("/a/lamp.pdf#page=2")
    await run_queued_tasks(resources)
    read = (await client.get(accepted.headers["location"], headers=ada.headers)).json()
    assert (read["status"], read["page_count"]) == ("ready", 1)


async def test_the_same_bytes_are_the_same_document_wherever_they_come_from(client, ada, web):
    web.pages["/lamp.txt"] = web.pages["/other.txt"] = answer(LAMP)
    first = await post(client, ada, web.url("/lamp.txt"), title="Lamp")
    again = await post(client, ada, web.url("/other.txt"))
    uploaded = await client.post(DOCUMENTS, files={"file": ("lamp.txt", LAMP)}, headers=ada.headers)
    assert [response.status_code for response in (first, again, uploaded)] == [202, 200, 200]
    assert first.json()["document"]["title"] == "Lamp"
    assert first.json()["document"] == again.json()["document"] == uploaded.json()["document"]


async def test_what_cannot_be_a_document_leaves_nothing_behind(client, resources, ada, web, canary):
    web.pages |= {
        "/picture.txt": answer(b"\x89PNG\r\n\x1a\n" + bytes(100), Content_Type="text/plain"),
        "/empty": answer(b""),
        "/large": answer(b"x" * (LARGEST + 1)),
        "/bomb": answer(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"),
        "/inside": answer(b"", "302 Found", Location=f"http://127.0.0.2:{canary.port}/"),
        "/private": answer(b"secret", "403 Forbidden"),
    }
    before = await stored(resources)
    answers = {path: await post(client, ada, web.url(path)) for path in (*web.pages, "/lost")}
    assert {path: (response.status_code, error_of(response)["code"]) for path, response in answers.items()} == {
        "/picture.txt": (415, "UNSUPPORTED_MEDIA_TYPE"),
        "/empty": (422, "VALIDATION_ERROR"),
        "/large": (413, "PAYLOAD_TOO_LARGE"),
        "/bomb": (413, "PAYLOAD_TOO_LARGE"),
        "/inside": (422, "VALIDATION_ERROR"),
        "/private": (422, "VALIDATION_ERROR"),
        "/lost": (422, "VALIDATION_ERROR"),
    }
    assert error_of(answers["/private"])["details"]["status"] == 403
    assert await stored(resources) == before
    listed = await client.get(DOCUMENTS, headers=ada.headers)
    assert listed.json()["items"] == []


async def test_who_may_not_add_a_document_makes_nobody_ask_for_it(client, ada, web):
    web.pages["/lamp.txt"] = answer(LAMP)
    project = await make_project(client, ada)
    eve, mallory = await make_user(client, "Eve"), await make_user(client, "Mallory")
    await share(client, ada, project["id"], eve, "viewer")
    for user, expected in ((eve, 403), (mallory, 404)):
        refused = await post(client, user, web.url("/lamp.txt"), project_id=project["id"])
        assert refused.status_code == expected
    assert (await client.post(DOCUMENTS, json={"url": web.url("/lamp.txt")})).status_code == 401
    assert web.connections == 0
    assert (await post(client, ada, web.url("/lamp.txt"), project_id=project["id"])).status_code == 202


@pytest.mark.parametrize("url", [None, 7, "", " ", "x" * 3000, "http://a/\0", ["http://example.org"], {"host": "x"}])
async def test_a_url_that_is_none_is_refused(client, ada, url):
    refused = await post(client, ada, url)
    assert (refused.status_code, error_of(refused)["code"]) == (422, "VALIDATION_ERROR")
    assert error_of(refused)["details"]["errors"][0]["loc"] == ["body", "url"]
    both = await client.post(DOCUMENTS, json={"url": "http://example.org", "text": "x"}, headers=ada.headers)
    assert both.status_code == 422


async def test_a_name_server_that_changes_its_mind_leads_nowhere(client, ada, web, canary):
    web.pages["/"] = answer(LAMP)
    assert (await post(client, ada, web.url(host="changing.test"))).status_code == 202
    assert asked == ["changing.test"], "it is asked once, and what it said is what is connected to"
    refused = await post(client, ada, canary.url(host="changing.test"))
    assert error_of(refused)["details"]["reason"] == "address"


INSIDE = (
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://127.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.0.0.1%00.example.org:{port}/",
    "http://example.org@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@example.org/",
    "http://example.org#@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "https://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/info",
    "jar:http://127.0.0.1:{port}/!/",
)


@pytest.fixture
async def outsider(resources: Resources, canary: Web) -> AsyncIterator[AsyncClient]:
    """With the fetcher as it is shipped, were the port of the canary one of the web."""
    fetcher = Fetcher(FetchSettings(ports=(80, 443, canary.port)))
    async with client_with(resources, fetcher) as opened:
        yield opened
    fetcher.close()


async def refuse_all(client: AsyncClient, urls: list[str]) -> None:
    user = await make_user(client)
    for url in urls:
        refused = await post(client, user, url)
        assert (refused.status_code, error_of(refused)["code"]) == (422, "VALIDATION_ERROR"), url


async def test_no_spelling_of_the_inside_reaches_it(outsider: AsyncClient, canary: Web):
    await refuse_all(outsider, [url.replace("{port}", str(canary.port)) for url in INSIDE])


async def test_no_known_payload_reaches_the_inside(outsider: AsyncClient, canary: Web, shared_data: Path):
    payloads = (shared_data / "payloads" / "ssrf-loopback.txt").read_text().split()
    assert payloads
    await refuse_all(outsider, [*payloads, *(url.replace(":9/", f":{canary.port}/") for url in payloads)])
