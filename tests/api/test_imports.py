"""Memories from files: what is read, what is not, twice the same, and archives that come back as they went."""

import csv
import io
import json
import zipfile
from typing import Any

import pytest
from httpx import AsyncClient

from app.adapters.memory_files.archives import VERSION, ArchivedFiles
from app.resources import Resources
from tests.factories import User, make_project, make_user
from tests.media import attach, make_photo
from tests.memories import index, listed, remember, search
from tests.work import run_queued_tasks

IMPORTS = "/api/v1/memories/imports"
EXPORT = "/api/v1/memories/export"


async def bring(
    client: AsyncClient, resources: Resources, user: User, content: bytes | str, filename: str, **fields: str
) -> dict[str, Any]:
    """The import of a file, at its end."""
    data = content if isinstance(content, bytes) else content.encode()
    response = await client.post(IMPORTS, files={"file": (filename, data)}, data=fields, headers=user.headers)
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"{IMPORTS}/{response.json()['import']['id']}"
    await run_queued_tasks(resources)
    return (await client.get(response.headers["location"], headers=user.headers)).json()


def counts(done: dict[str, Any]) -> tuple[str, int, int, int, int]:
    return (done["status"], *(done[name] for name in ("created", "updated", "unchanged", "failed")))


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


async def memories_of(client: AsyncClient, user: User) -> list[dict[str, Any]]:
    return (await listed(client, user, limit=100))["items"]


async def test_lines_become_memories_once(client: AsyncClient, resources: Resources, owner: User):
    anna = await client.post("/api/v1/people", json={"name": "Anna Bell", "aliases": ["Anna"]}, headers=owner.headers)
    lighthouse = {
        "id": 7,
        "content": "We climbed the lighthouse.",
        "occurred_at": "2023-03-05",
        "tags": ["Sea"],
        "people": ["anna", {"name": "Ben"}],
        "location": {"name": "Cape", "coordinates": {"latitude": 45.5, "longitude": -122.6}},
        "mood": "good",
    }
    plain = {"text": "A plain note.", "date": "2022", "place": "cape"}
    content = lines(lighthouse, plain) + "\n{broken\n" + lines(plain, {"title": "x", "occurred_at": "yesterday"})
    done = await bring(client, resources, owner, content, "diary.jsonl")
    assert counts(done) == ("succeeded", 2, 0, 1, 2)
    assert [(problem["line"], problem["is_skipped"]) for problem in done["problems"]] == [(4, True), (6, True)]
    assert "must be a year" in done["problems"][1]["message"]
    assert (done["progress"], done["records"], done["error"]) == (1.0, 5, None)

    climbed, note = await memories_of(client, owner)
    assert (climbed["title"], climbed["precision"], climbed["tags"]) == ("We climbed the lighthouse.", "day", ["sea"])
    assert climbed["people"][0]["id"] == anna.json()["id"]
    assert climbed["source"] == {"kind": "import", "ids": {"import_id": done["id"]}}
    assert (note["occurred_local"], note["precision"]) == ("2022-01-01T00:00:00", "year")
    assert note["location"]["id"] == climbed["location"]["id"]
    await index(resources)
    assert (await search(client, owner, "lighthouse"))["items"][0]["memory_id"] == climbed["id"]

    assert counts(await bring(client, resources, owner, content, "again.jsonl")) == ("succeeded", 0, 0, 3, 2)
    assert await memories_of(client, owner) == [climbed, note]
    lighthouse |= {"content": "We climbed the old lighthouse.", "people": ["Ben"]}
    assert counts(await bring(client, resources, owner, lines(lighthouse), "d.jsonl")) == ("succeeded", 0, 1, 0, 0)
    changed = (await memories_of(client, owner))[0]
    assert (changed["id"], changed["title"]) == (climbed["id"], "We climbed the old lighthouse.")
    assert [person["name"] for person in changed["people"]] == ["Ben"]
    history = await client.get(f"/api/v1/memories/{changed['id']}/history", headers=owner.headers)
    assert [one["change"] for one in history.json()["items"]] == ["updated", "created"]

    await client.delete(f"/api/v1/memories/{changed['id']}", headers=owner.headers)
    lighthouse["content"] = "Again something else."
    assert counts(await bring(client, resources, owner, lines(lighthouse), "d.jsonl")) == ("succeeded", 0, 0, 1, 0)
    elsewhere = await bring(client, resources, owner, lines(lighthouse), "d.jsonl", source="another diary")
    assert counts(elsewhere) == ("succeeded", 1, 0, 0, 0)


