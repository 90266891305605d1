"""Answers that are kept, followed and stopped: whoever loses the stream of one comes back and misses nothing."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import BaseModel

from app.errors import AppError, NotFound
from app.models import Answer, AnswerStatus
from app.permissions import Principal
from app.realtime.answers import SIGN_OF_LIFE, AnswerLog, Piece
from app.realtime.cancellation import cancel_until_done
from app.repositories import OpenUnitOfWork
from app.schemas.query import (
    CitationsEvent,
    ErrorEvent,
    QueryRequest,
    QueryResult,
    RetrievedEvent,
    TokenEvent,
    UsageRead,
)
from app.services.answers import AnswerPart, AnswerService, Inquiry
from app.settings.answers import AnswerSettings
from app.telemetry.timing import traced

log = structlog.get_logger(__name__)

EVENTS: Final[dict[type[BaseModel], str]] = {
    RetrievedEvent: "retrieved",
    TokenEvent: "token",
    CitationsEvent: "citations",
    QueryResult: "done",
    ErrorEvent: "error",
}
LAST: Final = ("done", "error")
SIGNAL_INTERVAL: Final = 0.5  # seconds between two looks at what other processes want of an answer
READ_INTERVAL: Final = 0.1  # seconds between two looks at what another process has said
WRITE_INTERVAL: Final = 0.05  # seconds between two writes for other processes, at least
CLOSING_PATIENCE: Final = 5.0  # seconds for answers to end with the process
NO_USAGE: Final = UsageRead(prompt_tokens=0, completion_tokens=0, total_tokens=0)
BROKEN_OFF: Final = ErrorEvent(code="SERVICE_UNAVAILABLE", message="The answer broke off. Please ask again.")
UNEXPECTED: Final = ErrorEvent(code="INTERNAL_ERROR", message="Something went wrong on our side.")


class Reply:
    """An answer under way in this process: what was said so far, and who follows it."""

    def __init__(self, inquiry: Inquiry) -> None:
        self.inquiry = inquiry
        self.pieces: list[Piece] = []
        self.said = ""
        self.is_over = False
        self.failure: Exception | None = None
        self.followers = 0
        self.alone_since = time.monotonic()
        self._more = asyncio.Event()

    def say(self, part: AnswerPart | ErrorEvent) -> None:
        if isinstance(part, TokenEvent):
            self.said += part.delta
        self.pieces.append(Piece(len(self.pieces) + 1, EVENTS[type(part)], part.model_dump_json()))
        self._wake()

    def end(self) -> None:
        self.is_over = True
        self._wake()

    async def follow(self, after: int) -> AsyncGenerator[Piece, None]:
        """What came behind the number `after`, and then what comes. Raises what nobody expected."""
        self.followers += 1
        try:
            while True:
                more = self._more
                for piece in self.pieces[after:]:
                    after = piece.number
                    yield piece
                if after < len(self.pieces):
                    continue
                if self.is_over:
                    break
                await more.wait()
        finally:
            self.followers -= 1
            self.alone_since = time.monotonic()
        if self.failure is not None:
            raise self.failure

    async def wait(self, seconds: float) -> None:
        """Until something more is said, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._more.wait()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


