"""Documents, questions and rooms of a Hearth server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import httpx

from hearth_client.connection import Event, ProjectFeed, Room
from hearth_client.errors import HearthError
from hearth_client.streams import ServerSentEvent, read_events
from hearth_client.types import DocumentRead, QueryResult, SearchResult, SessionRead

MOST_ATTEMPTS = 5  # to follow an answer whose stream breaks off
PAUSE = 0.5  # seconds between them, growing
POLL_INTERVAL = 0.3
TIMEOUT = httpx.Timeout(30.0, read=120.0)  # a whole answer of a language model takes its time


class Hearth:
    """`url` without `/api/v1`; `token` from a log-in or an invite, or `api_key`. Use it as `async with`."""

    def __init__(self, url: str, *, token: str | None = None, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=TIMEOUT)

    @classmethod
    async def login(cls, url: str, email: str, password: str) -> Self:
        """Raises HearthError."""
        async with cls(url) as unknown:
            said = await unknown.request("POST", "/auth/login", data={"username": email, "password": password})
        return cls(url, token=said["access_token"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, **given: Any) -> Any:
        """The JSON of any route of `/api/v1`; `given` as httpx takes it. Raises HearthError."""
        response = await self._http.request(method, path, **given)
        if response.is_error:
            raise HearthError.of(response)
        return response.json() if response.content else None

    async def add_document(
        self, content: Path | str, *, title: str | None = None, project_id: str | None = None
    ) -> DocumentRead:
        """Add a file, or a text; it can be found once it is `ready`. Raises HearthError."""
        named = {name: value for name, value in (("title", title), ("project_id", project_id)) if value}
        if isinstance(content, str):
            added = await self.request("POST", "/documents", json={"title": "Text", "text": content, **named})
        else:
            with content.open("rb") as file:
                added = await self.request("POST", "/documents", files={"file": (content.name, file)}, data=named)
        document: DocumentRead = added["document"]
        return document

    async def when_ready(self, document_id: str) -> DocumentRead:
        """Wait until a document is `ready`. Raises HearthError: it `failed`."""
        while True:
            document: DocumentRead = await self.request("GET", f"/documents/{document_id}")
            if document["status"] == "ready":
                return document
            if document["status"] == "failed":
                error = cast("dict[str, str]", document["error"])
                raise HearthError(409, error["code"], error["message"], {"document_id": document_id}, None)
            await asyncio.sleep(POLL_INTERVAL)

    async def search(self, query: str, **fields: Any) -> SearchResult:
        """Raises HearthError."""
        result: SearchResult = await self.request("POST", "/search", json={"query": query, **fields})
        return result

    async def ask(self, question: str, **fields: Any) -> QueryResult:
        """Raises HearthError."""
        result: QueryResult = await self.request("POST", "/query", json={"question": question, **fields})
        return result

    async def ask_streaming(self, question: str, **fields: Any) -> AsyncGenerator[tuple[str, Any], None]:
        """The events of the answer with their data: `retrieved`, `token`…, `citations`, `done`.

        A stream that breaks off goes on where it was. Raises HearthError.
        """
        body = {"question": question, **fields, "stream": True}
        last_id, attempt = "", 0
        while True:
            attempt += 1
            try:
                async for event in self._stream("/query", body, last_id):
                    last_id, attempt = event.id or last_id, 0
                    data = event.json()
                    if event.name == "error":
                        raise HearthError(503, data["code"], data["message"], {}, None)
                    yield event.name, data
                    if event.name == "done":
                        return
            except httpx.TransportError:
                if not last_id or attempt >= MOST_ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE * (attempt + 1))

    async def create_room(self, name: str, **fields: Any) -> SessionRead:
        """Raises HearthError."""
        result: SessionRead = await self.request("POST", "/sessions", json={"name": name, **fields})
        return result

    def room(self, session_id: str, *, after_seq: int | None = None) -> Room:
        """Be in a room: `async with hearth.room(id) as room`."""
        return Room(
            lambda seq: self._address(f"chat/{session_id}", seq),
            after_seq=after_seq,
            catch_up=lambda seq: self._history(session_id, seq),
        )

    def project(self, project_id: str, *, after_seq: int | None = None) -> ProjectFeed:
        """Follow a project's tasks."""
        return ProjectFeed(lambda seq: self._address(project_id, seq), after_seq=after_seq)

    async def _address(self, channel: str, after_seq: int | None) -> str:
        ticket = (await self.request("POST", "/ws-tickets"))["ticket"]
        query = httpx.QueryParams({"ticket": ticket} | ({} if after_seq is None else {"after_seq": after_seq}))
        return f"{self.url.replace('http', 'ws', 1)}/ws/{channel}?{query}"

    async def _history(self, session_id: str, after_seq: int) -> AsyncIterator[Event]:
        while True:
            query = {"after_seq": after_seq, "limit": 100}
            page = await self.request("GET", f"/chat/{session_id}/messages", params=query)
            if not page["items"]:
                return
            for item in page["items"]:
                yield {"type": "message_received", **item}
            after_seq = page["items"][-1]["seq"]

    async def _stream(self, path: str, body: Mapping[str, Any], last_id: str) -> AsyncIterator[ServerSentEvent]:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with self._http.stream("POST", path, json=body, headers=headers) as response:
            if response.is_error:
                await response.aread()
                raise HearthError.of(response)
            async for event in read_events(response.aiter_lines()):
                yield event
