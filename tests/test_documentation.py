"""What the documentation says is there is there, and what is there is said."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from app.settings import Group, Settings
from docs.generate import OPENAPI
from tests.processes import REPOSITORY, LiveServer

METHODS = {"get", "post", "put", "patch", "delete"}
ROUTE = re.compile(r"`((?:(?:GET|POST|PUT|PATCH|DELETE)(?:, )?)+) (/[^`\s?]*)`")
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SKIPPED = {".venv", "node_modules", "build", ".hearth", ".pytest_cache"}
TOGETHER = """
curl() { command curl --show-error --fail-with-body "$@" && echo || { echo "FAILED: curl $*" >&2; exit 1; }; }
"""


def documents() -> list[Path]:
    return [path for path in REPOSITORY.rglob("*.md") if not SKIPPED & set(path.relative_to(REPOSITORY).parts)]


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(path: Path):
    lost = []
    for target in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        name, _, anchor = target.partition("#")
        if ":" in name:
            continue  # elsewhere
        found = (path.parent / name).resolve() if name else path
        if not found.exists() or (anchor and anchor not in anchors(found.read_text(encoding="utf-8"))):
            lost.append(target)
    assert lost == []


def test_the_overview_names_every_route_and_no_other():
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    said = {
        (method, path if path.startswith(("/health", "/v1/", "/api/")) else f"/api/v1{path}")
        for methods, path in ROUTE.findall(text)
        for method in methods.split(", ")
    }
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    there = {(method.upper(), path) for path, item in paths.items() for method in METHODS & set(item)}
    assert sorted(said - there) == []
    assert sorted(there - said) == []


def test_every_group_of_settings_is_told_of():
    text = (REPOSITORY / "docs" / "deployment.md").read_text(encoding="utf-8").partition("## Settings by group")[2]
    fields = Settings.model_fields
    groups = {name for name, field in fields.items() if isinstance(field.default, Group)}
    missing = [name for name in fields if f"`{name.upper()}{'_' if name in groups else ''}`" not in text]
    assert missing == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are curl calls, and curl is not installed")
async def test_the_examples_of_the_overview_run_as_they_stand(live: LiveServer):
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    examples = "".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    examples = examples.replace("http://127.0.0.1:8000", live.url).replace("ada@example.com", f"{uuid4()}@example.com")
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        TOGETHER + examples,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    said = output.decode()
    assert process.returncode == 0, said
    assert "\n304\n" in said
    assert said.count("nine in the evening") >= 4  # the text, a passage, an answer, and what was kept of it
    assert '"description":"Of the cape."' in said
    assert "event: done" in said
    assert "event: complete" in said
