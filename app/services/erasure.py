"""Deleting an account: what it opens and shows ends at once; what it leaves behind goes bit by bit, and entirely."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import Conflict
from app.events import utc_now
from app.models import Message, Project, Task, User
from app.permissions import Role
from app.realtime.traces import Traces
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.services.blobs import BlobService
from app.services.chat import rewrite
from app.services.running_tasks import RunningTask
from app.services.task_types import queue_task

DELETE_ACCOUNT: Final = "delete_account"
SETTLING: Final = timedelta(seconds=5)  # until nobody remembers the account, its sockets are closed, its tasks stopped
DELETED_USER: Final = "Deleted user"  # what the account is called until it is gone
FORMER_MEMBER: Final = "Former member"  # the author of what stays in rooms of others
ERASED_TEXT: Final = "[deleted]"
DOCUMENTS_AT_ONCE: Final = 10  # each with up to some ten thousand passages
MEMORIES_AT_ONCE: Final = 50  # each with up to some hundred files
ROWS_AT_ONCE: Final = 500


class ErasureService:
    def __init__(self, uow: OpenUnitOfWork, blobs: BlobService, traces: Traces, *, guests_kept: timedelta) -> None:
        self._uow = uow
        self._blobs = blobs
        self._traces = traces
        self._guests_kept = guests_kept

    async def begin(self, uow: UnitOfWork, user: User, *, erase_messages: bool, delete_shared_projects: bool) -> None:
        """Make nothing of the locked account: it opens nothing, is called nothing, and its address is free.

        The rest is queued, as work that goes on after a crash and is never given up. Its task lives in a project
        without members, which nobody sees or deletes, and goes with the account in the last transaction.

        Raises:
            Conflict: others work in a project that would be deleted.
        """
        await uow.erasure.lock_projects(user.id)
        shared = [] if delete_shared_projects else await uow.erasure.list_shared_alone(user.id)
        if shared:
            raise Conflict(
                "Others work in projects that have no other owner: make somebody an owner, or delete these, too.",
                project_ids=[str(project_id) for project_id in shared],
            )
        await uow.erasure.hand_over_projects(user.id)
        await uow.erasure.hide_projects(user.id)
        await uow.erasure.delete_personal(user.id, user.email)
        _make_nobody(user)
        await uow.flush()
        await self._queue(uow, user.id, erase_messages=erase_messages)

    async def erase(self, task: RunningTask, user_id: UUID, *, erase_messages: bool) -> Mapping[str, Any]:
        """Remove whatever is left of the account, and then the account. Safe to run again from anywhere.

        Raises:
            ServiceUnavailable: Redis does not answer.
            TaskLost: another worker goes on with it.
        """
        async with self._uow() as uow:
            traces = await uow.erasure.list_traces(user_id)
        await self._traces.forget(traces)
        is_gone = False
        while not is_gone:  # whoever was in the middle of a call may have added something
            async with self._uow() as uow:
                projects = await uow.erasure.list_projects(user_id, home=task.project_id)
            for project_id in projects:
                await self._delete_project(task, project_id)
            async with self._uow() as uow:
                await task.hold(uow)
                await uow.erasure.hand_over_work(user_id)
            await self._repeat(task, lambda uow: self._delete_memories(uow, user_id))
            await self._repeat(task, lambda uow: self._forget_files(uow, user_id))
            await self._repeat(task, lambda uow: _leave_rooms(uow, user_id, erase_messages=erase_messages))
            is_gone = await self._delete_account(task, user_id)
        return {}

    async def sweep(self) -> None:
        """Go on with what was given up, since a deletion has to end; remove guests of long ago."""
        async with self._uow() as uow:
            await uow.tasks.start_again(DELETE_ACCOUNT)
        deleted = ROWS_AT_ONCE
        while deleted == ROWS_AT_ONCE:
            async with self._uow() as uow:
                deleted = await uow.erasure.delete_guests(older_than=self._guests_kept, limit=ROWS_AT_ONCE)

    async def _queue(self, uow: UnitOfWork, user_id: UUID, *, erase_messages: bool) -> None:
        home = Project(id=uuid7(), owner_id=user_id, name=DELETED_USER)
        uow.projects.add(home)
        await uow.flush()
        task = Task(
            project_id=home.id,
            owner_id=user_id,
            task_type=DELETE_ACCOUNT,
            params={"user_id": str(user_id), "erase_messages": erase_messages},
            is_internal=True,
            serial_key=f"user:{user_id}",
            run_after=utc_now() + SETTLING,
        )
        queue_task(uow, task)

    async def _delete_project(self, task: RunningTask, project_id: UUID) -> None:
        await self._repeat(task, lambda uow: self._delete_documents(uow, project_id))
        await self._repeat(task, lambda uow: self._delete_files(uow, project_id))
        async with self._uow() as uow:
            rooms = await uow.erasure.list_rooms(project_id)
        for room_id in rooms:
            await self._repeat(task, partial(_delete_messages, session_id=room_id))
        for channel_id in (*rooms, project_id):
            await self._repeat(task, partial(_delete_events, channel_id=channel_id))
        await self._repeat(task, lambda uow: uow.erasure.delete_tasks(project_id, limit=ROWS_AT_ONCE))
        async with self._uow() as uow:
            await task.hold(uow)
            project = await uow.erasure.get_project(project_id)
            if project is not None:
                await uow.projects.delete(project)

    async def _delete_documents(self, uow: UnitOfWork, project_id: UUID) -> int:
        """Files go before the commit: if it fails, the rows are there to do it all again."""
        documents = await uow.erasure.list_documents(project_id, limit=DOCUMENTS_AT_ONCE)
        await uow.erasure.delete_documents([document.id for document in documents])
        for sha256 in sorted({document.sha256 for document in documents}):  # in order, so that two do not block
            await self._blobs.discard_within(uow, sha256)
        return len(documents)

    async def _delete_files(self, uow: UnitOfWork, project_id: UUID) -> int:
        digests = await uow.files.delete_some(project_id, limit=DOCUMENTS_AT_ONCE)
        for sha256 in sorted(set(digests)):
            await self._blobs.discard_within(uow, sha256)
        return len(digests)

    async def _delete_memories(self, uow: UnitOfWork, user_id: UUID) -> int:
        """Those in the bin, too; their files go before the commit, as those of documents."""
        memory_ids = await uow.memories.lock_some_of(user_id, limit=MEMORIES_AT_ONCE)
        blobs = await uow.media.list_blobs(memory_ids)
        await uow.memories.delete(memory_ids)
        for sha256 in sorted(blobs):
            await self._blobs.discard_within(uow, sha256)
        return len(memory_ids)

    async def _forget_files(self, uow: UnitOfWork, user_id: UUID) -> int:
        """What they added to memories of others stays as it is shown; the originals go."""
        files = await uow.erasure.list_files(user_id, limit=MEMORIES_AT_ONCE)
        await uow.erasure.forget_files([one.id for one in files])
        for sha256 in sorted({one.sha256 for one in files}):
            await self._blobs.discard_within(uow, sha256)
        return len(files)

    async def _delete_account(self, task: RunningTask, user_id: UUID) -> bool:
        """Whether it is gone; else something came in meanwhile."""
        async with self._uow() as uow:
            await uow.users.lock(user_id)  # nothing new can name it from here on
            if await uow.erasure.has_left_something(user_id, home=task.project_id):
                return False
            await task.finish(uow, {})
            await uow.erasure.delete_account(user_id)
        return True

    async def _repeat(self, task: RunningTask, work: Callable[[UnitOfWork], Awaitable[int]]) -> None:
        """Until it finds nothing to do, each time in a transaction of its own."""
        is_done = False
        while not is_done:
            async with self._uow() as uow:
                await task.hold(uow)
                is_done = not await work(uow)


def _make_nobody(user: User) -> None:
    """Like a guest who can never come back, so it counts as an account nowhere."""
    user.email = user.password_hash = user.email_verified_at = None
    user.name, user.about, user.settings, user.preferences = DELETED_USER, "", {}, {}
    user.role, user.is_active = Role.GUEST, False


async def _delete_messages(uow: UnitOfWork, session_id: UUID) -> int:
    return await uow.erasure.delete_messages(session_id, limit=ROWS_AT_ONCE)


async def _delete_events(uow: UnitOfWork, channel_id: UUID) -> int:
    return await uow.erasure.delete_events(channel_id, limit=ROWS_AT_ONCE)


async def _leave_rooms(uow: UnitOfWork, user_id: UUID, *, erase_messages: bool) -> int:
    """Take the name off some messages, in the rooms' logs as well; the numbers there stay without gaps."""
    own = await uow.erasure.lock_messages(user_id, limit=ROWS_AT_ONCE)
    for message in own:
        message.user_id, message.user_name, message.client_id = None, FORMER_MEMBER, None
    changed: list[Message] = [*own]
    if erase_messages and own:
        changed += await uow.erasure.lock_answers([message.id for message in own])
        for message in changed:
            message.text, message.citations = ERASED_TEXT, []
    await uow.flush()
    for message in changed:
        await rewrite(uow, message)
    for session_id in sorted({message.session_id for message in own}):
        first = min(message.seq for message in own if message.session_id == session_id)
        await uow.room_summaries.forget(session_id, told_of=first)
    return len(own)
