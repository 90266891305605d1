"""Answers that are kept, and whether what they quote still stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Uuid, bindparam, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Answer, AnswerStatus
from app.repositories.retrieval import Excerpt
from app.repositories.taking import taken

SWEPT_AT_ONCE: Final = 500

STANDING: Final = text("""
SELECT number, substr(text, char_start + 1, char_end - char_start), version,
    (SELECT max((page->>'number')::int) FROM jsonb_array_elements(pages) AS page
     WHERE (page->>'char_start')::int <= char_start)
FROM unnest(:document_ids, :starts, :ends) WITH ORDINALITY AS wanted (document_id, char_start, char_end, number)
JOIN document_texts USING (document_id)
""").bindparams(
    bindparam("document_ids", type_=ARRAY(Uuid())),
    bindparam("starts", type_=ARRAY(Integer())),
    bindparam("ends", type_=ARRAY(Integer())),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an excerpt says now, in which version of the text, and the page it begins on, where there are pages."""

    text: str
    version: str
    page: int | None


class AnswerRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, answer: Answer) -> None:
        self._session.add(answer)

    async def get_owned(self, owner_id: UUID, answer_id: UUID) -> Answer | None:
        query = select(Answer).where(Answer.id == answer_id, Answer.owner_id == owner_id)
        return (await self._session.scalars(query)).one_or_none()

    async def list_owned(self, owner_id: UUID, *, after: UUID | None, limit: int) -> Sequence[Answer]:
        """The oldest first."""
        query = select(Answer).where(Answer.owner_id == owner_id).order_by(Answer.id).limit(limit)
        return (await self._session.scalars(query if after is None else query.where(Answer.id > after))).all()

    async def list_running(self, age: timedelta) -> Sequence[UUID]:
        """Some of those that began longer than `age` ago and have no end."""
        began = Answer.created_at < func.clock_timestamp() - age
        query = select(Answer.id).where(Answer.status == AnswerStatus.RUNNING, began)
        return (await self._session.scalars(query.order_by(Answer.id).limit(SWEPT_AT_ONCE))).all()

    async def finish(self, answer_id: UUID, **said: Any) -> None:
        """Say how it ended, if nobody has done so before."""
        running = (Answer.id == answer_id) & (Answer.status == AnswerStatus.RUNNING)
        await self._session.execute(
            update(Answer).where(running).values(**said), execution_options={"synchronize_session": False}
        )

    async def delete_older_than(self, retention: timedelta) -> bool:
        """Delete some of what is older than the retention; whether there may be more."""
        old = select(Answer.id).where(Answer.created_at < func.clock_timestamp() - retention)
        some = old.order_by(Answer.created_at).limit(SWEPT_AT_ONCE)
        deleted = await self._session.execute(
            delete(Answer).where(Answer.id.in_(taken(some))).returning(Answer.id),
            execution_options={"synchronize_session": False},
        )
        return len(deleted.all()) == SWEPT_AT_ONCE

    async def read_standing(self, excerpts: Sequence[Excerpt]) -> Sequence[Standing | None]:
        """What stands there now, in the order asked for; None where the document is gone."""
        rows = await self._session.execute(
            STANDING,
            {
                "document_ids": [excerpt.document_id for excerpt in excerpts],
                "starts": [excerpt.char_start for excerpt in excerpts],
                "ends": [excerpt.char_end for excerpt in excerpts],
            },
        )
        found = {number: Standing(said, version, page) for number, said, version, page in rows}
        return [found.get(number) for number, _ in enumerate(excerpts, start=1)]
