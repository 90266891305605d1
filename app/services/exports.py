"""Everything that somebody owns as one archive, made while it is sent."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Final, TypeVar
from uuid import UUID

from pydantic import BaseModel

from app.adapters.archives import ArchiveStream, Entry
from app.errors import NotFound, ServiceUnavailable
from app.events import utc_now
from app.models import AuditAction, Document, Media, Model, Project, Session, Task, User
from app.permissions import Action, Principal, ProjectRole
from app.realtime.project_state import ProjectStates
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.documents import DocumentRead, safe_filename
from app.schemas.exports import ExportedAccount, ExportedActivity, ExportedMember, ExportedProject
from app.schemas.media import MediaRead
from app.schemas.messages import MessageRead
from app.schemas.query import AnswerRead
from app.schemas.sessions import SessionRead
from app.schemas.tasks import TaskRead
from app.services.audit import record_by
from app.services.blobs import BlobService
from app.services.memory_exports import MemoryExportService
from app.services.projects import require_owner

PAGE: Final = 100
LONGEST_NAME: Final = 200  # bytes; file systems take 255
TEXT_PIECE: Final = 262_144  # characters
README: Final = """Your data
=========
account.json              profile, settings, preferences, log-ins, linked accounts, API keys (not the keys themselves),
                          the projects you belong to
projects/<id>/            project.json: a project that you own, and its members; state.json; files/
documents/<id>/           document.json; original/: the file as it was uploaded; text.txt: what was read in it
sessions/<id>/            session.json; messages.jsonl: everything that was said in a room of your projects
memories/                 your memories with their history, the people and places in them; /memories/imports reads it
media/<id>/               media.json: a file of one of your memories; original/: as you uploaded it, or as others
                          show it who did
messages-elsewhere.jsonl  what you said in rooms of others
tasks.jsonl               long-running work in your projects, and what you started in those of others
answers.jsonl             what you asked the documents alone, and what you were told, as long as that is kept
activity.jsonl            what the audit log noted of you
manifest.sha256           check with: sha256sum --check manifest.sha256

Files that end in .jsonl hold one JSON value a line. All text is UTF-8, all times are UTC. Documents that you brought
into projects of others are in it; other people's documents there are not.
"""

PROJECT_README: Final = """A project
=========
projects/<id>/    project.json: the project and its members; state.json: what its programs share; files/: its files
documents/<id>/   document.json; original/: the file as it was uploaded; text.txt: what was read in it
sessions/<id>/    session.json; messages.jsonl: everything that was said in a room
tasks.jsonl       long-running work
manifest.sha256   check with: sha256sum --check manifest.sha256

