"""Candidates: what may become memories. Their owner accepts, edits or drops them, or has set that all are accepted."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder
from app.errors import Conflict, NotFound
from app.models import CandidateStatus, Memory, MemoryCandidate, Message, Precision
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.memory_filters import MemoryFilter
from app.schemas.candidates import CandidateUpdate
from app.schemas.memories import MemoryCreate, MemoryLinks, PersonByName
from app.schemas.moments import Moment
from app.services.memory_changes import add_memory, keep_merged
from app.services.memory_views import MemoryView, title_of
from app.services.moments import moment_of, span_of, zone_of
from app.services.people import find_or_add, folded
from app.services.recall import people_named
from app.services.remembering import wish_in
from app.services.time_sense import read_times
from app.services.versions import Versions, require_version

ALIKE: Final = 0.93  # cosine of what says the same; of two names or numbers in the same sentence it is less
COMPARED: Final = 1000  # memories of the same time
CONVERSATION: Final = "conversation"
ACCEPT: Final = "accept"  # the setting `remember` with which nobody is asked


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something to remember, from messages of a room; `start` is when it was, on the owner's clock."""

    content: str
    start: Moment
    people: Sequence[str]
    session_id: UUID
    message_ids: Sequence[UUID]
    by: str  # the person, or the language model


class CandidateService:
    def __init__(self, uow: OpenUnitOfWork, embedder: Embedder) -> None:
        self._uow = uow
        self._embedder = embedder

    async def list(
        self, actor: Principal, *, status: CandidateStatus, before: UUID | None, limit: int
    ) -> Sequence[MemoryCandidate]:
        """The actor's own, the newest first."""
        async with self._uow(is_reading=True) as uow:
            return await uow.candidates.list_owned(actor.user_id, status=status, before=before, limit=limit)

    async def get(self, actor: Principal, candidate_id: UUID) -> MemoryCandidate:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return _there(await uow.candidates.get_owned(actor.user_id, candidate_id), candidate_id)

    async def update(
        self, actor: Principal, candidate_id: UUID, changes: CandidateUpdate, *, expected: Versions | None
    ) -> MemoryCandidate:
        """Before it is accepted. What says the same is looked for anew.

        Raises:
            NotFound, PreconditionFailed
            Conflict: it was accepted or dropped.
            ServiceUnavailable: the embedding model does not answer.
        """
        candidate = await self.get(actor, candidate_id)
        content = candidate.content if changes.content is None else changes.content
        vector = await self._vector(content)
        async with self._uow() as uow:
            candidate = await _proposed(uow, actor, candidate_id)
            require_version(candidate, expected)
            candidate.content = content
            candidate.title = changes.title or (candidate.title if changes.content is None else title_of(content))
            if changes.people is not None:
                candidate.people = list(changes.people)
            if changes.occurred_at is not None:
                _set_time(candidate, changes.occurred_at, await _clock(uow, actor.user_id))
            candidate.duplicate_of = await self._duplicate(uow, candidate, vector)
            await uow.flush()
            return candidate

    async def accept(self, actor: Principal, candidate_id: UUID, *, merge: bool) -> MemoryView:
        """Make it a memory; or `merge` it into the one that says the same of the same time.

        Raises:
            NotFound
            Conflict: it was accepted or dropped.
        """
        try:
            async with self._uow() as uow:
                candidate = await _proposed(uow, actor, candidate_id)
                return await _accept(uow, actor, candidate, merge=merge)
        except IntegrityError as error:
            raise NotFound("Something that this memory names is gone.") from error

    async def drop(self, actor: Principal, candidate_id: UUID) -> None:
        """The same is not proposed again. Raises NotFound. Conflict: it was accepted."""
        async with self._uow() as uow:
            candidate = _there(await uow.candidates.lock_owned(actor.user_id, candidate_id), candidate_id)
            if candidate.status == CandidateStatus.ACCEPTED:
                raise Conflict("It has become a memory: delete that.", memory_id=str(candidate.memory_id))
            candidate.status = CandidateStatus.DROPPED

    async def note(self, session_id: UUID, message_id: UUID) -> Mapping[str, Any]:
        """What a message asks to remember becomes a candidate of whoever said it. Safe to run again.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        async with self._uow() as uow:
            message = await uow.messages.get(session_id, message_id)
            what = wish_in(message.text) if message else None
            if message is None or message.user_id is None or what is None:
                return {"candidate_id": None}  # it was deleted or edited meanwhile
            zone = await _clock(uow, message.user_id)
            named = await people_named(uow, message.user_id, what)
        people = [one.people[0].name for one in named if one.is_sure and len(one.people) == 1]
        start = _time_of(what, message, zone)
        proposal = Proposal(what, start, people, session_id, [message_id], by="person")
        candidate = await self.propose(message.user_id, message.user_name, proposal)
        return {"candidate_id": str(candidate.id) if candidate else None}

    async def propose(self, owner_id: UUID, name: str, proposal: Proposal) -> MemoryCandidate | None:
        """A candidate, or at once a memory where its owner has set that; None where it was proposed before.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        vector = await self._vector(proposal.content)
        async with self._uow() as uow:
            user = await uow.users.get(owner_id)
            if user is None:
                return None
            draft = _draft(owner_id, proposal, zone_of(user.settings.get("timezone")))
            draft.duplicate_of = await self._duplicate(uow, draft, vector)
            candidate = await uow.candidates.add(draft)
            if candidate is not None and user.settings.get("remember") == ACCEPT:
                await _accept(uow, Principal(owner_id, name), candidate, merge=True)
            return candidate

    async def _vector(self, content: str) -> FloatArray:
        return await self._embedder.embed_query(content)

    async def _duplicate(self, uow: UnitOfWork, candidate: MemoryCandidate, vector: FloatArray) -> UUID | None:
        """A memory of the owner's that says the same of the same time: what differs in either is kept beside it."""
        same_time = MemoryFilter(is_mine=True, wall_from=candidate.begins, wall_before=candidate.ends)
        ids = (await uow.recall.list_narrowed(candidate.owner_id, same_time))[:COMPARED]
        there = await uow.memories.get_many_visible(candidate.owner_id, ids)
        said = folded(candidate.content)
        alike = next((one for one, memory in there.items() if folded(memory.content) == said), None)
        if alike is not None or not ids:
            return alike
        likeness = await uow.recall.likeness(candidate.owner_id, ids, vector.tolist(), self._embedder.model)
        best = max(likeness, key=lambda one: likeness[one], default=None)
        if best is None or likeness[best] < ALIKE or _numbers(there[best].content) != _numbers(candidate.content):
            return None
        return best


