"""The AI participant of a room: knows what all there may see, speaks while it thinks, and says it once."""

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from app.adapters.engines import Asked
from app.errors import AppError, RateLimited, ServiceUnavailable
from app.events import Citation, EphemeralEvent, Frame, SpiritThinking, SpiritToken
from app.models import Message, Session, Task
from app.permissions import Principal
from app.realtime.hub import Hub
from app.realtime.state import AnswerState
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.schemas.query import QueryResult, TokenEvent
from app.schemas.search import SearchFields
from app.schemas.tasks import AnswerMessageParams
from app.services.answers import AnswerService, Inquiry
from app.services.chat import Answer, ChatService
from app.services.citations import without_markers
from app.services.metering import asker_of
from app.services.prompts import converse
from app.services.running_tasks import RunningTask
from app.services.summaries import Recollection, SummaryService
from app.services.task_endings import TaskWasCancelled
from app.settings import ChatSettings

log = structlog.get_logger(__name__)

ATTEMPTS = 3  # then the room is told that there will be no answer
TOKEN_INTERVAL = 0.05  # seconds between two pieces that are announced, at least
UNFINISHED = "\u2026"
NOTHING_FITS = (
    "I found nothing about that in the documents of this room. I can quote what they say: ask me about something in "
    "them."
)
HELD_BACK = (
    "Not everybody who may follow this room may see its project's documents, so I leave them out. A host can share "
    "them with the room."
)
NO_ANSWER = "I cannot answer at the moment. Please ask me again later."
NO_TOKENS = "{name} has used up what the language model may cost. There is more in {time}."
BUT_QUOTED = "Until then I quote what the documents say:"


@dataclass(frozen=True, slots=True)
class Call:
    """A message that the spirit is to answer, and what was said before it.

    `asker` is whom the language model's tokens are charged to. `reader`: a member of the room's project, if everybody
    who may follow the room may see the project's documents.
    """

    asker: Principal
    room: Session
    message: Message
    reader: UUID | None
    before: Recollection


class SpiritService:
    def __init__(
        self,
        uow: OpenUnitOfWork,
        hub: Hub,
        answers: AnswerService,
        chat: ChatService,
        summaries: SummaryService,
        state: AnswerState,
        settings: ChatSettings,
        *,
        guests_for: timedelta,
    ) -> None:
        self._uow = uow
        self._hub = hub
        self._answers = answers
        self._chat = chat
        self._summaries = summaries
        self._state = state
        self._settings = settings
        self._guests_for = guests_for
        self._mention = re.compile(rf"@{re.escape(settings.spirit_name)}\b[,:]?", re.IGNORECASE)

    async def answer(
        self, task: RunningTask, session_id: UUID, message_id: UUID, *, key_id: UUID | None = None
    ) -> Mapping[str, Any]:
        """Answer a message of a room, sent with the API key `key_id` perhaps. Run again, it still answers once.

        A person's stop posts what was said so far; a worker that stops leaves the answer to another one.

        Raises:
            ServiceUnavailable: a model does not answer, and another attempt may help.
        """
        call = await self._call(session_id, message_id, key_id)
        if call is None:
            return {"message_id": None}  # the room was removed or closed, or the message is gone
        voice = Voice(session_id, message_id, self._hub, self._state)
        try:
            async with voice.speaking():
                answer = await self._speak(call, voice)
        except asyncio.CancelledError:
            if await self._was_stopped(task):
                await self._post(call, voice, _part(voice.said))
            raise
        except Exception as error:
            if task.attempt < ATTEMPTS:
                raise
            log.warning("spirit.no_answer", session_id=str(session_id), error=repr(error))
            reason = error.message if isinstance(error, ServiceUnavailable) else ""
            answer = Answer(f"{NO_ANSWER} {reason}".strip())
        posting = asyncio.ensure_future(self._post(call, voice, answer))
        return await asyncio.shield(posting)  # a stop at this moment comes too late: what was said is said

    async def abandon(self, uow: UnitOfWork, task: Task, error: AppError) -> None:
        """Mark the half answer of a task that ends although nobody works on it: its worker was killed.

        A task that was stopped before it began needs no answer.
        """
        params = AnswerMessageParams.model_validate(task.params)
        so_far = await self._state.get(params.session_id) if task.attempts else None
        is_stopped = isinstance(error, TaskWasCancelled)
        said = so_far.text if so_far and so_far.in_reply_to == params.message_id else ""
        if task.attempts and (said or not is_stopped):
            answer = _part(said) if said else Answer(NO_ANSWER)
            await self._chat.add_spirit(uow, params.session_id, answer, in_reply_to=params.message_id)
            await self._state.clear(params.session_id)

    async def _call(self, session_id: UUID, message_id: UUID, key_id: UUID | None) -> Call | None:
        async with self._uow() as uow:
            room = await uow.sessions.get(session_id)
            message = await uow.messages.get(session_id, message_id)
            if room is None or not room.is_active or message is None or message.deleted_at is not None:
                return None
            asker = await asker_of(uow, message.user_id or room.owner_id, key_id)
            reader = await uow.sessions.get_reader_for_all(session_id, guests_for=self._guests_for)
        before = await self._summaries.recall(session_id, before_seq=message.seq)
        return Call(asker, room, message, reader, before)

    async def _speak(self, call: Call, voice: "Voice") -> Answer:
        """The whole answer, when all of it was said."""
        question = self._mention.sub("", call.message.text).strip() or call.message.text
        inquiry = await self._look_up(call, question)
        try:
            await self._answers.require_tokens(call.asker)
        except RateLimited as error:
            return await self._quote(call, inquiry, voice, no_tokens_for=error.retry_after)
        if not inquiry.passages and not self._answers.converses:
            return Answer(NOTHING_FITS if call.reader else HELD_BACK)
        spoken = f"{call.message.user_name}: {question}"
        asked = converse(self._settings.spirit_name, inquiry.passages, spoken, call.before.turns)
        return Answer(*await self._tell(call, inquiry, asked, voice))

    async def _quote(self, call: Call, inquiry: Inquiry, voice: "Voice", *, no_tokens_for: timedelta) -> Answer:
        """What the documents say, since the asker has used up the language model."""
        said = NO_TOKENS.format(name=call.message.user_name, time=_in_words(no_tokens_for))
        if not inquiry.passages:
            return Answer(said)
        said = f"{said} {BUT_QUOTED}\n\n"
        voice.say(said)
        quoted, citations = await self._tell(call, inquiry, None, voice)
        return Answer(said + quoted, citations)

    async def _tell(
        self, call: Call, inquiry: Inquiry, asked: Asked | None, voice: "Voice"
    ) -> tuple[str, Sequence[Citation]]:
        async with contextlib.aclosing(self._answers.tell(call.asker, inquiry, asked)) as parts:
            async for part in parts:
                if isinstance(part, TokenEvent):
                    voice.say(part.delta)
                elif isinstance(part, QueryResult):
                    return part.answer, part.citations
        raise AssertionError("an answer ends with its result")

    async def _look_up(self, call: Call, question: str) -> Inquiry:
        """In the room's project alone, and there only if all who may follow the room may see it."""
        projects = [call.room.project_id] if call.reader else []
        fields = SearchFields().model_copy(update={"project_ids": projects})
        reader = call.reader or call.asker.user_id
        return await self._answers.look_up(reader, question, fields, said=call.before.said, asker=call.asker)

    async def _was_stopped(self, task: RunningTask) -> bool:
        """Whether somebody wants no more of it; else the worker stops, or has lost the task."""
        async with self._uow() as uow:
            now = await uow.tasks.get(task.id)
        return now is not None and now.cancel_requested and now.fence == task.fence

    async def _post(self, call: Call, voice: "Voice", answer: Answer) -> Mapping[str, Any]:
        message = await self._chat.post_spirit(voice.session_id, answer, in_reply_to=voice.in_reply_to)
        await voice.end()
        await self._summaries.plan(call.room, call.asker)
        return {"message_id": str(message.id) if message else None}


