"""Everything that somebody owns, page by page, the oldest first; each page asks anew whether it is still theirs."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import (
    APIKey,
    AuditEntry,
    Document,
    Identity,
    Location,
    Login,
    Member,
    Memory,
    MemoryVersion,
    Message,
    Model,
    Person,
    Session,
    Task,
)
from app.permissions import ProjectRole

PAGE: Final = 200
Row = TypeVar("Row", bound=Model)


class ExportRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_logins(self, user_id: UUID) -> Sequence[Login]:
        return (await self._session.scalars(select(Login).where(Login.user_id == user_id).order_by(Login.id))).all()

    async def list_identities(self, user_id: UUID) -> Sequence[Identity]:
        query = select(Identity).where(Identity.user_id == user_id).order_by(Identity.id)
        return (await self._session.scalars(query)).all()

    async def list_keys(self, user_id: UUID) -> Sequence[APIKey]:
        return (await self._session.scalars(select(APIKey).where(APIKey.user_id == user_id).order_by(APIKey.id))).all()

    async def list_documents(self, user_id: UUID, project_id: UUID, *, after: UUID | None) -> Sequence[Document]:
        """Of a project that is theirs all, of another one those that they brought."""
        theirs = _owns(user_id, project_id) | (_belongs(user_id, project_id) & (Document.owner_id == user_id))
        return await self._page(select(Document).where(Document.project_id == project_id, theirs), Document, after)

    async def list_people(self, user_id: UUID, *, after: UUID | None) -> Sequence[Person]:
        return await self._page(select(Person).where(Person.owner_id == user_id), Person, after)

    async def list_locations(self, user_id: UUID, *, after: UUID | None) -> Sequence[Location]:
        return await self._page(select(Location).where(Location.owner_id == user_id), Location, after)

    async def list_memories(self, user_id: UUID, *, after: UUID | None, limit: int) -> Sequence[Memory]:
        """With those in the bin."""
        query = select(Memory).where(Memory.owner_id == user_id)
        query = query if after is None else query.where(Memory.id > after)
        return (await self._session.scalars(query.order_by(Memory.id).limit(limit))).all()

    async def list_versions(self, memory_ids: Collection[UUID]) -> Mapping[UUID, Sequence[MemoryVersion]]:
        """Of each memory, the oldest first."""
        query = select(MemoryVersion).where(MemoryVersion.memory_id.in_(memory_ids)).order_by(MemoryVersion.revision)
        found: dict[UUID, list[MemoryVersion]] = defaultdict(list)
        for version in await self._session.scalars(query):
            found[version.memory_id].append(version)
        return found

    async def list_tasks(self, user_id: UUID, project_id: UUID, *, after: UUID | None) -> Sequence[Task]:
        """The same of tasks; without internal work."""
        theirs = _owns(user_id, project_id) | (_belongs(user_id, project_id) & (Task.owner_id == user_id))
        query = select(Task).where(Task.project_id == project_id, ~Task.is_internal, theirs)
        return await self._page(query, Task, after)

    async def list_rooms(self, user_id: UUID, project_id: UUID, *, after: UUID | None) -> Sequence[Session]:
        """Of a project that is theirs."""
        query = select(Session).where(Session.project_id == project_id, _owns(user_id, project_id))
        return await self._page(query, Session, after)

    async def list_messages_elsewhere(self, user_id: UUID, *, after: UUID | None) -> Sequence[Message]:
        """What they said in rooms of others, also where they are not let in any more."""
        owned = select(Member.project_id).where(Member.user_id == user_id, Member.role == ProjectRole.OWNER)
        query = select(Message).join(Session, Session.id == Message.session_id)
        return await self._page(
            query.where(Message.user_id == user_id, Session.project_id.not_in(owned)), Message, after
        )

    async def list_activity(self, user_id: UUID, *, after: UUID | None) -> Sequence[AuditEntry]:
        return await self._page(select(AuditEntry).where(AuditEntry.actor_id == user_id), AuditEntry, after)

    async def _page(self, query: Select[Row], entity: type[Row], after: UUID | None) -> Sequence[Row]:
        if after is not None:
            query = query.where(entity.id > after)
        return (await self._session.scalars(query.order_by(entity.id).limit(PAGE))).all()


def _belongs(user_id: UUID, project_id: UUID) -> ColumnElement[bool]:
    return select(Member.user_id).where(Member.user_id == user_id, Member.project_id == project_id).exists()


def _owns(user_id: UUID, project_id: UUID) -> ColumnElement[bool]:
    own = select(Member.user_id).where(Member.user_id == user_id, Member.project_id == project_id)
    return own.where(Member.role == ProjectRole.OWNER).exists()
