"""`hearth import chroma`: brings what a collection says into a project. A client of two servers' public APIs.

Texts and metadata are taken, vectors are not: passages are embedded here, by this server's model. A record is known
by its id, which stands in the metadata of the document that it became, so the same collection again changes nothing.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from app.client import FINAL_DOCUMENT, Client, Refused

LONGEST_PAUSE = 5.0  # seconds between two looks at what is being read
PAGE = 200  # records that are asked for at once
COLLECTION, IDS = "chroma_collection", "chroma_ids"  # what of Chroma stands in a document's metadata
LONGEST_TITLE = 300
TITLES: Final = ("title", "name", "source", "file_name", "filename", "path", "url")  # whatever comes first
ABOUT_THE_RECORD: Final = frozenset(
    {"BAD_REQUEST", "CONFLICT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "VALIDATION_ERROR"}
)

Show = Callable[[float, str], None]


class CollectionUnreadable(Exception):
    """The message says why, for whoever asked for the import."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is; `token` is sent in both of the ways that Chroma knows."""

    url: str
    collection: str
    tenant: str = "default_tenant"
    database: str = "default_database"
    token: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    id: str
    text: str
    metadata: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def title(self) -> str | None:
        """What its metadata calls it; of a path or an address the end."""
        found = next((self.metadata[name] for name in TITLES if isinstance(self.metadata.get(name), str)), "")
        return PurePosixPath(found.strip()).name[:LONGEST_TITLE].strip() or None