class ReplyService:
    """Answers are given by tasks of this process; closing it stops them, and keeps what they said."""

    def __init__(
        self, uow: OpenUnitOfWork, answers: AnswerService, pieces: AnswerLog, settings: AnswerSettings
    ) -> None:
        self._uow = uow
        self._answers = answers
        self._log = pieces
        self._settings = settings
        self._replies: dict[UUID, Reply] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, actor: Principal, request: QueryRequest) -> QueryResult:
        """The whole answer, from what the actor may see; it is kept. Cancelling this stops the language model.

        Raises:
            NotFound, RateLimited, ServiceUnavailable: see `AnswerService.prepare`.
        """
        inquiry, asked = await self._answers.prepare(actor, request)
        async with contextlib.aclosing(self._answers.tell(actor, inquiry, asked)) as parts:
            result = [part async for part in parts if isinstance(part, QueryResult)][-1]
        async with self._uow() as uow:
            uow.answers.add(
                Answer(id=inquiry.id, owner_id=actor.user_id, question=request.question, **_columns(result))
            )
        return result

    async def begin(self, actor: Principal, request: QueryRequest) -> tuple[UUID, AsyncGenerator[Piece, None]]:
        """The same in numbered pieces, once the passages are there. It goes on for a while when nobody follows it.

        Raises:
            NotFound, RateLimited, ServiceUnavailable: see `AnswerService.prepare`.
        """
        inquiry, asked = await self._answers.prepare(actor, request)
        row = Answer(
            id=inquiry.id,
            owner_id=actor.user_id,
            question=request.question,
            status=AnswerStatus.RUNNING,
            model=self._answers.model,
            usage=NO_USAGE.model_dump(),
        )
        async with self._uow() as uow:
            uow.answers.add(row)
        reply = self._replies[inquiry.id] = Reply(inquiry)
        task = asyncio.create_task(traced("answer", self._give(reply, self._answers.tell(actor, inquiry, asked))))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return inquiry.id, reply.follow(0)

    async def resume(
        self, actor: Principal, answer_id: UUID, *, after: int = 0
    ) -> tuple[UUID, AsyncGenerator[Piece, None]]:
        """The pieces of the actor's own answer behind the number `after`, wherever it is given.

        Of an answer that ended long ago there is its end alone, which holds everything that was said.

        Raises:
            NotFound: there is no such answer, or it is another's.
        """
        await self.get(actor, answer_id)
        reply = self._replies.get(answer_id)
        return answer_id, reply.follow(after) if reply else self._follow_elsewhere(actor, answer_id, after)

    async def get(self, actor: Principal, answer_id: UUID) -> Answer:
        """What the actor was told. Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            answer = await uow.answers.get_owned(actor.user_id, answer_id)
        if answer is None:
            raise NotFound("No such answer.", answer_id=str(answer_id))
        return answer

    async def stop(self, actor: Principal, answer_id: UUID) -> Answer:
        """Let it end where it is; what was said so far is kept. Of an answer that has ended nothing changes.

        Raises:
            NotFound: there is no such answer, or it is another's.
        """
        answer = await self.get(actor, answer_id)
        if answer.status != AnswerStatus.RUNNING:
            return answer
        reply = self._replies.get(answer_id)
        if reply is None:
            await self._log.ask_to_stop(answer_id)
        else:
            reply.inquiry.stop.set()
        return answer

    async def sweep(self) -> None:
        """End what a killed process left unfinished; remove what is older than the retention, a part at a time."""
        async with self._uow() as uow:
            running = await uow.answers.list_running(SIGN_OF_LIFE)
        for answer_id in running:
            if not await self._log.is_being_given(answer_id):
                await self._break_off(answer_id)
        while True:
            async with self._uow() as uow:
                if not await uow.answers.delete_older_than(self._settings.retention):
                    return

    async def aclose(self) -> None:
        for reply in self._replies.values():
            reply.inquiry.stop.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSING_PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _give(self, reply: Reply, parts: AsyncGenerator[AnswerPart, None]) -> None:
        """One answer from its first piece to its row, whoever follows it."""
        answer_id = reply.inquiry.id
        minding = [asyncio.create_task(self._write(reply)), asyncio.create_task(self._mind(reply))]
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    if isinstance(part, QueryResult):
                        await self._keep(answer_id, _columns(part))  # first: whoever hears of the end can read it
                    reply.say(part)
        except AppError as error:
            failed = ErrorEvent(code=error.code, message=error.message)
            await self._keep_failure(reply, failed)
            reply.say(failed)
        except Exception as error:
            log.exception("answer.failed", answer_id=str(answer_id))
            await self._keep_failure(reply, UNEXPECTED)
            reply.failure = error
        finally:
            reply.end()
            await asyncio.shield(self._finish(answer_id, minding))

    async def _finish(self, answer_id: UUID, minding: Sequence[asyncio.Task[None]]) -> None:
        writing, looking = minding
        await cancel_until_done([looking])
        await asyncio.gather(writing, return_exceptions=True)
        self._replies.pop(answer_id, None)  # from now on its pieces are read where they were written

    async def _keep_failure(self, reply: Reply, error: ErrorEvent) -> None:
        try:
            await self._keep(reply.inquiry.id, _failed(error, answer=reply.said))
        except Exception as reason:  # the database is away: who comes back is told that the answer broke off
            log.warning("answer.not_kept", answer_id=str(reply.inquiry.id), error=repr(reason))

    async def _keep(self, answer_id: UUID, kept: dict[str, Any]) -> None:
        async with self._uow() as uow:
            await uow.answers.finish(answer_id, **kept)

    async def _write(self, reply: Reply) -> None:
        """Hand the pieces to other processes, several at once where they come fast."""
        written = 0
        while written < len(reply.pieces) or not reply.is_over:
            if written == len(reply.pieces):
                await reply.wait(SIGNAL_INTERVAL)
                continue
            batch = reply.pieces[written:]
            await self._log.append(reply.inquiry.id, batch)
            written += len(batch)
            if not reply.is_over:
                await asyncio.sleep(WRITE_INTERVAL)

    async def _mind(self, reply: Reply) -> None:
        """Stop it when somebody elsewhere wants that, or when nobody has followed it for a while."""
        grace = self._settings.grace.total_seconds()
        while not reply.inquiry.stop.is_set():
            signals = await self._log.exchange_signals(reply.inquiry.id)
            if signals.is_followed:
                reply.alone_since = time.monotonic()
            is_forgotten = not reply.followers and time.monotonic() - reply.alone_since > grace
            if signals.is_unwanted or is_forgotten:
                reply.inquiry.stop.set()
            await asyncio.sleep(min(SIGNAL_INTERVAL, grace))
        while True:
            await self._log.exchange_signals(reply.inquiry.id)  # it still says what it found
            await asyncio.sleep(SIGNAL_INTERVAL)

    async def _follow_elsewhere(self, actor: Principal, answer_id: UUID, after: int) -> AsyncGenerator[Piece, None]:
        """What another process says, or has said; the row tells the end where nobody else does."""
        while True:
            is_given = await self._log.is_being_given(answer_id)  # before reading: what was said last is read below
            pieces = await self._log.read(answer_id, after)
            for piece in pieces:
                after = piece.number
                yield piece
                if piece.name in LAST:
                    return
            if not pieces and not is_given:
                yield await self._end_of(actor, answer_id, after + 1)
                return
            if not pieces:
                await asyncio.sleep(READ_INTERVAL)

    async def _break_off(self, answer_id: UUID) -> None:
        """The process that gave it was killed: keep what others heard of it."""
        said, number = "", 0
        while pieces := await self._log.read(answer_id, number):
            number = pieces[-1].number
            said += "".join(json.loads(piece.data)["delta"] for piece in pieces if piece.name == EVENTS[TokenEvent])
        await self._keep(answer_id, _failed(BROKEN_OFF, answer=said))

    async def _end_of(self, actor: Principal, answer_id: UUID, number: int) -> Piece:
        answer = await self.get(actor, answer_id)
        if answer.status == AnswerStatus.RUNNING:
            await self._break_off(answer_id)
            return Piece(number, "error", BROKEN_OFF.model_dump_json())
        if answer.error is not None:
            return Piece(number, "error", ErrorEvent.model_validate(answer.error).model_dump_json())
        return Piece(number, "done", QueryResult.model_validate(answer).model_dump_json())


def _columns(result: QueryResult) -> dict[str, Any]:
    return result.model_dump(mode="json", exclude={"id", "explanation"})


def _failed(error: ErrorEvent, **said: Any) -> dict[str, Any]:
    return {"status": AnswerStatus.FAILED, "error": error.model_dump(), **said}
