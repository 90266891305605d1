"""The `hearth` command as people use it, against a real server."""

import asyncio
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from app.conversation import Screen
from app.settings import Settings
from tests.conftest import cloned_database
from tests.data_dirs import temporary_data_dir
from tests.documents import make_pdf
from tests.factories import make_user
from tests.processes import REPOSITORY, LiveServer, start_server

QUESTION = "When does the lighthouse keeper light the lamp?"
ANSWER = "The lighthouse keeper lights the lamp at nine in the evening."


async def hearth(live: LiveServer, *arguments: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Exit status and everything printed by one call."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        cwd=REPOSITORY,
        env={**live.environment, "HEARTH_URL": live.url, "COLUMNS": "200", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(typed.encode()), 60)
    return process.returncode or 0, output.decode()


@pytest.fixture
async def key(live: LiveServer) -> str:
    async with live.client() as client:
        user = await make_user(client)
        response = await client.post("/api/v1/api-keys", json={"name": "command line"}, headers=user.headers)
        return response.json()["key"]


async def test_files_are_ingested_and_asked_about(live: LiveServer, key: str, tmp_path: Path):
    (tmp_path / "lighthouse.pdf").write_bytes(make_pdf([ANSWER]))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    status, output = await hearth(live, "ingest", str(tmp_path / "lighthouse.pdf"), HEARTH_API_KEY=key)
    assert status == 0, output
    assert "✓ lighthouse.pdf" in output

    status, output = await hearth(live, "ingest", str(tmp_path), HEARTH_API_KEY=key)
    assert status == 1
    assert "✗ broken.pdf" in output

    status, output = await hearth(live, "ask", QUESTION, HEARTH_API_KEY=key)
    assert status == 0, output
    assert "nine in the evening" in output
    assert "lighthouse" in output

    status, output = await hearth(live, "ask", QUESTION)
    assert status == 1
    assert "hearth login" in output


async def test_a_room_can_be_visited_from_the_terminal(live: LiveServer, key: str):
    async with live.client(headers={"X-API-Key": key}) as client:
        room = (await client.post("/api/v1/sessions", json={"name": "Terminal", "spirit_mode": "off"})).json()
        status, output = await hearth(live, "chat", room["id"], typed="good evening\n", HEARTH_API_KEY=key)
        assert status == 0, output
        messages = (await client.get(f"/api/v1/chat/{room['id']}/messages")).json()["items"]
    assert [message["text"] for message in messages] == ["good evening"]


async def test_a_closed_door_says_why_in_the_terminal(live: LiveServer, key: str):
    status, output = await hearth(live, "chat", str(uuid4()), typed="anybody?\n", HEARTH_API_KEY=key)
    assert (status, "No such room." in output) == (0, True), output


def test_the_terminal_shows_an_answer_once_with_where_it_stands():
    shown = io.StringIO()
    screen = Screen(Console(file=shown, width=200))
    people = [{"name": "Ada"}, {"name": "Spirit"}]
    screen.show({"type": "welcome", "last_seq": 4, "participants": people, "you": {"name": "Ada"}})
    for number, delta in enumerate(("At ", "[b]nine[/b]."), 5):
        screen.show({"type": "spirit_token", "seq": number, "delta": delta})
    screen.unheard["of-ada"] = "When?"
    citation = {"marker": 1, "title": "Log [book]", "page": 7}
    said = {"user_name": "Spirit", "is_spirit": True, "text": "At [b]nine[/b].", "citations": [citation]}
    screen.show({"type": "message_received", "seq": 7, "client_id": "of-ada", **said})
    assert (screen.last_seq, screen.unheard) == (7, {})
    text = shown.getvalue()
    assert "Here: Ada, Spirit" in text
    assert text.count("At [b]nine[/b].") == 1
    assert "[1] Log [book], page 7" in text
    screen.show({"type": "error", "message": "Slower, please.", "details": {}})
    assert "Slower, please." in shown.getvalue()


async def test_the_doctor_says_what_is_ill_and_what_to_do(live: LiveServer):
    status, output = await hearth(live, "doctor")
    assert status == 0, output
    assert len(re.findall(r"\bok\b", output)) == 11

    status, output = await hearth(live, "doctor", REDIS_URL="redis://127.0.0.1:1/0")
    assert status == 1
    assert "check REDIS_URL" in output


async def test_the_doctor_speaks_to_programs(live: LiveServer):
    status, output = await hearth(live, "doctor", "--json")
    report = json.loads(output)
    assert (status, report["is_well"], len(report["checks"])) == (0, True, 11)

    status, output = await hearth(live, "doctor", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    ill = [check for check in json.loads(output)["checks"] if check["state"] != "ok"]
    assert (status, [check["name"] for check in ill]) == (1, ["redis"])
    assert "check REDIS_URL" in ill[0]["advice"]


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server whose files no other test takes away."""
    with temporary_data_dir() as folder:
        async with cloned_database(settings) as own, start_server(own, worker=False, DATA_DIR=str(folder)) as server:
            yield server


async def test_a_running_house_is_saved_and_not_overwritten(house: LiveServer, tmp_path: Path):
    async with house.client() as client:
        user = await make_user(client)
        upload = {"file": ("lamp.txt", ANSWER.encode(), "text/plain")}
        assert (await client.post("/api/v1/documents", files=upload, headers=user.headers)).status_code == 202
    file = tmp_path / "hearth.backup.gz"
    status, output = await hearth(house, "backup", str(file))
    assert (status, file.stat().st_mode & 0o777) == (0, 0o600), output
    assert "Not in it, and to be kept elsewhere" in output
    status, output = await hearth(house, "backup", str(file))
    assert (status, "is there already" in output) == (1, True), output
    for force in ((), ("--force",)):
        status, output = await hearth(house, "restore", str(file), *force)
        assert (status, "stop all of them first" in output) == (1, True), output

    with temporary_data_dir() as folder:
        status, output = await hearth(house, "restore", str(file), DATABASE_URL="", DATA_DIR=str(folder))
        assert (status, "Restored" in output) == (0, True), output


async def test_keys_are_rotated_and_the_doctor_knows(live: LiveServer, key: str):
    old, new = "an-encryption-key-of-the-past-long-enough", "an-encryption-key-of-today-long-enough-too"
    async with live.client(headers={"X-API-Key": key, "Idempotency-Key": "rotated"}) as client:
        await client.post("/api/v1/projects", json={"name": "Kept for a day"})
    kept = (Path(live.environment["DATA_DIR"]) / "encryption_key").read_text().strip()
    status, output = await hearth(live, "doctor", ENCRYPTION_KEY=new, ENCRYPTION_PREVIOUS_KEYS=old)
    assert status == 1
    assert "put the key that is missing into ENCRYPTION_PREVIOUS_KEYS" in output

    rotation = {"ENCRYPTION_KEY": new, "ENCRYPTION_PREVIOUS_KEYS": f"{old},{kept}"}
    status, output = await hearth(live, "doctor", **rotation)
    assert status == 0, output
    assert "run `hearth rotate-keys`" in output
    status, output = await hearth(live, "rotate-keys", **rotation)
    assert status == 0, output
    assert "idempotent_requests.body" in output
    status, output = await hearth(live, "doctor", ENCRYPTION_KEY=new)
    assert status == 0, output
    assert "all under the newest key" in output

    status, output = await hearth(live, "rotate-keys", ENCRYPTION_KEY=kept, ENCRYPTION_PREVIOUS_KEYS=new)  # and back
    assert status == 0, output


async def test_production_refuses_to_start_without_secrets_and_names_them(live: LiveServer):
    bare = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "JWT_SECRET"), "")
    status, output = await hearth(live, "serve", ENVIRONMENT="production", **bare)
    assert status == 2
    for name in bare:
        assert name in output


async def test_the_command_explains_itself():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "--help", cwd=REPOSITORY, env=dict(os.environ), stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    for command in ("run", "serve", "worker", "migrate", "ingest", "ask", "chat", "doctor", "rotate-keys"):
        assert command in output


async def test_memories_go_in_and_out(live: LiveServer, key: str, tmp_path: Path):
    diary, archive = tmp_path / "diary.csv", tmp_path / "memories.zip"
    diary.write_text("date,text\n2023-03-05,We climbed the lighthouse.\n03/05/2023,Who knows when.\n")
    status, output = await hearth(live, "memories", "import", str(diary), HEARTH_API_KEY=key)
    assert status == 1, output
    assert "✗ diary.csv: 1 created, 0 updated, 0 unchanged, 1 failed" in output
    assert "line 3: occurred_at: must be a year" in output
    status, output = await hearth(live, "memories", "export", str(archive), HEARTH_API_KEY=key)
    assert (status, archive.stat().st_size > 0) == (0, True), output
    status, output = await hearth(live, "memories", "import", str(archive), HEARTH_API_KEY=key)
    assert (status, "✓ memories.zip: 0 created, 0 updated, 1 unchanged, 0 failed" in output) == (0, True), output
    status, output = await hearth(live, "memories", "export", str(archive), HEARTH_API_KEY="wrong")
    assert (status, archive.stat().st_size > 0) == (1, True), output