async def test_an_id_that_occurs_twice_in_a_file_is_one_memory(client: AsyncClient, resources: Resources, owner: User):
    content = lines({"id": "a", "content": "First."}, {"id": "a", "content": "Second."}, {"id": "b", "content": ""})
    for _ in range(2):
        done = await bring(client, resources, owner, content, "twice.jsonl")
        assert done["failed"] == 2
        assert [memory["content"] for memory in await memories_of(client, owner)] == ["First."]


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-16"), ("|", "utf-8")]
)
async def test_tables_are_read_however_they_are_written(
    client: AsyncClient, resources: Resources, owner: User, delimiter: str, encoding: str
):
    table = io.StringIO()
    rows = csv.writer(table, delimiter=delimiter)
    rows.writerow(["Date", "Text", "Tags", "With", "Place", "Lat", "Lon", "Weather"])
    rows.writerow(["2023/3/5", "Café\nwith Anna, and more", "sea, Sun", "Anna; Zoë", "Møn", "54,98", "12.5", "fair"])
    rows.writerow(["5.3.2022", "Grüße aus Köln — schön war es, müde und glücklich", "", "", "", "", "", ""])
    rows.writerow(["03/05/2021", "Who knows which day.", "", "", "", "", "", ""])
    rows.writerow([])
    done = await bring(client, resources, owner, table.getvalue().encode(encoding), "diary.csv")
    assert counts(done) == ("succeeded", 2, 0, 0, 1)
    assert [(one["line"], one["is_skipped"]) for one in done["problems"]] == [(1, False), (5, True)]
    assert "Weather" in done["problems"][0]["message"]
    first, second = await memories_of(client, owner)
    assert (first["content"], first["tags"]) == ("Café\nwith Anna, and more", ["sea", "sun"])
    assert (first["occurred_local"], second["occurred_local"]) == ("2023-03-05T00:00:00", "2022-03-05T00:00:00")
    assert [person["name"] for person in first["people"]] == ["Anna", "Zoë"]
    assert first["location"]["coordinates"] == {"latitude": 54.98, "longitude": 12.5}
    assert second["content"].startswith("Grüße aus Köln")


CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:dinner@example.com
SUMMARY:Dinner\\, with friends
DESCRIPTION:At the
  harbour\\nat last
DTSTART;TZID=Europe/Vienna:20230705T193000
DTEND;TZID=Europe/Vienna:20230705T230000
LOCATION:Harbour
GEO:48.2;16.37
CATEGORIES:food,friends
ATTENDEE;CN="Bell, Anna";PARTSTAT=ACCEPTED:mailto:anna@example.com
ATTENDEE;CN=Carl;PARTSTAT=DECLINED:mailto:carl@example.com
ATTENDEE;CN=Me:mailto:{email}
BEGIN:VALARM
DESCRIPTION:Soon
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:holiday@example.com
SUMMARY:Holiday
DTSTART;VALUE=DATE:20230801
DTEND;VALUE=DATE:20230815
END:VEVENT
BEGIN:VEVENT
UID:choir@example.com
SUMMARY:Choir
DTSTART;TZID=W. Europe Standard Time:20230301T200000
DURATION:PT1H30M
RRULE:FREQ=WEEKLY;BYDAY=WE;COUNT=5
EXDATE;TZID=Europe/Berlin:20230308T200000
END:VEVENT
BEGIN:VEVENT
UID:choir@example.com
RECURRENCE-ID:20230315T190000Z
SUMMARY:Choir with the bishop
DTSTART;TZID=Europe/Berlin:20230315T210000
END:VEVENT
BEGIN:VEVENT
UID:gone@example.com
SUMMARY:Gone
DTSTART:20230101T100000Z
STATUS:CANCELLED
END:VEVENT
BEGIN:VEVENT
UID:broken@example.com
SUMMARY:Broken
DTSTART:next Tuesday
END:VEVENT
BEGIN:VEVENT
UID:every-second@example.com
SUMMARY:Every second
DTSTART:20230101T100000Z
RRULE:FREQ=SECONDLY
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


