"""Short-lived things that every process has to see: the answer that is being given in a room, and socket tickets."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.gathering import Gathering
from app.permissions import Principal
from app.realtime.outages import REDIS_FAILURES
from app.realtime.scripts import APPEND_TO_ANSWER

log = structlog.get_logger(__name__)

ANSWER_LIFE = timedelta(minutes=2)  # after the last piece
MOST_READ: Final = 100  # that are asked for together
TICKET_LIFE: Final = timedelta(seconds=30)

_principal: TypeAdapter[Principal] = TypeAdapter(Principal)


@dataclass(frozen=True, slots=True)
class AnswerSoFar:
    """What the spirit has said until now in answer to the message `in_reply_to`."""

    in_reply_to: UUID
    text: str

    def contains(self, frame: str) -> bool:
        """Whether the encoded `spirit_token` brings nothing new."""
        if '"spirit_token"' not in frame:
            return False
        token = json.loads(frame)
        offset = token.get("offset")
        return token["in_reply_to"] == str(self.in_reply_to) and offset is not None and offset < len(self.text)


class AnswerState:
    """For those who join a room in the middle of an answer. Best effort: the whole answer comes as a message anyway."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._append = redis.register_script(APPEND_TO_ANSWER)
        self._reading = Gathering(self._read, most=MOST_READ)

    async def append(self, session_id: UUID, in_reply_to: UUID, delta: str) -> int | None:
        """Add the next piece, before it is announced; another `in_reply_to` begins a new answer.

        Returns:
            The piece's offset in the answer, in code points, for `SpiritToken.offset`; None when Redis is away.
        """
        life = str(int(ANSWER_LIFE.total_seconds() * 1000))
        try:
            offset: int = await self._append(
                keys=[self._key(session_id)], args=[str(in_reply_to), delta, str(len(delta)), life]
            )
        except REDIS_FAILURES as error:
            log.warning("answer_state.not_kept", session_id=str(session_id), error=repr(error))
            return None
        return offset

    async def get(self, session_id: UUID) -> AnswerSoFar | None:
        """What was said so far; None when no answer is under way."""
        try:
            in_reply_to, text = await self._reading.ask(session_id)
        except REDIS_FAILURES as error:
            log.warning("answer_state.not_read", session_id=str(session_id), error=repr(error))
            return None
        return AnswerSoFar(UUID(str(in_reply_to)), str(text or "")) if in_reply_to else None

    async def _read(self, session_ids: Sequence[UUID]) -> Sequence[Sequence[str | None]]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for session_id in session_ids:
                pipeline.hmget(self._key(session_id), ["in_reply_to", "text"])
            answers: Sequence[Sequence[str | None]] = await pipeline.execute()
        return answers

    async def clear(self, session_id: UUID) -> None:
        """The answer is complete, was stopped, or begins anew."""
        try:
            await self._redis.delete(self._key(session_id))
        except REDIS_FAILURES as error:
            log.warning("answer_state.not_cleared", session_id=str(session_id), error=repr(error))

    def _key(self, session_id: UUID) -> str:
        return f"{self._prefix}session:{session_id}:answer"


class Tickets:
    """Single-use stand-ins for credentials, for opening a WebSocket from a browser, which can send no header."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def issue(self, principal: Principal) -> str:
        ticket = secrets.token_urlsafe(32)
        await self._redis.set(self._key(ticket), _principal.dump_json(principal).decode(), ex=TICKET_LIFE)
        return ticket

    async def redeem(self, ticket: str) -> Principal | None:
        """Whom the ticket was issued to; None when it was used before, has expired or never was one."""
        stored = await self._redis.getdel(self._key(ticket))
        return None if stored is None else _principal.validate_json(stored)

    def _key(self, ticket: str) -> str:
        return f"{self._prefix}ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
