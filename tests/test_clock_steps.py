"""The clock of the machine is set forward and back while people talk: nothing is lost, and nobody is stopped.

Server and worker see the steps, PostgreSQL and Redis do not: as on machines whose clocks differ.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from httpx import AsyncClient

from app.settings import Settings
from tests.chaos_house import until
from tests.conftest import cloned_database
from tests.factories import User, login, make_user
from tests.processes import start_server
from tests.rooms import Visitor, make_room, visit

pytestmark = pytest.mark.chaos
HOUR, YEAR = 3600, 366 * 86_400
STEPS = (HOUR, -HOUR, YEAR, 0)  # seconds beside the true time
# Python imports this at its start, in every process that has it on its path: a step is written into a file.
STEPPING = """
import datetime, os, pathlib, threading, time
import time_machine

def follow(file):
    known, travel = 0, None
    while True:
        wanted = int(file.read_text() or known)
        if wanted != known:
            if travel is not None:
                travel.stop()
            true_time = datetime.datetime.now(datetime.UTC)
            travel, known = time_machine.travel(true_time + datetime.timedelta(seconds=wanted), tick=True), wanted
            travel.start()
        time.sleep(0.05)

threading.Thread(target=follow, args=(pathlib.Path(os.environ["CLOCK"]),), daemon=True).start()
"""


async def is_stepped(client: AsyncClient, step: int) -> bool:
    told = datetime.fromisoformat((await client.get("/health")).json()["timestamp"])
    return abs(told - datetime.now(UTC) - timedelta(seconds=step)) < timedelta(seconds=60)


async def is_read(client: AsyncClient, headers: dict[str, str], document: str) -> bool:
    return (await client.get(f"/api/v1/documents/{document}", headers=headers)).json().get("status") == "ready"


async def signed_in(client: AsyncClient, user: User) -> dict[str, str]:
    answer = await login(client, user.email)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def live_on(client: AsyncClient, user: User, room: str, visitor: Visitor, step: int) -> None:
    """At the new time: sign in, say something, have a document read, be seen in the room."""
    headers = await signed_in(client, user)
    said = await client.post(f"/api/v1/chat/{room}/messages", json={"text": f"{step}"}, headers=headers)
    assert said.status_code == 201, said.text
    assert await visitor.hear(1) == [f"{step}"]
    files = {"file": (f"{step}.txt", f"The keeper lights the lamp: {step}".encode())}
    uploaded = await client.post("/api/v1/documents", files=files, headers=headers)
    assert uploaded.status_code == 202, uploaded.text
    read = partial(is_read, client, headers, uploaded.json()["document"]["id"])
    await until(read, "the document is not read", patience=20)
    assert (await client.get("/health")).json()["status"] == "healthy"
    await asyncio.sleep(2.5)  # longer than accounts are remembered, and than presence is renewed
    people = await client.get(f"/api/v1/sessions/{room}/participants", headers=headers)
    assert [person["id"] for person in people.json()["items"]] == [user.id]


async def test_people_talk_and_documents_are_read_while_the_clock_jumps(settings: Settings, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(STEPPING)
    clock = tmp_path / "clock"
    clock.write_text("0")
    stepping = {"PYTHONPATH": str(tmp_path), "CLOCK": str(clock)}
    async with (
        cloned_database(settings) as own,
        start_server(own, worker=True, **stepping) as server,
        server.client() as client,
    ):
        user = await make_user(client)
        room = await make_room(client, user)
        async with visit(server, f"chat/{room}", user.headers) as visitor:
            for step in STEPS:
                clock.write_text(str(step))
                await until(partial(is_stepped, client, step), "the step is not seen")
                await live_on(client, user, room, visitor, step)
        headers = await signed_in(client, user)
        kept = (await client.get(f"/api/v1/chat/{room}/messages", headers=headers)).json()["items"]
        assert [item["text"] for item in sorted(kept, key=lambda item: item["seq"])] == [*map(str, STEPS)]
        found = await client.post("/api/v1/search", json={"query": "Who lights the lamp?"}, headers=headers)
        assert len(found.json()["items"]) == len(STEPS)
