"""All of somebody's memories as an archive that imports take in again; `adapters/memory_files/archives.py` reads it."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from app.adapters.archives import ArchiveStream, Entry
from app.adapters.memory_files.archives import LOCATIONS, MANIFEST, MEDIA, MEDIA_FOLDER, MEMORIES, PEOPLE, manifest
from app.errors import NotFound
from app.events import utc_now
from app.models import AuditAction, Location, Media, Memory, MemoryVersion, Model, Person
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.media import SeenMedia
from app.repositories.memories import Surroundings
from app.services.audit import record_by
from app.services.blobs import BlobService

PAGE: Final = 50  # memories, each with up to a hundred versions
README: Final = """Your memories
=============
people.jsonl     the people in them, with their aliases
locations.jsonl  the places in them
memories.jsonl   one a line, the oldest first: what it says, when it was (`begins` and `ends` are what the clock
                 showed), who and where, what it hangs together with, and its history
media.jsonl      their files, which lie in media/ by the SHA-256 of their bytes
manifest.json    the version of this format, and how many there are
manifest.sha256  check with: sha256sum --check manifest.sha256

Files that end in .jsonl hold one JSON object a line, in UTF-8. POST the archive to /api/v1/memories/imports to take it
in again, in any account.
"""
DESCRIBED: Final = (
    *("id", "title", "content", "occurred_at", "occurred_end", "precision", "begins", "ends", "tags", "source"),
    *("revision", "project_id", "created_at", "updated_at", "deleted_at"),
)
Row = TypeVar("Row", bound=Model)
List = Callable[[UnitOfWork, UUID | None], Awaitable[Sequence[Row]]]


class MemoryExportService:
    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService) -> None:
        self._uow = uow
        self._blobs = blobs

    async def export(self, actor: Principal) -> AsyncIterator[bytes]:
        """A ZIP archive in pieces. What is changed while it is made is in it as it was or as it is."""
        async with self._uow() as uow:
            of_memories = {"part": "memories"}
            record_by(uow, actor, AuditAction.USER_EXPORTED, target_type="user", target_id=actor.user_id, **of_memories)
        return self._archive(actor.user_id)

    async def entries(self, user_id: UUID, folder: str = "") -> AsyncIterator[Entry]:
        """The files of the archive, below `folder`."""
        now, counts = utc_now(), Counter[str]()
        yield Entry(f"{folder}README.txt", README.encode(), now)
        people = self._pages(lambda uow, after: uow.exports.list_people(user_id, after=after))
        yield Entry(folder + PEOPLE, _lines(people, _person, counts, "people"), now)
        places = self._pages(lambda uow, after: uow.exports.list_locations(user_id, after=after))
        yield Entry(folder + LOCATIONS, _lines(places, _place, counts, "locations"), now)
        yield Entry(folder + MEMORIES, self._memories(user_id, counts), now)
        files = dict[str, SeenMedia]()
        media = self._pages(lambda uow, after: uow.media.list_owned(user_id, after=after, limit=PAGE))
        yield Entry(folder + MEDIA, self._media(user_id, media, files, counts), now)
        for sha256, one in files.items():
            with contextlib.suppress(NotFound):  # deleted at this moment, or lost in a restore without files
                yield Entry(f"{folder}{MEDIA_FOLDER}{sha256}", await self._blobs.open(sha256), one.media.created_at)
        yield Entry(folder + MANIFEST, manifest(exported_at=now.isoformat(), counts=dict(counts)), now)

    async def _archive(self, user_id: UUID) -> AsyncIterator[bytes]:
        archive = ArchiveStream()
        async for entry in self.entries(user_id):
            async for piece in archive.add_entry(entry):
                yield piece
        yield await archive.add("manifest.sha256", archive.sums, modified=utc_now())
        yield await archive.finish()

    async def _memories(self, user_id: UUID, counts: Counter[str]) -> AsyncIterator[bytes]:
        after: UUID | None = None
        while True:
            async with self._uow() as uow:
                page = await uow.exports.list_memories(user_id, after=after, limit=PAGE)
                around = await uow.memories.surroundings(user_id, page) if page else {}
                versions = await uow.exports.list_versions([memory.id for memory in page])
            if not page:
                return
            counts["memories"] += len(page)
            yield b"".join(_line(_memory(one, around[one.id], versions.get(one.id, ()))) for one in page)
            after = page[-1].id

    async def _media(
        self, user_id: UUID, pages: AsyncIterator[Sequence[Media]], files: dict[str, SeenMedia], counts: Counter[str]
    ) -> AsyncIterator[bytes]:
        """What is told of files, which `files` then names by their hash: as uploaded, or as others show them."""
        async for page in pages:
            async with self._uow() as uow:
                seen = await uow.media.seen_by(user_id, page)
            for one in seen:
                sha256 = _bytes_of(one)
                if sha256 is not None:
                    counts["media"] += 1
                    files.setdefault(sha256, one)
                    yield _line(_file(one.media, sha256))

    async def _pages(self, list_rows: List[Row]) -> AsyncIterator[Sequence[Row]]:
        """One short transaction each."""
        after: UUID | None = None
        while True:
            async with self._uow() as uow:
                page = await list_rows(uow, after)
            if not page:
                return
            yield page
            after = page[-1].id


async def _lines(
    pages: AsyncIterator[Sequence[Row]], describe: Callable[[Row], Mapping[str, Any]], counts: Counter[str], name: str
) -> AsyncIterator[bytes]:
    async for page in pages:
        counts[name] += len(page)
        yield b"".join(_line(describe(row)) for row in page)


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE)  # ids of the driver are none of UUID


def _person(person: Person) -> Mapping[str, Any]:
    return {name: getattr(person, name) for name in ("id", "name", "aliases", "created_at", "updated_at")}


def _place(place: Location) -> Mapping[str, Any]:
    return {name: getattr(place, name) for name in ("id", "name", "coordinates", "created_at", "updated_at")}


def _bytes_of(seen: SeenMedia) -> str | None:
    if seen.shows_metadata or seen.media.kind != "image":
        return seen.media.sha256
    return next((one.sha256 for one in seen.renditions if one.name == "shown"), None)


def _file(media: Media, sha256: str) -> Mapping[str, Any]:
    told = ("id", "memory_id", "filename", "media_type", "keeps_metadata", "created_at")
    return {**{name: getattr(media, name) for name in told}, "sha256": sha256}


def _memory(memory: Memory, around: Surroundings, versions: Sequence[MemoryVersion]) -> Mapping[str, Any]:
    place, links = around.location, around.links
    return {
        **{name: getattr(memory, name) for name in DESCRIBED},
        "people": [{"id": person.id, "name": person.name} for person in around.people],
        "location": {"id": place.id, "name": place.name} if place else None,
        "links": {
            "document_ids": list(links.document_ids),
            "message_ids": list(links.message_ids),
            "memory_ids": list(links.memory_ids),
        },
        "history": [
            {name: getattr(version, name) for name in ("revision", "change", "created_at", "state")}
            for version in versions
        ],
    }
