"""What people take with them: all that is theirs, nothing that is not, in an archive that is harmless to unpack."""

import asyncio
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import PurePosixPath
from shutil import which
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import func, select, text, update

from app.models import AuditEntry, Document, Identity
from app.services.exports import archive_name
from tests.documents import make_pdf
from tests.factories import PASSWORD, User, execute, make_key, make_project, make_user, share
from tests.work import run_queued_tasks

V1 = "/api/v1"
EXPORT = f"{V1}/users/me/export"


async def export(client: AsyncClient, user: User) -> zipfile.ZipFile:
    response = await client.get(EXPORT, headers=user.headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip"), response.text
    assert response.headers["content-disposition"].startswith('attachment; filename="hearth-')
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    return archive


async def upload(client: AsyncClient, user: User, content: bytes, filename: str, project_id: str) -> str:
    response = await client.post(
        f"{V1}/documents", files={"file": (filename, content)}, data={"project_id": project_id}, headers=user.headers
    )
    assert response.status_code == 202, response.text
    return response.json()["document"]["id"]


async def open_room(client: AsyncClient, user: User, project_id: str) -> str:
    fields = {"name": "Kitchen", "project_id": project_id, "spirit_mode": "off"}
    return (await client.post(f"{V1}/sessions", json=fields, headers=user.headers)).json()["id"]


async def say(client: AsyncClient, user: User, room: str, said: str) -> None:
    sent = await client.post(f"{V1}/chat/{room}/messages", json={"text": said}, headers=user.headers)
    assert sent.status_code == 201, sent.text


def lines(archive: zipfile.ZipFile, name: str) -> list[dict]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


async def test_an_archive_holds_what_somebody_owns_and_nothing_of_others(client: AsyncClient, resources, owner):
    friend = await make_user(client, name="Friend")
    mine, theirs = await make_project(client, owner, "Mine"), await make_project(client, friend, "Theirs")
    await share(client, owner, mine["id"], friend, "editor")
    await share(client, friend, theirs["id"], owner, "editor")
    lamp = make_pdf(["The lamp is lit at dusk."])
    in_mine = await upload(client, owner, lamp, "lamp.pdf", mine["id"])
    brought = await upload(client, owner, b"I brought this.", "brought.txt", theirs["id"])
    hidden = await upload(client, friend, b"The secret of Friend.", "secret.txt", theirs["id"])
    room, elsewhere = await open_room(client, owner, mine["id"]), await open_room(client, friend, theirs["id"])
    await say(client, friend, room, "May I come in?")
    await say(client, owner, room, "Please")
    await say(client, owner, elsewhere, "Nice place")
    await say(client, friend, elsewhere, "Between me and me")
    key = await make_key(client, owner, name="backup")
    async with resources.uow() as uow:
        identity = Identity(user_id=UUID(owner.id), issuer="https://id.example", subject="42", access_token=b"sealed")
        uow._session.add(identity)
    await run_queued_tasks(resources)
    for who, asked in ((owner, "What is lit at dusk?"), (friend, "What is the secret?")):
        await client.post("/api/v1/query", json={"question": asked}, headers=who.headers)

    archive = await export(client, owner)
    account = json.loads(archive.read("account.json"))
    assert (account["user"]["email"], account["api_keys"][0]["name"]) == (owner.email, "backup")
    assert account["identities"][0] | {"created_at": ""} == {
        "issuer": "https://id.example",
        "subject": "42",
        "email": None,
        "created_at": "",
    }
    assert len(account["log_ins"]) == 1
    assert {project["name"]: project["role"] for project in account["memberships"]} == {
        "My project": "owner",
        "Mine": "owner",
        "Theirs": "editor",
    }
    project = json.loads(archive.read(f"projects/{mine['id']}/project.json"))
    assert {(member["name"], member["role"]) for member in project["members"]} == {
        ("Owner", "owner"),
        ("Friend", "editor"),
    }
    assert archive.read(f"documents/{in_mine}/original/lamp.pdf") == lamp
    assert b"The lamp is lit at dusk." in archive.read(f"documents/{in_mine}/text.txt")
    assert json.loads(archive.read(f"documents/{brought}/document.json"))["filename"] == "brought.txt"
    said = lines(archive, f"sessions/{room}/messages.jsonl")
    assert [(message["user_name"], message["text"]) for message in said] == [
        ("Friend", "May I come in?"),
        ("Owner", "Please"),
    ]
    assert [message["text"] for message in lines(archive, "messages-elsewhere.jsonl")] == ["Nice place"]
    assert [task["task_type"] for task in lines(archive, "tasks.jsonl")] == ["ingest_document"] * 2
    assert [answer["question"] for answer in lines(archive, "answers.jsonl")] == ["What is lit at dusk?"]
    assert "user.exported" in [entry["action"] for entry in lines(archive, "activity.jsonl")]

    everything = b"".join(archive.read(name) for name in archive.namelist())
    unseen = (hidden, "secret of Friend", "Between me and me", "What is the secret", friend.email)
    for foreign in (*unseen, PASSWORD, key["key"], "sealed"):
        assert foreign.encode() not in everything, foreign
    entry = select(func.count()).where(AuditEntry.action == "user.exported", AuditEntry.actor_id == UUID(owner.id))
    assert await execute(resources, entry) == 1


async def test_the_manifest_fits_and_common_tools_unpack_it(client: AsyncClient, owner, tmp_path):
    project = await make_project(client, owner)
    await upload(client, owner, b"Another brick in the wall. " * 40_000, "wall.txt", project["id"])
    await upload(client, owner, b"Guten Abend", "Grüße aus Österreich 🏔.txt", project["id"])
    archive = await export(client, owner)
    sums = dict(reversed(line.split("  ", 1)) for line in archive.read("manifest.sha256").decode().splitlines())
    assert set(sums) == set(archive.namelist()) - {"manifest.sha256"}
    assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest for name, digest in sums.items())
    assert archive.namelist()[0] == "README.txt"
    assert "original/Grüße aus Österreich 🏔.txt" in str(archive.namelist())

    path = tmp_path / "export.zip"
    path.write_bytes(archive.fp.getvalue())
    out = tmp_path / "out"
    tool = ["unzip", "-q", path, "-d", out] if which("unzip") else [sys.executable, "-m", "zipfile", "-e", path, out]
    await asyncio.to_thread(subprocess.run, tool, check=True)
    check = ["sha256sum", "--check", "--quiet", "manifest.sha256"]
    await asyncio.to_thread(subprocess.run, check, cwd=out, check=True)


