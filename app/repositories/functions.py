"""Calls of functions that run outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import FunctionCall, Task


@dataclass(frozen=True, slots=True)
class CallOfTask:
    call: FunctionCall
    task: Task


class FunctionRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, task_id: UUID, *, token_digest: bytes, expires_at: datetime) -> FunctionCall:
        """A new call in the place of the one before it, whose token is good no more."""
        fresh = {"token_digest": token_digest, "expires_at": expires_at}
        cleared: dict[str, object] = {"is_accepted": False, "report": None, "outcome": None, "files": []}
        first = insert(FunctionCall).values(task_id=task_id, number=1, **fresh, **cleared)
        opened = first.on_conflict_do_update(
            index_elements=[FunctionCall.task_id], set_={"number": FunctionCall.number + 1, **fresh, **cleared}
        ).returning(FunctionCall)
        return (await self._session.scalars(opened, execution_options={"populate_existing": True})).one()

    async def list(self, task_ids: Sequence[UUID]) -> Sequence[FunctionCall]:
        return (await self._session.scalars(select(FunctionCall).where(FunctionCall.task_id.in_(task_ids)))).all()

    async def lock(self, task_id: UUID) -> CallOfTask | None:
        """The call, locked, and its task as it is now."""
        query = select(FunctionCall).where(FunctionCall.task_id == task_id).with_for_update()
        call = await self._session.scalar(query)
        if call is None:
            return None
        task = (await self._session.scalars(select(Task).where(Task.id == task_id))).one()
        return CallOfTask(call, task)

    async def forget_accepted(self, task_id: UUID) -> None:
        """What was called before the task ended is not waited for when somebody starts it again."""
        calls = update(FunctionCall).where(FunctionCall.task_id == task_id).values(is_accepted=False)
        await self._session.execute(calls, execution_options={"synchronize_session": False})

    async def set_accepted(self, task_id: UUID, number: int, *, is_accepted: bool) -> None:
        """Unless there is another call by now."""
        of_number = update(FunctionCall).where(FunctionCall.task_id == task_id, FunctionCall.number == number)
        await self._session.execute(
            of_number.values(is_accepted=is_accepted), execution_options={"synchronize_session": False}
        )
