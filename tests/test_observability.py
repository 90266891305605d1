"""What stands in the logs of a process, and what never does."""

import json
import subprocess
import sys

from tests.processes import REPOSITORY

PREPARED = """
import logging, structlog
from app.observability import configure_logging, request_id
from app.settings.operation import LogSettings
from app.settings import Settings
configure_logging(Settings(_env_file=None, log=LogSettings(format="json")))
log = structlog.get_logger("test")
"""


def lines_of(code: str) -> list[dict]:
    """What a process that runs `code` writes to standard error."""
    command = (sys.executable, "-c", PREPARED + code)
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True)
    return [json.loads(line) for line in process.stderr.splitlines()]


def test_secrets_are_masked_wherever_they_stand():
    lines = lines_of(
        """
log.info(
    "signed_in",
    password="hunter2-hunter2",
    nested={"api_key": "hearth_key_abcdefghijkl", "list": ["Bearer abc.def.ghi"]},
    url="postgresql+asyncpg://app:hunter2@127.0.0.1/hearth",
    header="Authorization: Bearer abc.def.ghi",
    text="the key hearth_rt_abcdefghijklmnop was used",
)
logging.getLogger("somewhere").warning("connected to redis://:%s@host/0", "hunter2")
log.error("failed", exc_info=ValueError("refused: Bearer abc.def.ghi"))
"""
    )
    for secret in ("hunter2", "abcdefghijkl", "abc.def.ghi"):
        assert secret not in json.dumps(lines), secret
    assert (lines[0]["event"], lines[0]["level"]) == ("signed_in", "info")
    assert lines[0]["url"] == "postgresql+asyncpg://app:***@127.0.0.1/hearth"
    assert lines[1]["event"] == "connected to redis://:***@host/0"
    assert lines[2]["exception"] == "ValueError: refused: Bearer ***"


def test_every_line_of_a_request_carries_its_id_and_quiet_levels_are_not_written():
    lines = lines_of(
        """
request_id.set("abc-12345678")
log.info("first")
logging.getLogger("somewhere").info("second")
log.debug("details")
logging.getLogger("somewhere").debug("details")
"""
    )
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("first", "abc-12345678"),
        ("second", "abc-12345678"),
    ]


def test_lines_of_a_trace_name_it():
    lines = lines_of(
        """
from app.telemetry.spans import Kind, begin_root, start_recording
log.info("before")
start_recording(lambda span: None, share=1.0)
with begin_root("request", Kind.SERVER, {}) as span:
    log.info("in a trace", expected=span.trace_id)
start_recording(lambda span: None, share=0.0)
with begin_root("request", Kind.SERVER, {}) as span:
    log.info("in a trace that is not recorded")
log.info("after")
"""
    )
    assert [len(line.get("trace_id", "")) for line in lines] == [0, 32, 32, 0]
    assert lines[1]["trace_id"] == lines[1]["expected"] != lines[2]["trace_id"]


def test_of_good_requests_only_a_share_is_logged_and_of_bad_and_slow_ones_every_one():
    code = """
import asyncio, time
from datetime import timedelta
from app.api.draining import Drain
from app.api.middleware import RequestMiddleware

async def application(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(0.06)
    if scope["path"] == "/broken":
        raise RuntimeError("broken")
    status = int(scope["path"][1:]) if scope["path"][1:].isdigit() else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def send(message): pass

async def ask(share, *paths):
    settings = LogSettings(access_share=share, slow=timedelta(seconds=0.05))
    door = RequestMiddleware(application, settings, Drain(timedelta(0)))
    for path in paths:
        scope = {"type": "http", "method": "GET", "path": path, "scheme": "http", "headers": [], "client": None}
        await door(scope, None, send)

asyncio.run(ask(0.0, "/200", "/204", "/304", "/404", "/503", "/slow", "/broken"))
asyncio.run(ask(1.0, "/200", "/304"))
"""
    told = [line for line in lines_of(code) if line["event"] == "request"]
    assert [(line["path"], line["status"]) for line in told] == [
        ("/404", 404),
        ("/503", 503),
        ("/slow", 200),
        ("/broken", 500),
        ("/200", 200),
        ("/304", 304),
    ]