async def test_events_of_a_calendar_are_memories(client: AsyncClient, resources: Resources, owner: User):
    content = CALENDAR.replace("{email}", owner.email)
    done = await bring(client, resources, owner, content, "my.ics", timezone="Europe/Vienna")
    assert counts(done) == ("succeeded", 7, 0, 0, 1)
    assert ["next Tuesday" in done["problems"][0]["message"], done["problems"][1]["is_skipped"]] == [True, False]
    found = {memory["title"]: memory for memory in await memories_of(client, owner)}
    dinner, holiday = found["Dinner, with friends"], found["Holiday"]
    assert (dinner["content"], dinner["tags"]) == ("At the harbour\nat last", ["food", "friends"])
    assert (dinner["occurred_at"], dinner["occurred_end"]) == ("2023-07-05T17:30:00Z", "2023-07-05T21:00:00Z")
    assert dinner["occurred_local"] == "2023-07-05T19:30:00"
    assert [person["name"] for person in dinner["people"]] == ["Bell, Anna"]
    assert (dinner["location"]["name"], dinner["location"]["coordinates"]["latitude"]) == ("Harbour", 48.2)
    assert (holiday["precision"], holiday["occurred_local"]) == ("day", "2023-08-01T00:00:00")
    within = await listed(client, owner, **{"from": "2023-08-14", "to": "2023-08-14"})
    assert [memory["title"] for memory in within["items"]] == ["Holiday"]
    after = await listed(client, owner, **{"from": "2023-08-15", "to": "2023-08-15"})
    assert after["items"] == []
    choir = sorted(
        memory["occurred_at"] for memory in await memories_of(client, owner) if memory["title"].startswith("Choir")
    )
    assert choir == ["2023-03-01T19:00:00Z", "2023-03-15T20:00:00Z", "2023-03-22T19:00:00Z", "2023-03-29T18:00:00Z"]
    assert counts(await bring(client, resources, owner, content, "my.ics"))[1:3] == (0, 0)


async def make_life(client: AsyncClient, resources: Resources, user: User) -> list[dict[str, Any]]:
    """Memories with all that they can have."""
    await client.post("/api/v1/people", json={"name": "Anna", "aliases": ["Annie"]}, headers=user.headers)
    await client.post("/api/v1/people", json={"name": "Anna"}, headers=user.headers)
    place = {"name": "Cape", "coordinates": {"latitude": 45.5, "longitude": -122.6}}
    first = await remember(
        client, user, "Møn 🌊", occurred_at="2023-03", tags=["sea"], people=[{"name": "Annie"}], location=place
    )
    project = await make_project(client, user)
    second = await remember(
        client,
        user,
        "The ferry.",
        title="Ferry",
        occurred_at="2023-07-05T19:30:00+02:00",
        occurred_end="2023-07-06T01:00:00+02:00",
        links={"memory_ids": [first["id"]]},
        project_id=project["id"],
    )
    patched = {"content": "Møn, again.", "links": {"memory_ids": [second["id"]]}, "people": [{"name": "Ben"}]}
    await client.patch(f"/api/v1/memories/{first['id']}", json=patched, headers=user.headers)
    thrown = await remember(client, user, "Thrown away.")
    await client.delete(f"/api/v1/memories/{thrown['id']}", headers=user.headers)
    return await memories_of(client, user)


