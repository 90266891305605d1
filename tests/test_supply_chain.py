"""What an installation brings along is listed, with licences that are allowed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import LICENCES
from ops.supply_chain import ALLOWED, LOCK, STATED, bill_of_materials, identifiers, licence_of, licences_text

LOADS_MODELS = "import app.adapters.minilm, app.adapters.splade, kreuzberg, tokenizers"
LINES = [line for line in LOCK.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
PINNED = {(line.split("==")[0].split("[")[0], re.split(r"==|\s", line)[1]) for line in LINES}


def test_every_locked_package_stands_among_the_licences():
    text = LICENCES.read_text(encoding="utf-8")
    assert text == licences_text(), "the lock or a package has changed: run `make docs`"
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| \d[^|]* \| ([^|]+) \|$", text, re.MULTILINE))
    assert set(rows) == {name for name, _ in PINNED}
    assert len(rows) > 100

    outside = {name: licence for name, licence in rows.items() if not set(identifiers(licence)) <= ALLOWED}
    assert outside == {}, "may whoever runs Hearth have this without publishing anything? Then allow it"


def test_a_licence_is_never_guessed():
    with pytest.raises(LookupError, match="not installed"):
        licence_of("no-such-package")
    assert set(STATED) <= {name for name, _ in PINNED}, "nobody needs to state what is not there"
    assert identifiers("MIT AND (GPL-3.0-only OR 0BSD)") == ["MIT", "GPL-3.0-only", "0BSD"]


def test_the_bill_of_materials_names_every_version_and_who_needs_it():
    bill = bill_of_materials()
    components = {component["bom-ref"]: component for component in bill["components"]}
    assert {(each["name"], each["version"]) for each in components.values()} == PINNED
    assert all(reference == f"pkg:pypi/{each['name']}@{each['version']}" for reference, each in components.items())

    needed = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    root = bill["metadata"]["component"]["bom-ref"]
    assert {reference for references in needed.values() for reference in references} == set(components), (
        "all are needed"
    )
    directly = {components[reference]["name"] for reference in needed[root]}
    declared = (Path(LOCK).parent / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0]
    assert directly == set(re.findall(r'^ +"([a-z0-9-]+)', declared, re.MULTILINE))
    assert bill_of_materials() == bill, "the same for the same lock"


def test_no_package_reports_to_its_makers(tmp_path: Path):
    loaded = {"HOME": str(tmp_path), "PYTHONPATH": str(LOCK.parent), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", LOADS_MODELS], env=loaded, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == [], "such as a name for this machine, and what is to be sent"