@pytest.mark.parametrize(
    "filename",
    [
        *("../../etc/passwd", "..\\..\\evil.exe", "/etc/shadow", "a/b/c.txt", "..", ".", "", "con.txt", "a:b?.txt "),
        *("x" * 300 + ".pdf", "ä" * 250 + ".pdf", "evil\nname.txt", "." + "y" * 254, "nul", "z." + "q" * 250, None),
    ],
)
def test_no_name_of_a_file_becomes_a_way(filename: str | None):
    name = archive_name(filename, otherwise="document.txt")
    assert name == PurePosixPath(name).name
    assert name not in ("", ".", "..")
    assert "\\" not in name
    assert ":" not in name
    assert name.isprintable()
    assert len(name.encode()) <= 255
    assert name.lower() not in ("con.txt", "nul")


async def test_a_name_that_the_database_holds_from_elsewhere_stays_in_its_folder(client: AsyncClient, resources, owner):
    project = await make_project(client, owner)
    document_id = await upload(client, owner, b"Harmless", "harmless.txt", project["id"])
    renamed = update(Document).where(Document.id == UUID(document_id)).values(filename="../../../../tmp/evil.txt")
    await execute(resources, renamed)
    archive = await export(client, owner)
    assert f"documents/{document_id}/original/evil.txt" in archive.namelist()
    assert not [name for name in archive.namelist() if ".." in name or name.startswith("/")]


async def test_a_file_that_is_lost_is_left_out_and_the_rest_is_there(client: AsyncClient, resources, owner):
    project = await make_project(client, owner)
    lost = await upload(client, owner, b"Lost in a fire", "lost.txt", project["id"])
    kept = await upload(client, owner, b"Kept in a safe", "kept.txt", project["id"])
    await resources.foundation.storage.delete(hashlib.sha256(b"Lost in a fire").hexdigest())
    names = (await export(client, owner)).namelist()
    assert f"documents/{kept}/original/kept.txt" in names
    assert not [name for name in names if lost in name]


async def test_long_lists_are_complete(client: AsyncClient, resources, owner):
    project = await make_project(client, owner)
    room = await open_room(client, owner, project["id"])
    many = text("""
        INSERT INTO messages (id, session_id, seq, user_id, user_name, text, is_spirit)
        SELECT gen_random_uuid(), :room, n, :user, 'Owner', 'Number ' || n, false FROM generate_series(1, 450) AS n
    """).bindparams(room=UUID(room), user=UUID(owner.id))
    await execute(resources, many)
    said = lines(await export(client, owner), f"sessions/{room}/messages.jsonl")
    assert [message["seq"] for message in said] == list(range(1, 451))
