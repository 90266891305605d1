"""Answers questions from documents, and says where it stands: with a language model, or by quoting."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.batching import FloatArray
from app.adapters.engines import AnswerEngine, Asked
from app.adapters.llm import Delta, LanguageModel, TokenUsage, Turn
from app.errors import RateLimited, ServiceUnavailable
from app.models import Message
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.schemas.query import (
    CitationsEvent,
    QueryRequest,
    QueryResult,
    RetrievedEvent,
    RetrievedHit,
    TokenEvent,
    UsageRead,
)
from app.schemas.search import MAX_QUESTION_LENGTH, Explanation, SearchFields
from app.services.answerability import answers_question
from app.services.citations import Citations, Cited, MarkerFilter
from app.services.evidence import Evidence, Passage, choose_further, choose_passages, choose_quotations
from app.services.explanations import explain_choice
from app.services.interruption import until
from app.services.limits import LimitService
from app.services.metering import metered
from app.services.prompts import MOST_CHARACTERS, answer_from, last_question, turns_of
from app.services.quoting import quoted_answer
from app.services.retrieval import Found, RetrievalService, milliseconds_since
from app.services.rewriting import standalone_question
from app.services.sessions import visible_room

QUOTING = "hearth-extractive"
QUOTED_PASSAGES = 10  # that are looked through for sentences
MOST_CITATIONS = 5  # where there is no language model

AnswerPart = RetrievedEvent | TokenEvent | CitationsEvent | QueryResult
NO_USAGE = TokenUsage(0, 0)

_REFERS_BACK = re.compile(
    r"\b(?:its?|he|him|his|she|hers?|they|them|theirs?|this|that|these|those|there)\b|^(?:and|what about|how about)\b",
    re.IGNORECASE,
)


_Telling = AsyncGenerator[TokenEvent | QueryResult, None]
_Speaking = AsyncGenerator[Delta | TokenUsage, None]


@dataclass(slots=True)
class Inquiry:
    """A question, and the passages it can be answered from, if any. Setting `stop` ends its answer where it is."""

    question: str
    passages: Sequence[Passage]
    vector: FloatArray
    timings_ms: dict[str, float]
    started: float  # reading of time.perf_counter
    explanation: Explanation | None = None
    lap_started: float = field(default_factory=time.perf_counter)
    id: UUID = field(default_factory=uuid7)  # of the answer
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def lap(self, stage: str) -> None:
        """The stage ends here, and another one begins."""
        self.timings_ms[stage] = milliseconds_since(self.lap_started)
        self.lap_started = time.perf_counter()

    def summary(self) -> RetrievedEvent:
        return RetrievedEvent(
            id=self.id,
            items=[
                RetrievedHit(
                    marker=passage.marker,
                    document_id=None if passage.match.memory_id else passage.match.document_id,
                    memory_id=passage.match.memory_id,
                    title=passage.match.title,
                    page=passage.match.page,
                    score=round(passage.match.score, 6),
                )
                for passage in self.passages
            ],
        )


class AnswerService:
    """`llm` is None where no language model is configured, `engine` where nobody answers and passages are quoted."""

    def __init__(
        self,
        uow: OpenUnitOfWork,
        retrieval: RetrievalService,
        evidence: Evidence,
        citations: Citations,
        llm: LanguageModel | None,
        engine: AnswerEngine | None,
        limits: LimitService,
        *,
        history_messages: int,
    ) -> None:
        self._uow = uow
        self._history_messages = history_messages
        self._retrieval = retrieval
        self._evidence = evidence
        self._citations = citations
        self._llm = llm
        self._engine = engine
        self._limits = limits

    @property
    def model(self) -> str:
        """Who answers."""
        return self._engine.name if self._engine else QUOTING

    @property
    def converses(self) -> bool:
        """Whether it can talk about other things than documents."""
        return self._engine is not None

    async def prepare(self, actor: Principal, request: QueryRequest) -> tuple[Inquiry, Asked | None]:
        """What `tell` needs to answer from what the actor may see. No model is asked where nothing bears on it.

        Raises:
            NotFound: there is no such room.
            RateLimited: the actor has no tokens of the language model left.
            ServiceUnavailable: the embedding model does not answer.
        """
        fields, said = await self._conversation(actor, request)
        inquiry = await self.look_up(actor.user_id, request.question, fields, said=said, asker=actor)
        if not inquiry.passages:
            return inquiry, None
        await self.require_tokens(actor)
        return inquiry, answer_from(inquiry.passages, request.question, turns_of(said))

    async def require_tokens(self, asker: Principal) -> None:
        """Raises RateLimited: the asker has no tokens of the language model left. Without a model nobody needs any."""
        if self._llm is not None or self._engine is not None:
            await self._limits.require_tokens(asker)

    async def look_up(
        self,
        user_id: UUID,
        question: str,
        fields: SearchFields,
        *,
        said: Sequence[Message] = (),
        asker: Principal | None = None,
    ) -> Inquiry:
        """Passages to answer from, out of what `user_id` is a member of.

        A question that leans on what was `said` before ("And how high is it?") is made one that stands by itself: by
        the language model, which is charged to the `asker`, or by trying it together with the question before it.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        started = time.perf_counter()
        timings = {}
        if said and asker is not None and self._llm is not None and fields.quality != "draft":
            question = await self._rewrite(self._llm, asker, question, said)
            timings["rewrite"] = milliseconds_since(started)
        found, passages = await self._choose(user_id, question, fields)
        earlier = last_question(said)
        if not passages and earlier and _REFERS_BACK.search(question):
            question = f"{earlier} {question}"[:MAX_QUESTION_LENGTH]
            found, passages = await self._choose(user_id, question, fields)
        explanation = explain_choice(found.explanation, question, found.matches, passages)
        return Inquiry(question, passages, found.vector, {**timings, **found.timings_ms}, started, explanation)

    def tell(self, asker: Principal, inquiry: Inquiry, asked: Asked | None) -> AsyncGenerator[AnswerPart, None]:
        """What the language model says to what is asked; where there is none, or None, the passages are quoted.

        Its tokens are charged to `asker`, also those of an answer that is not heard to its end.

        No database connection is held while the model speaks. Closing the generator stops the model.

        Raises (from the pieces):
            ServiceUnavailable: the embedding model or the language model does not answer.
        """
        if self._engine is not None and asked is not None:
            return _in_order(inquiry, self._talk(self._engine, asker, inquiry, asked))
        return _in_order(inquiry, self._quote(inquiry))

    async def _conversation(self, actor: Principal, request: QueryRequest) -> tuple[SearchFields, Sequence[Message]]:
        """Where to search, and what was said in the room last, the oldest first. Raises NotFound."""
        if request.session_id is None:
            return request, []
        async with self._uow() as uow:
            room = await visible_room(uow, actor, request.session_id)
            said = await uow.messages.list_latest(room.id, before_seq=None, before=None, limit=self._history_messages)
        asked = request.project_ids
        project_ids = [room.project_id] if asked is None or room.project_id in asked else []
        return request.model_copy(update={"project_ids": project_ids}), list(reversed(said))

    async def _choose(self, user_id: UUID, question: str, fields: SearchFields) -> tuple[Found, Sequence[Passage]]:
        found = await self._retrieval.find(user_id, question, fields)
        return found, choose_passages(question, found.matches, most_characters=MOST_CHARACTERS)

    async def _rewrite(self, llm: LanguageModel, asker: Principal, question: str, said: Sequence[Message]) -> str:
        try:
            await self.require_tokens(asker)
        except RateLimited:
            return question

        def stream(turns: Sequence[Turn]) -> _Speaking:
            return self._metered(asker, llm.stream(turns), turns)

        return await standalone_question(stream, question, turns_of(said))

    def _metered(self, asker: Principal, parts: _Speaking, turns: Sequence[Turn]) -> _Speaking:
        return metered(parts, turns, partial(self._limits.charge_tokens, asker))

    async def _talk(self, engine: AnswerEngine, asker: Principal, inquiry: Inquiry, asked: Asked) -> _Telling:
        said, usage = "", NO_USAGE
        markers = MarkerFilter({passage.marker for passage in inquiry.passages})
        speaking = self._metered(asker, engine.stream(asked), asked.turns)
        async with contextlib.aclosing(until(inquiry.stop, speaking)) as parts:
            async for part in parts:
                if isinstance(part, TokenUsage):
                    usage = part
                elif piece := markers.feed(part.text if said else part.text.lstrip()):
                    said += piece
                    yield TokenEvent(delta=piece)
        if rest := markers.finish():
            said += rest
            yield TokenEvent(delta=rest)
        if not said and not inquiry.stop.is_set():
            raise ServiceUnavailable("The language model gave no answer.")
        inquiry.lap("generate")
        cited = await self._citations.cite(inquiry.question, said, inquiry.passages)
        yield _result(inquiry, cited, engine.name, usage)

    async def _quote(self, inquiry: Inquiry) -> _Telling:
        passages = inquiry.passages[:QUOTED_PASSAGES]
        ranked = await self._evidence.rank_sentences(inquiry.question, passages, vector=inquiry.vector)
        inquiry.lap("generate")
        is_found = answers_question(inquiry.question, ranked, inquiry.passages)
        quotations = choose_quotations(ranked)
        further = choose_further(inquiry.question, inquiry.passages, quotations, most=MOST_CITATIONS - len(quotations))
        citations = await self._citations.check([*quotations, *further])
        said, sentences = quoted_answer(citations, {one.passage.marker for one in quotations}, is_found=is_found)
        yield TokenEvent(delta=said)
        cited = Cited(said, citations, sentences)
        yield _result(inquiry, cited, self.model, NO_USAGE, grounded=is_found and bool(citations))


async def _in_order(inquiry: Inquiry, telling: _Telling) -> AsyncGenerator[AnswerPart, None]:
    """Before the tokens what was retrieved, and behind them the citations."""
    yield inquiry.summary()
    async with contextlib.aclosing(telling) as parts:
        async for part in parts:
            if isinstance(part, QueryResult):
                yield CitationsEvent(citations=part.citations, sentences=part.sentences)
            yield part


def _result(
    inquiry: Inquiry, cited: Cited, model: str, usage: TokenUsage, *, grounded: bool | None = None
) -> QueryResult:
    """Grounded is, if nothing else is said, what has a sentence that is borne out."""
    inquiry.lap("cite")
    return QueryResult(
        id=inquiry.id,
        status="stopped" if inquiry.stop.is_set() else "complete",
        answer=cited.answer,
        citations=cited.citations,
        sentences=cited.sentences,
        grounded=any(sentence.supported for sentence in cited.sentences) if grounded is None else grounded,
        model=model,
        usage=UsageRead(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
        ),
        timings_ms={**inquiry.timings_ms, "total": milliseconds_since(inquiry.started)},
        explanation=inquiry.explanation,
    )
