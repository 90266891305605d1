"""The examples run as they stand, against a real server."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.documents import make_pdf
from tests.factories import PASSWORD, make_key, make_user
from tests.processes import REPOSITORY, LiveServer

QUESTION = "When does the lighthouse keeper light the lamp?"
EXAMPLES = REPOSITORY / "examples"


async def output_of(live: LiveServer, *command: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=REPOSITORY,
        env={**live.environment, "HEARTH_URL": live.url, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is made of curl calls, and curl is not installed")
async def test_the_tour_goes_from_an_account_to_a_room(live: LiveServer, tmp_path: Path):
    file = tmp_path / "lighthouse.pdf"
    file.write_bytes(make_pdf(["The lighthouse keeper lights the lamp at nine in the evening."]))
    async with live.client() as client:
        user = await make_user(client)
    said = await output_of(live, str(EXAMPLES / "tour.sh"), str(file), QUESTION, EMAIL=user.email, PASSWORD=PASSWORD)
    assert '"status":"ready"' in said
    assert said.count("nine in the evening") >= 4  # answer and quote, over HTTP and in the room
    assert '"is_spirit":true' in said


async def test_two_people_and_the_spirit_talk_in_a_room(live: LiveServer):
    async with live.client() as client:
        user = await make_user(client)
        text = {"text": "The lighthouse keeper lights the lamp at nine in the evening.", "title": "Lighthouse"}
        document = (await client.post("/api/v1/documents", json=text, headers=user.headers)).json()["document"]
        async with asyncio.timeout(30):
            path = f"/api/v1/documents/{document['id']}"
            while (await client.get(path, headers=user.headers)).json()["status"] != "ready":
                await asyncio.sleep(0.1)
    said = await output_of(live, sys.executable, str(EXAMPLES / "room.py"), user.email, PASSWORD, QUESTION)
    assert f"Grace: {QUESTION}" in said
    assert "[1] Lighthouse" in said


async def test_openais_client_fills_a_vector_store_and_asks_about_it(live: LiveServer, tmp_path: Path):
    file = tmp_path / "lighthouse.txt"
    file.write_text("The lighthouse keeper lights the lamp at nine in the evening.")
    async with live.client() as client:
        key = (await make_key(client, await make_user(client), scopes=["read", "write"]))["key"]
    script = str(EXAMPLES / "ask_with_openai.py")
    said = await output_of(live, sys.executable, script, str(file), QUESTION, HEARTH_KEY=key)
    assert said.count("nine in the evening") >= 3  # found, answered and told in a stream
    assert "lighthouse.txt (file-" in said