def _part(said: str) -> Answer:
    """As far as it came."""
    return Answer(without_markers(said).rstrip() + UNFINISHED, is_partial=True)


def _in_words(time: timedelta) -> str:
    minutes = math.ceil(time.total_seconds() / 60)
    hours = math.ceil(minutes / 60)
    if minutes > 90:
        return f"{hours} hours"
    return f"{minutes} minutes" if minutes > 1 else "a minute"


class Voice:
    """Tells the room what is being said, in pieces that are not too many.

    One task of its own talks to Redis, and is asked to end instead of being cancelled: redis-py can swallow that.
    """

    def __init__(self, session_id: UUID, in_reply_to: UUID, hub: Hub, state: AnswerState) -> None:
        self.session_id = session_id
        self.in_reply_to = in_reply_to
        self.said = ""
        self._told = 0  # code points of `said`
        self._more = asyncio.Event()
        self._over = asyncio.Event()
        self._hub = hub
        self._state = state

    @contextlib.asynccontextmanager
    async def speaking(self) -> AsyncIterator[None]:
        """Announce that an answer is under way, and tell what is said within the block."""
        self._announce(SpiritThinking(session_id=self.session_id, in_reply_to=self.in_reply_to))
        telling = asyncio.create_task(self._tell_until_over())
        try:
            yield
        finally:
            self._over.set()
            self._more.set()
            await telling

    def say(self, delta: str) -> None:
        self.said += delta
        self._more.set()

    async def end(self) -> None:
        """The answer is in the room, so that nobody needs to be told what was said so far."""
        await self._state.clear(self.session_id)

    async def _tell_until_over(self) -> None:
        await self._state.clear(self.session_id)  # what an earlier attempt said
        while not self._over.is_set():
            await self._more.wait()
            self._more.clear()
            await self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TOKEN_INTERVAL):
                    await self._over.wait()
        await self._tell()

    async def _tell(self) -> None:
        delta = self.said[self._told :]
        if not delta:
            return
        self._told = len(self.said)
        offset = await self._state.append(self.session_id, self.in_reply_to, delta)
        self._announce(
            SpiritToken(session_id=self.session_id, in_reply_to=self.in_reply_to, delta=delta, offset=offset)
        )

    def _announce(self, event: EphemeralEvent) -> None:
        self._hub.publish(Frame(self.session_id, None, event.model_dump_json()))
