"""The WebSocket protocol as it describes itself."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from app.api.asyncapi import CHANNELS, asyncapi_document
from app.commands import room_command
from docs.generate import ASYNCAPI, asyncapi_text
from tests.frames import check_command, check_event

REPOSITORY = Path(__file__).parent.parent
PARSER = "@asyncapi/parser@3.6.3"


async def test_the_document_and_its_page_are_served(client):
    assert (await client.get("/asyncapi.json")).json() == asyncapi_document()
    page = await client.get("/asyncapi")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self' ;" in page.headers["content-security-policy"]
    for *_, events, commands in CHANNELS.values():
        for frame in (*events, *commands):
            assert f"<code>{frame.model_fields['type'].annotation.__args__[0]}</code>" in page.text


def test_the_document_in_the_repository_is_that_of_the_code():
    hint = "the protocol has changed: `make docs` writes docs/asyncapi.json anew"
    assert ASYNCAPI.read_text(encoding="utf-8") == asyncapi_text(), hint


def test_frames_are_as_the_document_says_and_others_are_not():
    event = {"type": "pong", "id": "01980000-0000-7000-8000-000000000000", "timestamp": "2026-01-01T00:00:00Z"}
    check_event(event | {"session_id": None, "project_id": None})
    for wrong in (event, event | {"type": "pang"}, {"type": "pong"}):
        with pytest.raises(AssertionError):
            check_event(wrong)
    check_command({"type": "send_message", "text": "Good evening"})
    room_command.validate_python({"type": "send_message", "text": "Good evening"})
    for wrong in ({"type": "send_message"}, {"type": "resume", "after_seq": -1}, {"type": "dance"}):
        with pytest.raises(AssertionError):
            check_command(wrong)


def test_the_document_has_nothing_that_the_parser_of_asyncapi_complains_about(tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node is not installed, and so no parser: `make lint-api` runs it where there is")
    install = [npm, "install", "--offline", "--no-save", "--no-audit", "--no-fund", "--prefix", str(tmp_path), PARSER]
    if subprocess.run(install, capture_output=True).returncode != 0:
        pytest.skip("The parser was not fetched yet: `make lint-api` does so")
    script = REPOSITORY / "tests" / "clients" / "parse_asyncapi.cjs"
    environment = {"NODE_PATH": str(tmp_path / "node_modules")}
    parsed = subprocess.run([node, str(script), str(ASYNCAPI)], env=environment, capture_output=True, text=True)
    assert parsed.returncode == 0, parsed.stdout + parsed.stderr
    assert json.loads(ASYNCAPI.read_text())["asyncapi"] == "3.0.0"