@dataclass
class Outcome:
    """What became of the records; `problems` says of which record, and why."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        return self.created + self.updated + self.unchanged + self.skipped + len(self.problems)


class Collection:
    """A collection of a Chroma server, read page by page through its API v2."""

    def __init__(self, address: Address) -> None:
        self._address = address
        path = f"/api/v2/tenants/{_quoted(address.tenant)}/databases/{_quoted(address.database)}/collections"
        token = {"Authorization": f"Bearer {address.token}", "X-Chroma-Token": address.token} if address.token else {}
        self._http = httpx.Client(
            base_url=address.url.rstrip("/") + path, headers=token, timeout=httpx.Timeout(60, connect=5)
        )

    def __enter__(self) -> Self:
        self._id = str(self._call("GET", f"/{_quoted(self._address.collection)}")["id"])
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def count(self) -> int:
        return int(self._call("GET", f"/{self._id}/count"))

    def records(self) -> Iterator[Record]:
        """All of them; the text of a record without one is empty. Raises CollectionUnreadable."""
        offset = 0
        while True:
            asked = {"limit": PAGE, "offset": offset, "include": ["documents", "metadatas"]}
            page = self._call("POST", f"/{self._id}/get", json=asked)
            texts, metadatas = page["documents"] or [], page["metadatas"] or []
            for record_id, text, metadata in zip(page["ids"], texts, metadatas, strict=True):
                yield Record(record_id, text or "", metadata or {})
            if len(page["ids"]) < PAGE:
                return
            offset += PAGE

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CollectionUnreadable(f"Chroma at {self._address.url} cannot be reached: {error}") from error
        if response.is_success:
            return response.json()
        raise CollectionUnreadable(self._refusal(response))

    def _refusal(self, response: httpx.Response) -> str:
        try:
            answer = response.json()
            reason = str(answer["message"]) if answer["error"] else ""
        except (ValueError, KeyError, TypeError):
            reason = "it has no API v2; is this a Chroma server, of 2025 or later?" if response.is_client_error else ""
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            reason = "it wants a token, or another one (CHROMA_TOKEN)"
        return f"Chroma at {self._address.url} refuses: {reason or response.reason_phrase}"


class Import:
    """One run: of `collection`, called `name`, into the project `project_id`."""

    def __init__(self, client: Client, project_id: str, name: str) -> None:
        self._client = client
        self._project_id = project_id
        self._name = name
        self._known: dict[str, dict[str, Any]] = {}  # documents by the ids of the records that they came from
        self._waiting: dict[str, str] = {}  # which record each document came from that is being read
        self.outcome = Outcome()

    def run(self, collection: Collection, show: Show) -> Outcome:
        """Everything in it, until all of it can be searched; `show(fraction, message)` meanwhile.

        Raises:
            Refused: the caller may not add to the project, for example.
            CollectionUnreadable: Chroma does not answer, or not as it should.
        """
        for document in self._client.documents(self._project_id):
            if document["metadata"].get(COLLECTION) == self._name:
                self._remember(document)
        total = max(collection.count(), 1)
        for record in collection.records():
            self._take(record)
            show(min(self.outcome.looked_at / total, 1.0), f"{self.outcome.looked_at:,} of {total:,} records")
        self._wait(show)
        return self.outcome

    def _take(self, record: Record) -> None:
        if not record.text.strip():
            self.outcome.skipped += 1
            return
        try:
            change = self._bring_in(record)
        except Refused as error:
            if error.code not in ABOUT_THE_RECORD:
                raise
            self.outcome.problems.append((record.id, str(error)))
        else:
            setattr(self.outcome, change, getattr(self.outcome, change) + 1)

    def _bring_in(self, record: Record) -> str:
        """What is to be counted: "created", "updated" or "unchanged"."""
        known = self._known.get(record.id)
        if known is not None and known["sha256"] == record.sha256 and known["status"] != "failed":
            return "updated" if self._is_corrected(known, record) else "unchanged"
        metadata = self._metadata(record, [record.id])
        document = self._client.add_text(record.text, record.title, self._project_id, metadata)
        ids = document["metadata"].get(IDS, [])
        if record.id not in ids:  # another record, or somebody, said the same before
            marks = {"metadata": {**document["metadata"], **self._marks([*ids, record.id])}}
            document = self._client.update_document(document["id"], marks)
        if known is not None and known["id"] != document["id"]:
            self._give_up(known, record.id)
        self._remember(document)
        if document["status"] not in FINAL_DOCUMENT:
            self._waiting[document["id"]] = record.id
        return "created" if known is None else "updated"

    def _is_corrected(self, document: Mapping[str, Any], record: Record) -> bool:
        """What several records say has the metadata of the first one."""
        ids = document["metadata"][IDS]
        wanted = self._metadata(record, ids)
        if ids[0] != record.id or document["metadata"] == wanted:
            return False
        changes = {"metadata": wanted} | ({"title": record.title} if record.title else {})
        self._remember(self._client.update_document(document["id"], changes))
        return True

    def _give_up(self, document: Mapping[str, Any], record_id: str) -> None:
        """The record says something else now."""
        left = [one for one in document["metadata"][IDS] if one != record_id]
        if left:
            marks = {"metadata": {**document["metadata"], **self._marks(left)}}
            self._remember(self._client.update_document(document["id"], marks))
        else:
            self._client.delete_document(document["id"])

    def _remember(self, document: dict[str, Any]) -> None:
        for record_id in document["metadata"].get(IDS, []):
            self._known[record_id] = document

    def _metadata(self, record: Record, ids: list[str]) -> dict[str, Any]:
        return {**record.metadata, **self._marks(ids)}

    def _marks(self, ids: list[str]) -> dict[str, Any]:
        return {COLLECTION: self._name, IDS: list(dict.fromkeys(ids))}

    def _wait(self, show: Show) -> None:
        """Until nothing of this run is being read."""
        total, pause = len(self._waiting), 0.25
        while self._waiting:
            under_way = self._client.under_way(self._project_id)
            for document_id in self._waiting.keys() - under_way:
                self._note_failure(self._waiting.pop(document_id), self._client.document(document_id))
            done = total - len(self._waiting)
            show(done / total, f"{done:,} of {total:,} can be searched")
            if self._waiting:
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)

    def _note_failure(self, record_id: str, document: Mapping[str, Any]) -> None:
        if document["status"] == "failed":
            reason = (document["error"] or {}).get("message", "it could not be read")
            self.outcome.problems.append((record_id, reason))


def _quoted(name: str) -> str:
    return quote(name, safe="")