async def exported(client: AsyncClient, user: User) -> bytes:
    response = await client.get(EXPORT, headers=user.headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip"), response.text
    return response.content


def part(archive: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read(name)


def comparable(archive: bytes) -> dict[str, list[Any]]:
    """What is in it, with numbers in the place of ids, and without sharing and times of export."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        parts = {name: opened.read(name).decode() for name in opened.namelist() if name.endswith(".jsonl")}
    known: dict[str, str] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if key != "project_id"}
        if isinstance(value, list):
            return [plain(one) for one in value]
        is_id = isinstance(value, str) and len(value) == 36 and value.count("-") == 4
        return known.setdefault(value, f"id {len(known)}") if is_id else value

    return {name: [plain(json.loads(line)) for line in text.splitlines()] for name, text in sorted(parts.items())}


async def test_an_archive_comes_back_as_it_went(client: AsyncClient, resources: Resources, owner: User):
    before = await make_life(client, resources, owner)
    archive = await exported(client, owner)
    manifest = json.loads(part(archive, "manifest.json"))
    assert (manifest["version"], manifest["counts"]) == (VERSION, {"people": 3, "locations": 1, "memories": 3})
    assert counts(await bring(client, resources, owner, archive, "own.zip")) == ("succeeded", 0, 0, 3, 0)
    assert await memories_of(client, owner) == before

    friend = await make_user(client, name="Friend")
    done = await bring(client, resources, friend, archive, "memories.zip")
    assert counts(done) == ("succeeded", 3, 0, 0, 0), done
    copies = await memories_of(client, friend)
    assert [one["content"] for one in copies] == [one["content"] for one in before]
    assert {one["project_id"] for one in copies} == {None}
    assert not {one["id"] for one in copies} & {one["id"] for one in before}
    assert comparable(await exported(client, friend)) == comparable(archive)
    assert counts(await bring(client, resources, friend, archive, "memories.zip")) == ("succeeded", 0, 0, 3, 0)

    moen = next(one for one in copies if one["title"].startswith("Møn"))
    undone = await client.post(f"/api/v1/memories/{moen['id']}/undo", headers=friend.headers)
    assert (undone.json()["content"], undone.json()["people"][0]["name"]) == ("Møn 🌊", "Anna")
    changed = {"content": "The night ferry."}
    ferry = next(one for one in before if one["title"] == "Ferry")
    await client.patch(f"/api/v1/memories/{ferry['id']}", json=changed, headers=owner.headers)
    newer = await exported(client, owner)
    assert counts(await bring(client, resources, friend, newer, "memories.zip")) == ("succeeded", 0, 1, 2, 0)
    assert "The night ferry." in {one["content"] for one in await memories_of(client, friend)}
    account = await client.get("/api/v1/users/me/export", headers=owner.headers)
    assert part(newer, "memories.jsonl") == part(account.content, "memories/memories.jsonl")


async def test_files_of_memories_travel_with_them(client: AsyncClient, resources: Resources, owner: User):
    picture = make_photo()
    memory = await remember(client, owner, "The lighthouse at night.")
    first = await attach(client, owner, memory["id"], picture, "night.jpg")
    await attach(client, owner, memory["id"], b"A note.", "note.txt")
    archive = await exported(client, owner)
    assert json.loads(part(archive, "manifest.json"))["counts"]["media"] == 2
    assert part(archive, f"media/{first['sha256']}") == picture
    friend = await make_user(client, name="Friend")
    done = await bring(client, resources, friend, archive, "memories.zip")
    assert (counts(done), done["problems"]) == (("succeeded", 1, 0, 0, 0), [])
    [copy] = await memories_of(client, friend)
    told = [{name: one[name] for name in ("filename", "sha256", "media_type")} for one in copy["media"]]
    assert [one["filename"] for one in told] == ["night.jpg", "note.txt"]
    assert told[0]["sha256"] == first["sha256"]
    await bring(client, resources, friend, archive, "memories.zip")
    assert len((await memories_of(client, friend))[0]["media"]) == 2


async def test_a_file_is_unpacked_once_however_often_it_is_named(
    client: AsyncClient, resources: Resources, owner: User, monkeypatch: pytest.MonkeyPatch
):
    for content in ("One.", "Two."):
        memory = await remember(client, owner, content)
        await attach(client, owner, memory["id"], b"The same note.", "note.txt")
    archive = await exported(client, owner)
    named = part(archive, "media.jsonl")
    missing = json.dumps({**json.loads(named.splitlines()[0]), "sha256": "0" * 64}).encode() + b"\n"
    repeated = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as given, zipfile.ZipFile(repeated, "w") as archive_of_them:
        for name in given.namelist():
            archive_of_them.writestr(name, named * 3 + missing * 2 if name == "media.jsonl" else given.read(name))
    unpacked = []
    read = ArchivedFiles.read
    monkeypatch.setattr(ArchivedFiles, "read", lambda self, sha256: (unpacked.append(sha256), read(self, sha256))[1])
    friend = await make_user(client, name="Friend")
    done = await bring(client, resources, friend, repeated.getvalue(), "memories.zip")
    assert counts(done) == ("succeeded", 2, 0, 0, 0)
    assert [len(one["media"]) for one in await memories_of(client, friend)] == [1, 1]
    assert [one["message"] for one in done["problems"]] == ["A file was left out: The file is not in the archive."] * 2
    assert len(unpacked) == len(set(unpacked)) == 2


def packed(**parts: str) -> bytes:
    """An archive; two underscores stand for a dot."""
    packing = io.BytesIO()
    with zipfile.ZipFile(packing, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name.replace("__", "."), text)
    return packing.getvalue()


MANIFEST = json.dumps({"format": "hearth-memories", "version": 1})


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (packed(manifest__json=MANIFEST.replace("1", "2")), "newer.zip", "NEWER_VERSION"),
        (packed(readme__txt="Hello"), "other.zip", "NO_ARCHIVE"),
        (packed(manifest__json="[" * 100_000), "deep.zip", "NO_ARCHIVE"),
        (packed(manifest__json=MANIFEST, memories__jsonl="\n" * 80_000_000), "bomb.zip", "TOO_LARGE"),
        (
            packed(manifest__json=MANIFEST, media__jsonl="", **{"media/" + "0" * 64: "\0" * 80_000_000}),
            "m.zip",
            "TOO_LARGE",
        ),
        (packed(manifest__json=MANIFEST.replace("1", "true")), "true.zip", "NO_ARCHIVE"),
        (packed(manifest__json=MANIFEST)[:-30], "cut.zip", "CORRUPT"),
        (b"BEGIN:NOTHING\nEND:NOTHING\n", "calendar.ics", "NO_CALENDAR"),
        (b"one,two\n1,2\n", "table.csv", "NO_COLUMNS"),
        (b"\x00\x01\x02\x03" * 1000, "noise.bin", "NO_COLUMNS"),
    ],
)
async def test_what_is_no_such_file_is_refused(
    client: AsyncClient, resources: Resources, owner: User, content: bytes, filename: str, code: str
):
    done = await bring(client, resources, owner, content, filename)
    assert (done["status"], done["error"]["code"], done["created"]) == ("failed", code, 0)
    task = await client.get(f"/api/v1/tasks/{done['task_id']}", headers=owner.headers)
    assert (task.json()["status"], task.json()["error"]["code"]) == ("failed", code)


async def test_a_hostile_archive_harms_nobody(client: AsyncClient, resources: Resources, owner: User):
    friend = await make_user(client, name="Friend")
    secret = await remember(client, friend, "A secret.", people=[{"name": "Zelda"}], location={"name": "Vault"})
    at = "2023-01-01T00:00:00Z"
    wall = {"begins": "2023-01-01T00:00:00", "ends": "2023-01-02T00:00:00"}
    links = {"document_ids": [], "message_ids": [], "memory_ids": [secret["id"]]}
    memory = {
        "id": secret["id"], "title": "Mine", "content": "Mine now", "precision": "day", "occurred_at": at,
        "occurred_end": None, **wall, "tags": [], "people": [{"id": secret["people"][0]["id"], "name": "Somebody"}],
        "location": {"id": secret["location"]["id"], "name": "Somewhere"}, "links": links, "revision": 1,
        "source": {"kind": "manual", "ids": {}}, "created_at": at, "updated_at": at, "deleted_at": None, "history": [],
    }  # fmt: skip
    other_id = "0190a1b2-0000-7000-8000-000000000001"
    wrong = [
        {**memory, "id": other_id, "begins": "2020-01-01T00:00:00"},
        {**memory, "id": other_id, "history": [{"revision": 1, "change": "created", "created_at": at, "state": {}}]},
        {**memory, "id": other_id, "source": {"kind": "x", "ids": {"a": "x" * 30_000}}},
        {**memory, "id": "../../etc/passwd"},
        {**memory, "id": other_id, "title": "nul\0"},
    ]
    text = lines(memory, *wrong) + '{"a":' * 5000 + "\n"
    content = packed(**{"manifest__json": MANIFEST, "memories__jsonl": text, "/../../evil": "x"})
    done = await bring(client, resources, owner, content, "hostile.zip")
    assert counts(done) == ("succeeded", 1, 0, 0, 6), done
    mine = (await memories_of(client, owner))[0]
    assert (mine["content"], mine["people"][0]["name"], mine["location"]["name"]) == (
        "Mine now",
        "Somebody",
        "Somewhere",
    )
    assert secret["id"] not in json.dumps(mine)
    assert (await memories_of(client, friend)) == [secret]


async def test_imports_are_seen_by_their_owner_alone(client: AsyncClient, resources: Resources, owner: User):
    friend = await make_user(client, name="Friend")
    home = next(one for one in (await listed(client, owner, "/projects"))["items"] if one["is_default"])
    member = {"email": friend.email, "role": "viewer"}
    await client.post(f"/api/v1/projects/{home['id']}/members", json=member, headers=owner.headers)
    done = await bring(client, resources, owner, lines({"content": "A secret."}, {"content": 1}), "secret.jsonl")
    assert (await client.get(f"{IMPORTS}/{done['id']}", headers=friend.headers)).status_code == 404
    assert (await listed(client, friend, "/memories/imports"))["items"] == []
    assert [one["id"] for one in (await listed(client, owner, "/memories/imports"))["items"]] == [done["id"]]
    task = await client.get(f"/api/v1/tasks/{done['task_id']}", headers=friend.headers)
    assert (task.json()["status"], task.json()["result"]) == ("succeeded", {"import_id": done["id"]})
    assert "secret" not in task.text
    assert comparable(await exported(client, friend)) == {
        "locations.jsonl": [],
        "media.jsonl": [],
        "memories.jsonl": [],
        "people.jsonl": [],
    }


async def test_what_cannot_be_an_import_is_refused_at_once(client: AsyncClient, resources: Resources, owner: User):
    async def post(**given: Any) -> tuple[int, str]:
        response = await client.post(IMPORTS, headers=owner.headers, **given)
        return response.status_code, response.json()["error"]["code"]

    assert await post(files={"file": ("empty.csv", b"")}) == (422, "VALIDATION_ERROR")
    assert await post(files={"other": ("a.csv", b"title\nx\n")}) == (422, "VALIDATION_ERROR")
    file = {"file": ("a.csv", b"title\nx\n")}
    assert await post(files=file, data={"format": "xml"}) == (422, "VALIDATION_ERROR")
    assert await post(files=file, data={"timezone": "Atlantis"}) == (422, "VALIDATION_ERROR")
    assert await post(json={"content": "x"}) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert (await listed(client, owner, "/memories/imports"))["items"] == []
    assert (await client.post(IMPORTS, files=file)).status_code == 401
    unknown = await client.patch(IMPORTS, json={}, headers=owner.headers)
    assert (unknown.status_code, unknown.headers["allow"]) == (405, "GET, POST")