Files that end in .jsonl hold one JSON value a line. All text is UTF-8, all times are UTC.
"""

Row = TypeVar("Row", bound=Model)
List = Callable[[UnitOfWork, UUID | None], Awaitable[Sequence[Row]]]
_UNSAFE: Final = re.compile(r'[<>:"/\\|?*]')
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


class ExportService:
    def __init__(
        self, uow: OpenUnitOfWork, blobs: BlobService, states: ProjectStates, memories: MemoryExportService
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._states = states
        self.memories = memories

    async def export(self, actor: Principal) -> AsyncIterator[bytes]:
        """A ZIP archive in pieces. What is deleted while it is made is left out. Raises NotFound, before the first."""
        async with self._uow() as uow:
            user = await uow.users.get(actor.user_id)
            if user is None:
                raise NotFound("User not found")
            record_by(uow, actor, AuditAction.USER_EXPORTED, target_type="user", target_id=user.id)
        return self._archive(self._entries(actor, user))

    async def export_project(
        self, actor: Principal, project_id: UUID, *, without: str | None = None
    ) -> AsyncIterator[bytes]:
        """The same of one project, but for files in the folder `without`.

        Raises:
            NotFound, PermissionDenied: before the first piece.
        """
        async with self._uow() as uow:
            project = await require_owner(uow, actor, project_id, Action.READ_MANAGED)
            record_by(uow, actor, AuditAction.PROJECT_EXPORTED, target_type="project", target_id=project_id)
        return self._archive(self._entries_of_project(actor, project, without))

    async def _archive(self, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
        archive = ArchiveStream()
        async for entry in entries:
            async for piece in archive.add_entry(entry):
                yield piece
        yield await archive.add("manifest.sha256", archive.sums, modified=utc_now())
        yield await archive.finish()

    async def _entries(self, actor: Principal, user: User) -> AsyncIterator[Entry]:
        now = utc_now()
        yield Entry("README.txt", README.encode(), now)
        projects = await self._projects(actor)
        yield Entry("account.json", await self._account(user, projects), now)
        for project in projects:
            async for entry in self._project(actor, project):
                yield entry
        async for entry in self.memories.entries(user.id, "memories/"):
            yield entry
        async for media in self._pages(lambda uow, at: uow.media.list_owned(user.id, after=at, limit=PAGE)):
            for one in media:
                async for entry in self._file(user.id, one):
                    yield entry
        yield Entry("messages-elsewhere.jsonl", self._elsewhere(user.id), now)
        yield Entry("tasks.jsonl", self._tasks(user.id, projects), now)
        yield Entry("answers.jsonl", self._answers(user.id), now)
        yield Entry("activity.jsonl", self._activity(user.id), now)

    async def _entries_of_project(
        self, actor: Principal, project: Project, without: str | None
    ) -> AsyncIterator[Entry]:
        now = utc_now()
        yield Entry("README.txt", PROJECT_README.encode(), now)
        async for entry in self._project(actor, project, without):
            yield entry
        yield Entry("tasks.jsonl", self._tasks(actor.user_id, [project]), now)

    async def _account(self, user: User, projects: Sequence[Project]) -> bytes:
        async with self._uow() as uow:
            account = {
                "user": user,
                "log_ins": await uow.exports.list_logins(user.id),
                "identities": await uow.exports.list_identities(user.id),
                "api_keys": await uow.exports.list_keys(user.id),
                "memberships": projects,
            }
        return _json(ExportedAccount.model_validate(account))

    async def _projects(self, actor: Principal) -> Sequence[Project]:
        found: list[Project] = []
        is_more = True
        while is_more:
            before = found[-1].id if found else None
            async with self._uow() as uow:
                page = await uow.projects.list_visible(actor, before=before, limit=PAGE)
            found += page
            is_more = len(page) == PAGE
        return found

    async def _project(self, actor: Principal, project: Project, without: str | None = None) -> AsyncIterator[Entry]:
        user_id = actor.user_id
        if project.role == ProjectRole.OWNER:
            content = {"project": project, "members": await self._members(project.id)}
            exported = ExportedProject.model_validate(content)
            yield Entry(f"projects/{project.id}/project.json", _json(exported), project.updated_at)
            async for entry in self._workspace(actor, project.id, without):
                yield entry
        async for documents in self._pages(lambda uow, at: uow.exports.list_documents(user_id, project.id, after=at)):
            for document in documents:
                async for entry in self._document(actor, document):
                    yield entry
        async for rooms in self._pages(lambda uow, at: uow.exports.list_rooms(user_id, project.id, after=at)):
            for room in rooms:
                folder = f"sessions/{room.id}"
                yield Entry(f"{folder}/session.json", _json(SessionRead.model_validate(room)), room.updated_at)
                yield Entry(f"{folder}/messages.jsonl", self._messages(actor, room), room.updated_at)

    async def _workspace(self, actor: Principal, project_id: UUID, without: str | None) -> AsyncIterator[Entry]:
        with suppress(ServiceUnavailable):  # it is short-lived: the rest is worth more
            state = await self._states.get(project_id)
            if state.number:
                yield Entry(f"projects/{project_id}/state.json", state.text.encode(), utc_now())
        after: str | None = None
        while True:
            async with self._uow() as uow:
                is_theirs = await uow.projects.get_role(actor.user_id, project_id) is ProjectRole.OWNER
                page = await uow.files.list(project_id, after=after, limit=PAGE) if is_theirs else []
            if not page:
                return
            for file in page:
                if without is not None and file.path.startswith(f"{without}/"):
                    continue
                with suppress(NotFound):  # deleted at this moment, or lost in a restore without files
                    content = await self._blobs.open(file.sha256)
                    yield Entry(f"projects/{project_id}/files/{file.path}", content, file.updated_at)
            after = page[-1].path

    async def _members(self, project_id: UUID) -> Sequence[ExportedMember]:
        """Without their addresses."""
        members: list[ExportedMember] = []
        is_more = True
        while is_more:
            before = members[-1].user_id if members else None
            async with self._uow() as uow:
                page = await uow.projects.list_members(project_id, before=before, limit=PAGE)
            members += map(ExportedMember.model_validate, page)
            is_more = len(page) == PAGE
        return members

    async def _document(self, actor: Principal, document: Document) -> AsyncIterator[Entry]:
        folder, modified = f"documents/{document.id}", document.updated_at
        try:
            original = await self._blobs.open(document.sha256)
        except NotFound:  # deleted at this moment, or lost in a restore without files
            return
        yield Entry(f"{folder}/document.json", _json(DocumentRead.model_validate(document)), modified)
        name = archive_name(document.filename, otherwise=f"{document.id}.txt")
        yield Entry(f"{folder}/original/{name}", original, document.created_at)
        async with self._uow() as uow:
            is_there = await uow.documents.get_visible(actor, document.id) is not None
            text = await uow.documents.get_text(document.id) if is_there else None
        if text is not None:
            yield Entry(f"{folder}/text.txt", _encoded(text), modified)

    async def _file(self, user_id: UUID, media: Media) -> AsyncIterator[Entry]:
        """As it was uploaded, if they did it or may see all of it; else as it is shown."""
        async with self._uow() as uow:
            [seen] = await uow.media.seen_by(user_id, [media])
        shown = next((one.sha256 for one in seen.renditions if one.name == "shown"), None)
        sha256 = media.sha256 if seen.shows_metadata or media.kind != "image" else shown
        try:
            content = await self._blobs.open(sha256) if sha256 else None
        except NotFound:
            return
        yield Entry(f"media/{media.id}/media.json", _json(MediaRead.model_validate(seen)), media.updated_at)
        if content is not None:
            name = archive_name(media.filename, otherwise=str(media.id))
            yield Entry(f"media/{media.id}/original/{name}", content, media.created_at)

    async def _messages(self, actor: Principal, room: Session) -> AsyncIterator[bytes]:
        """Names as the export of a room has them."""
        seq = 0
        while True:
            async with self._uow() as uow:
                is_there = await uow.sessions.get_visible(actor, room.id) is not None
                page = await uow.messages.list_after(room.id, seq, limit=PAGE) if is_there else []
            if not page:
                return
            yield _lines(MessageRead, page)
            seq = page[-1].seq

    async def _tasks(self, user_id: UUID, projects: Sequence[Project]) -> AsyncIterator[bytes]:
        for project in projects:
            async for page in self._pages(partial(_tasks_of, user_id, project.id)):
                yield _lines(TaskRead, page)

    async def _elsewhere(self, user_id: UUID) -> AsyncIterator[bytes]:
        async for page in self._pages(lambda uow, at: uow.exports.list_messages_elsewhere(user_id, after=at)):
            yield _lines(MessageRead, page)

    async def _answers(self, user_id: UUID) -> AsyncIterator[bytes]:
        async for page in self._pages(lambda uow, at: uow.answers.list_owned(user_id, after=at, limit=PAGE)):
            yield _lines(AnswerRead, page)

    async def _activity(self, user_id: UUID) -> AsyncIterator[bytes]:
        async for page in self._pages(lambda uow, at: uow.exports.list_activity(user_id, after=at)):
            yield _lines(ExportedActivity, page)

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


def archive_name(filename: str | None, *, otherwise: str) -> str:
    """A name that every system can unpack, and that leads nowhere else."""
    name = _UNSAFE.sub("_", safe_filename(filename) or "").rstrip(". ")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    suffix = PurePosixPath(name).suffix
    room = LONGEST_NAME - len(suffix.encode())
    if len(name.encode()) > LONGEST_NAME and room > 0:
        name = name.removesuffix(suffix).encode()[:room].decode(errors="ignore") + suffix
    return name or otherwise


async def _tasks_of(user_id: UUID, project_id: UUID, uow: UnitOfWork, after: UUID | None) -> Sequence[Task]:
    return await uow.exports.list_tasks(user_id, project_id, after=after)


async def _encoded(text: str) -> AsyncIterator[bytes]:
    for first in range(0, len(text), TEXT_PIECE):
        yield text[first : first + TEXT_PIECE].encode()


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json(indent=2).encode() + b"\n"


def _lines(form: type[BaseModel], rows: Sequence[Model]) -> bytes:
    return "".join(form.model_validate(row).model_dump_json() + "\n" for row in rows).encode()
