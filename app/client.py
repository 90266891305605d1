"""The HTTP side of `hearth ingest`, `hearth ask` and `hearth chat`: an ordinary client of the public API."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

POLL_INTERVAL = 0.25  # seconds
FINAL = frozenset({"succeeded", "failed", "cancelled"})
FINAL_DOCUMENT = frozenset({"ready", "failed"})
PAGE = 100  # the most that a list gives at once
BUSY = frozenset({429, 503})
LONGEST_PAUSE = 60.0  # seconds before a busy server is asked again
MOST_PAUSES = 20  # one after another


class Refused(Exception):
    """The server answered with an error; `code` is the contract's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """How the ingestion of one file ended: the document's `status`, and the reason if it failed."""

    document_id: str
    status: str
    reason: str | None
    chunk_count: int | None


class Client:
    """Calls the API of the server at `url` with an API key (or an access token)."""

    def __init__(self, url: str, credential: str) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {credential}"} if credential else {},
            timeout=httpx.Timeout(60, connect=5),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def create_api_key(self, email: str, password: str, name: str) -> str:
        """Sign in and make an API key.

        Raises:
            Refused: the address or the password is wrong.
        """
        tokens = self._call("POST", "/auth/login", data={"username": email, "password": password})
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        key: str = self._call("POST", "/api-keys", json={"name": name}, headers=headers)["key"]
        return key

    def ingest(self, path: Path, project_id: str | None, on_progress: Callable[[float, str], None]) -> Outcome:
        """Upload a file and wait until it is ready or has failed; `on_progress(fraction, message)` meanwhile.

        Raises:
            Refused: the server does not take the file.
        """
        fields = {"project_id": project_id} if project_id else {}
        with path.open("rb") as file:
            accepted = self._call("POST", "/documents", data=fields, files={"file": (path.name, file)})
        document, task = accepted["document"], accepted.get("task")
        while task and task["status"] not in FINAL:
            on_progress(task["progress"], task["message"])
            time.sleep(POLL_INTERVAL)
            task = self._call("GET", f"/tasks/{task['id']}")
        document = self._call("GET", f"/documents/{document['id']}")
        reason = (document.get("error") or {}).get("message")
        on_progress(1.0, document["status"])
        return Outcome(document["id"], document["status"], reason, document["chunk_count"])

    def import_memories(
        self, path: Path, fields: Mapping[str, str], on_progress: Callable[[float, str], None]
    ) -> Mapping[str, Any]:
        """Upload a file of memories and wait until they are there; the import at its end.

        Raises:
            Refused: the server does not take the file.
        """
        with path.open("rb") as file:
            accepted = self._call("POST", "/memories/imports", data=fields, files={"file": (path.name, file)})
        found: Mapping[str, Any] = accepted["import"]
        while found["status"] not in FINAL:
            on_progress(found["progress"], f"{found['records']} records")
            time.sleep(POLL_INTERVAL)
            found = self._call("GET", f"/memories/imports/{found['id']}")
        return found

    def export_memories(self, path: Path) -> int:
        """Write the archive of all memories to `path`; how many bytes it has. A file that is there is replaced.

        Raises:
            Refused: the server does not answer as it should.
        """
        partly = path.with_name(f".{path.name}.part")
        try:
            with self._http.stream("GET", "/memories/export") as response, partly.open("wb") as file:
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                for piece in response.iter_bytes():
                    file.write(piece)
            partly.replace(path)
        finally:
            partly.unlink(missing_ok=True)
        return path.stat().st_size

    def default_project(self) -> str:
        """The id of the caller's own. Raises Refused."""
        mine = self._call("GET", "/users/me")["id"]
        projects = self._items("/projects", {})
        return next(str(each["id"]) for each in projects if each["is_default"] and each["owner_id"] == mine)

    def documents(self, project_id: str, status: str | None = None) -> Iterator[dict[str, Any]]:
        """The project's, the newest first. Raises Refused."""
        return self._items("/documents", {"project_id": project_id} | ({"status": status} if status else {}))

    def under_way(self, project_id: str) -> set[str]:
        """Ids of the project's documents that are not read yet. Raises Refused."""
        return {each["id"] for status in ("pending", "processing") for each in self.documents(project_id, status)}

    def document(self, document_id: str) -> dict[str, Any]:
        """Raises Refused."""
        found: dict[str, Any] = self._call_patiently("GET", f"/documents/{document_id}")
        return found

    def add_text(self, text: str, title: str | None, project_id: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The document that it is now: what says the same is there once. Waits for a server that is busy.

        Raises:
            Refused: the server does not take it.
        """
        body = {"text": text, "title": title, "project_id": project_id, "metadata": metadata}
        document: dict[str, Any] = self._call_patiently("POST", "/documents", json=body)["document"]
        return document

    def update_document(self, document_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """As it is then. Raises Refused."""
        document: dict[str, Any] = self._call_patiently("PATCH", f"/documents/{document_id}", json=changes)
        return document

    def delete_document(self, document_id: str) -> None:
        """Raises Refused."""
        self._call_patiently("DELETE", f"/documents/{document_id}")

    def ask(self, question: str, project_id: str | None) -> Iterator[tuple[str, Any]]:
        """Events of a streamed answer: ("token", {"delta"}), ("citations", {"citations": […]}), ("done", {…}), ….

        Raises:
            Refused: the server does not take the question.
        """
        body: dict[str, Any] = {"question": question, "stream": True}
        if project_id:
            body["project_ids"] = [project_id]
        with self._http.stream("POST", "/query", json=body) as response:
            if response.is_error:
                response.read()
                raise _refusal(response)
            name = "message"
            for line in response.iter_lines():
                if line.startswith("event:"):
                    name = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    yield name, json.loads(line.removeprefix("data:"))

    def create_ticket(self) -> str:
        """A single-use ticket for opening a WebSocket."""
        ticket: str = self._call("POST", "/ws-tickets")["ticket"]
        return ticket

    def _items(self, path: str, narrowing: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        asked = {"limit": str(PAGE), **narrowing}
        while True:
            page = self._call_patiently("GET", path, params=asked)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]

    def _call_patiently(self, method: str, path: str, **options: Any) -> Any:
        """What asks thousands of times meets limits, and asks again when it is told to."""
        for _ in range(MOST_PAUSES):
            response = self._http.request(method, path, **options)
            if response.status_code not in BUSY:
                break
            time.sleep(min(float(response.headers.get("Retry-After", 1)), LONGEST_PAUSE))
        if response.is_error:
            raise _refusal(response)
        return response.json() if response.content else None

    def _call(self, method: str, path: str, **options: Any) -> Any:
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise _refusal(response)
        return response.json()


def _refusal(response: httpx.Response) -> Refused:
    try:
        error = response.json()["error"]
        return Refused(error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        return Refused(str(response.status_code), response.reason_phrase)
