"""What stands in the logs of a process, and what never does."""

import json
import subprocess
import sys

from tests.processes import REPOSITORY

PREPARED = """
import logging, structlog
from app.observability import configure_logging, request_id
from app.operation_settings import LogSettings
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