async def _accept(uow: UnitOfWork, actor: Principal, candidate: MemoryCandidate, *, merge: bool) -> MemoryView:
    memory = None
    if merge and candidate.duplicate_of is not None:
        memory = await uow.memories.lock_owned(actor.user_id, candidate.duplicate_of)
    view = await _merged(uow, actor, memory, candidate) if memory else await _made(uow, actor, candidate)
    candidate.status, candidate.memory_id = CandidateStatus.ACCEPTED, view.id
    await uow.flush()
    return view


async def _merged(uow: UnitOfWork, actor: Principal, memory: Memory, candidate: MemoryCandidate) -> MemoryView:
    """The memory stays as it is, and gets the people, and where the candidate came from."""
    people = await find_or_add(uow, actor.user_id, [PersonByName(name=name) for name in candidate.people])
    await uow.memories.add_people(memory.id, people)
    kept = memory.source.get("merged", [])
    memory.source = {**memory.source, "merged": [*kept, candidate.source]}
    return await keep_merged(uow, actor, memory)


async def _made(uow: UnitOfWork, actor: Principal, candidate: MemoryCandidate) -> MemoryView:
    precision = Precision(candidate.precision)
    messages = [UUID(one) for one in candidate.source["ids"].get("message_ids", [])]
    seen = await uow.memories.list_seen_messages(actor.user_id, messages)
    data = MemoryCreate(
        title=candidate.title,
        content=candidate.content,
        occurred_at=moment_of(candidate.occurred_at, candidate.begins, precision),
        precision=precision,
        people=[PersonByName(name=name) for name in candidate.people],
        links=MemoryLinks(message_ids=list(seen)),
    )
    return await add_memory(uow, actor, data, source=candidate.source)


def _draft(owner_id: UUID, proposal: Proposal, zone: tzinfo) -> MemoryCandidate:
    ids = {"session_id": str(proposal.session_id), "message_ids": [str(one) for one in proposal.message_ids]}
    candidate = MemoryCandidate(
        id=uuid7(),
        owner_id=owner_id,
        status=CandidateStatus.PROPOSED,
        title=title_of(proposal.content),
        content=proposal.content,
        people=list(proposal.people),
        source={"kind": CONVERSATION, "ids": ids, "by": proposal.by},
    )
    _set_time(candidate, proposal.start, zone)
    told = f"{proposal.session_id} {folded(proposal.content)} {candidate.begins.isoformat()}"
    candidate.fingerprint = hashlib.sha256(told.encode()).hexdigest()
    return candidate


def _set_time(candidate: MemoryCandidate, start: Moment, zone: tzinfo) -> None:
    span = span_of(start, None, None, zone)
    candidate.occurred_at, candidate.occurred_end = span.occurred_at, span.occurred_end
    candidate.precision, candidate.begins, candidate.ends = span.precision, span.begins, span.ends


def _time_of(what: str, message: Message, zone: tzinfo) -> Moment:
    """The day, the month or the year that is said; else the day on which it was said."""
    spoken = message.created_at.astimezone(zone).replace(tzinfo=None)
    sure = [time for time in read_times(what, spoken) if time.is_sure]
    if len(sure) == 1:
        days = (sure[0].end - sure[0].start).days
        if days in (1, 28, 29, 30, 31, 365, 366):
            precision = Precision.DAY if days == 1 else Precision.MONTH if days < 32 else Precision.YEAR
            return Moment(sure[0].start, None, precision)
    return Moment(spoken, None, Precision.DAY)


def _numbers(text: str) -> frozenset[str]:
    return frozenset("".join(sign if sign.isdigit() else " " for sign in text).split())


async def _clock(uow: UnitOfWork, user_id: UUID) -> tzinfo:
    user = await uow.users.get(user_id)
    return zone_of(user.settings.get("timezone")) if user else UTC


async def _proposed(uow: UnitOfWork, actor: Principal, candidate_id: UUID) -> MemoryCandidate:
    """The candidate, locked."""
    candidate = _there(await uow.candidates.lock_owned(actor.user_id, candidate_id), candidate_id)
    if candidate.status != CandidateStatus.PROPOSED:
        raise Conflict(f"It was {candidate.status} already.", candidate_id=str(candidate_id))
    return candidate


def _there(candidate: MemoryCandidate | None, candidate_id: UUID) -> MemoryCandidate:
    if candidate is None:
        raise NotFound("Candidate not found", candidate_id=str(candidate_id))
    return candidate


def said_at(message: Message, zone: tzinfo) -> datetime:
    return message.created_at.astimezone(zone).replace(tzinfo=None)
