"""What has to go with an account, or to be somebody else's: in pieces that are short transactions, and can be repeated.

An account that is being deleted owns projects without members, which nobody sees. One of them is made for this alone:
it keeps the task that does the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.models import (
    UNFINISHED,
    APIKey,
    Base,
    Channel,
    Document,
    EventRow,
    IdempotentRequest,
    Identity,
    Invite,
    Login,
    MailToken,
    Media,
    MediaRendition,
    Member,
    Memory,
    Message,
    Participant,
    Project,
    RegistrationInvite,
    Session,
    Task,
    TaskStatus,
    User,
    Webhook,
)
from app.permissions import ProjectRole, Role

UNSYNCHRONIZED: Final = {"synchronize_session": False}
OWNED: Final = (Document, Session, Task)
PERSONAL: Final = (APIKey, Identity, MailToken, IdempotentRequest)


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: UUID
    sha256: str


class ErasureRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    # --- at once, so that the account opens nothing and nothing of it is seen ---------------------------------------

    async def lock_projects(self, user_id: UUID) -> None:
        """Those that the account owns; members change under this lock only."""
        owned = select(Project.id).where(Project.owner_id == user_id).order_by(Project.id)
        await self._session.execute(owned.with_for_update())

    async def list_shared_alone(self, user_id: UUID) -> Sequence[UUID]:
        """Projects that others work in, and that have no other owner."""
        others = exists().where(Member.project_id == Project.id, Member.user_id != user_id)
        shared = select(Project.id).where(Project.owner_id == user_id, others, ~_heir(user_id).exists())
        return (await self._session.scalars(shared.order_by(Project.id))).all()

    async def hand_over_projects(self, user_id: UUID) -> None:
        """Those that have another owner become that one's."""
        heir = _heir(user_id)
        owned = update(Project).where(Project.owner_id == user_id, heir.exists())
        await self._execute(owned.values(owner_id=heir.scalar_subquery(), is_default=False))

    async def hide_projects(self, user_id: UUID) -> None:
        """What the account still owns is nobody's to see, and nobody works on it any more; it leaves all others."""
        owned = select(Project.id).where(Project.owner_id == user_id)
        rooms = select(Session.id).where(Session.project_id.in_(owned))
        await self._execute(delete(Member).where(or_(Member.user_id == user_id, Member.project_id.in_(owned))))
        await self._execute(
            delete(Participant).where(or_(Participant.user_id == user_id, Participant.session_id.in_(rooms)))
        )
        await self._execute(delete(Invite).where(or_(Invite.created_by == user_id, Invite.session_id.in_(rooms))))
        await self._execute(delete(Webhook).where(Webhook.project_id.in_(owned)))
        unfinished = update(Task).where(Task.project_id.in_(owned), Task.status.in_(UNFINISHED))
        queued = Task.status == TaskStatus.QUEUED
        await self._execute(unfinished.where(queued).values(status=TaskStatus.CANCELLED, cancel_requested=True))
        await self._execute(unfinished.where(~queued).values(cancel_requested=True))

    async def delete_personal(self, user_id: UUID, email: str | None) -> None:
        """Keys, identities, mailed secrets, kept answers, invites to register."""
        for entity in PERSONAL:
            await self._execute(delete(entity).where(entity.user_id == user_id))
        unused = (RegistrationInvite.created_by == user_id) & RegistrationInvite.used_at.is_(None)
        to_this = or_(RegistrationInvite.used_by == user_id, RegistrationInvite.email == email)
        await self._execute(delete(RegistrationInvite).where(or_(unused, to_this)))

    # --- bit by bit -------------------------------------------------------------------------------------------------

    async def list_traces(self, user_id: UUID) -> set[UUID]:
        """Ids by which Redis may know something of the account: its own, and those of its log-ins, projects, rooms."""
        owned = select(Project.id).where(Project.owner_id == user_id)
        logins = select(Login.id).where(Login.user_id == user_id)
        rooms = select(Session.id).where(Session.project_id.in_(owned))
        return {user_id, *(await self._session.scalars(owned.union_all(logins, rooms))).all()}

    async def list_projects(self, user_id: UUID, *, home: UUID) -> Sequence[UUID]:
        query = select(Project.id).where(Project.owner_id == user_id, Project.id != home)
        return (await self._session.scalars(query.order_by(Project.id))).all()

    async def get_project(self, project_id: UUID) -> Project | None:
        return await self._session.get(Project, project_id)

    async def list_documents(self, project_id: UUID, *, limit: int) -> Sequence[StoredFile]:
        query = select(Document.id, Document.sha256).where(Document.project_id == project_id)
        rows = await self._session.execute(query.order_by(Document.id).limit(limit))
        return [StoredFile(row.id, row.sha256) for row in rows]

    async def delete_documents(self, document_ids: Sequence[UUID]) -> None:
        """With their texts and passages."""
        await self._execute(delete(Document).where(Document.id.in_(document_ids)))

    async def list_rooms(self, project_id: UUID) -> Sequence[UUID]:
        return (await self._session.scalars(select(Session.id).where(Session.project_id == project_id))).all()

    async def delete_messages(self, session_id: UUID, *, limit: int) -> int:
        """How many were there to delete, `limit` at most."""
        return await self._delete_some(Message, Message.id, Message.session_id == session_id, limit)

    async def delete_events(self, channel_id: UUID, *, limit: int) -> int:
        return await self._delete_some(EventRow, EventRow.seq, EventRow.channel_id == channel_id, limit)

    async def delete_tasks(self, project_id: UUID, *, limit: int) -> int:
        return await self._delete_some(Task, Task.id, Task.project_id == project_id, limit)

    async def hand_over_work(self, user_id: UUID) -> None:
        """Documents, rooms and tasks in projects of others belong to these from now on."""
        for entity in OWNED:
            heir = select(Project.owner_id).where(Project.id == entity.project_id, Project.owner_id != user_id)
            theirs = update(entity).where(entity.owner_id == user_id, heir.exists())
            await self._execute(theirs.values(owner_id=heir.scalar_subquery(), updated_at=entity.updated_at))

    async def list_files(self, user_id: UUID, *, limit: int) -> Sequence[StoredFile]:
        """Some that they added to memories of others."""
        query = select(Media.id, Media.sha256).where(Media.added_by == user_id).order_by(Media.id).limit(limit)
        return [StoredFile(row.id, row.sha256) for row in await self._session.execute(query)]

    async def forget_files(self, media_ids: Sequence[UUID]) -> None:
        """They stay as they are shown, and say nothing of who added them; unless that one let it stay."""
        theirs = update(Media).where(Media.id.in_(media_ids))
        silent, same = theirs.where(~Media.keeps_metadata), aliased(Media)
        shown = and_(MediaRendition.media_id == Media.id, MediaRendition.name == "shown")
        is_there = exists().where(same.memory_id == Media.memory_id, same.sha256 == MediaRendition.sha256)
        of_shown = {name: getattr(MediaRendition, name) for name in ("sha256", "size", "media_type")}
        await self._execute(silent.where(shown, ~is_there).values(of_shown))
        await self._execute(silent.values(dict.fromkeys(("taken_at", "latitude", "longitude", "orientation"))))
        await self._execute(theirs.values(added_by=None))

    async def lock_messages(self, user_id: UUID, *, limit: int) -> Sequence[Message]:
        query = select(Message).where(Message.user_id == user_id).order_by(Message.id).limit(limit)
        return (await self._session.scalars(query.with_for_update())).all()

    async def lock_answers(self, message_ids: Sequence[UUID]) -> Sequence[Message]:
        """What the spirit said to these messages."""
        query = select(Message).where(Message.is_spirit, Message.in_reply_to.in_(message_ids)).order_by(Message.id)
        return (await self._session.scalars(query.with_for_update())).all()

    async def has_left_something(self, user_id: UUID, *, home: UUID) -> bool:
        """Whether the account still owns or says anything, apart from the project `home` and its task."""
        left = [
            exists().where(Project.owner_id == user_id, Project.id != home),
            exists().where(Document.owner_id == user_id),
            exists().where(Session.owner_id == user_id),
            exists().where(Task.owner_id == user_id, Task.project_id != home),
            exists().where(Message.user_id == user_id),
            exists().where(Memory.owner_id == user_id),
            exists().where(Media.added_by == user_id),
        ]
        return bool(await self._session.scalar(select(or_(*left))))

    async def delete_account(self, user_id: UUID) -> None:
        """With the project that was left, and whatever names the account."""
        await self._execute(delete(Channel).where(Channel.id == user_id))
        await self._execute(delete(User).where(User.id == user_id))

    async def delete_guests(self, *, older_than: timedelta, limit: int) -> int:
        """Guests whose tokens expired long ago; what they said stays, under the name that they gave."""
        owns = exists().where(Project.owner_id == User.id)  # no guest, but an account on its way out
        old = and_(User.role == Role.GUEST, User.created_at < func.clock_timestamp() - older_than, ~owns)
        return await self._delete_some(User, User.id, old, limit)

    async def is_leaving(self, user_id: UUID) -> bool:
        """Whether the deletion of the account has begun: it is nobody's, and still owns projects."""
        owns = exists().where(Project.owner_id == User.id)
        return bool(
            await self._session.scalar(select(exists().where(User.id == user_id, User.role == Role.GUEST, owns)))
        )

    async def has_other_accounts(self, user_id: UUID) -> bool:
        return bool(await self._session.scalar(select(exists().where(User.id != user_id, User.role != Role.GUEST))))

    async def _delete_some(
        self, entity: type[Base], key: InstrumentedAttribute[Any], where: ColumnElement[bool], limit: int
    ) -> int:
        some = delete(entity).where(where, key.in_(select(key).where(where).limit(limit))).returning(key)
        return len((await self._session.scalars(some, execution_options=UNSYNCHRONIZED)).all())

    async def _execute(self, statement: Executable) -> None:
        await self._session.execute(statement, execution_options=UNSYNCHRONIZED)


def _heir(user_id: UUID) -> Select[UUID]:
    """Another owner of the project that the query around it is about; one whose account is open, if there is one."""
    others = (Member.project_id == Project.id, Member.user_id != user_id, Member.role == ProjectRole.OWNER)
    heirs = select(Member.user_id).join(User, User.id == Member.user_id).where(*others).correlate(Project)
    return heirs.order_by(User.is_active.desc(), User.id).limit(1)
