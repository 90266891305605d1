"""The API does what its description says, whoever calls; and the description is well made.

A few examples for each operation in `make test`, many in `make fuzz` (`FUZZ_EXAMPLES=100`).
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
from httpx import AsyncClient

from app.migrations import migrate
from app.settings import Settings
from docs.generate import OPENAPI, openapi_document
from tests.conftest import REPOSITORY, cloned_database
from tests.factories import User, make_user
from tests.fuzzing import PHASES, Caller, describe, fuzz, labels_of, only
from tests.processes import LiveServer, start_server
from tests.test_permissions import make_world

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SPECTRAL = "@stoplight/spectral-cli@6.16.3"
ENDS_THE_CALLER = {"POST /api/v1/auth/logout", "DELETE /api/v1/users/me"}
"""Who has called one of these is nobody any more, so they come last."""


@dataclass(frozen=True)
class Town:
    """A server of its own with an empty database: some callers may disturb everybody."""

    server: LiveServer
    mayor: User


@pytest.fixture(scope="module")
async def town(settings: Settings) -> AsyncIterator[Town]:
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        async with start_server(empty, worker=False) as server:
            async with server.client() as client:
                mayor = await make_user(client, name="Mayor")
            yield Town(server, mayor)


async def acting_as(kind: str, town: Town, client: AsyncClient) -> Caller:
    """Somebody who has just come to town, and made some things."""
    world = await make_world(client)
    owner = world.headers["owner"]
    if kind.startswith("key"):
        scopes = ["read"] if kind == "key that reads" else ["read", "write"]
        made = await client.post("/api/v1/api-keys", json={"name": kind, "scopes": scopes}, headers=owner)
        return Caller({"X-API-Key": made.json()["key"]}, world.ids)
    headers = {"anonymous": {}, "guest": world.headers["guest"], "user": owner, "admin": town.mayor.headers}
    return Caller(headers[kind], world.ids)


def is_walked_around(label: str) -> bool:
    """A sixth of the operations, always the same: `make fuzz` has the time for all."""
    return hashlib.sha256(label.encode()).digest()[0] % 6 == 0


@pytest.mark.parametrize("kind", ["anonymous", "guest", "user", "key that reads", "key that writes", "admin"])
async def test_every_answer_is_as_the_description_says(town: Town, kind: str):
    phases = PHASES if EXAMPLES else ("examples", "fuzzing")
    async with town.server.client() as client:
        caller = await acting_as(kind, town, client)
        ask = partial(describe, town.server.url, caller, examples=EXAMPLES or 1, seed=None if EXAMPLES else 1)
        everything = await asyncio.to_thread(ask, phases)
        labels = set(labels_of(everything))
        findings = await asyncio.to_thread(fuzz, only(everything, labels - ENDS_THE_CALLER))
        assert not findings.problems, str(findings)
        if kind not in {"anonymous", "guest"}:
            me = await client.get("/api/v1/users/me", headers=caller.headers)
            assert me.status_code == 200, "something ended the caller: name it in ENDS_THE_CALLER"
        findings = await asyncio.to_thread(fuzz, only(everything, ENDS_THE_CALLER))
        assert not findings.problems, str(findings)


async def test_values_at_the_edges_of_the_description_are_judged_as_it_says(town: Town):
    async with town.server.client() as client:
        caller = await acting_as("user", town, client)
    described = await asyncio.to_thread(partial(describe, town.server.url, caller, ("coverage",), examples=1, seed=1))
    some = {label for label in labels_of(described) if is_walked_around(label)} - ENDS_THE_CALLER
    findings = await asyncio.to_thread(fuzz, only(described, some))
    assert findings.operations == some
    assert findings.requests > 10 * len(some) > 0
    assert not findings.problems, str(findings)


def test_the_description_in_the_repository_is_that_of_the_code():
    hint = "the API has changed: `make docs` writes docs/openapi.json anew, and the difference is for the reviewer"
    assert OPENAPI.read_text(encoding="utf-8") == openapi_document(), hint


def test_the_description_has_nothing_that_spectral_complains_about():
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("Node is not installed, and so no Spectral: `make lint-api` runs it where there is")
    run = partial(subprocess.run, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    offline = [npx, "--offline", "--yes", SPECTRAL]  # a test fetches nothing
    if run([*offline, "--version"]).returncode != 0:
        pytest.skip("Spectral was not fetched yet: `make lint-api` does so")
    linted = run([*offline, "lint", "--fail-severity=warn", str(OPENAPI)])
    assert linted.returncode == 0, linted.stdout
