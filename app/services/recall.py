"""Finds memories: by what they say, and by when and with whom the question says that they happened."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal
from uuid import UUID

from app.events import utc_now
from app.models import Memory, Person
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.memory_filters import MemoryFilter, Mention
from app.repositories.recall import MemoryScope
from app.repositories.retrieval import Match, Probe, Ranking
from app.schemas.search import ReadingRead, SearchFilters
from app.services.evidence import FLOOR, relevance
from app.services.lexicon import question_terms, rarity
from app.services.moments import narrowed_by, zone_of
from app.services.people import folded
from app.services.terms import terms
from app.services.time_sense import EVER, NEVER, AnchorRead, TimeRead, read_anchor, read_times

PREFERENCE: Final = 0.15  # added to the score of what fits something that may be meant
LONGEST_NAME: Final = 4  # words
MOST_NAMES: Final = 200  # runs of words of a question that are looked up
ANCHORS: Final = 3  # memories among which the event is looked for
# Words that are names, too: written small, or at the beginning of a question, they are words.
WORDS_TOO: Final = frozenset(
    """april art august autumn bill bob brook chance charity christian dawn dean drew eve faith frank glen grace grant
    guy harmony hope hunter jack jade jean jewel joy june lance lily mark mason may melody mercy miles nick olive page
    pat patience pearl penny pierce pip ray rich rob robin rose ruby sandy sky skip stone sue summer sunny victor will
    woody""".split()  # noqa: SIM905 - a list would take sixty lines
)
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019.-][^\W_]+)*")

Ask = Callable[[str], Awaitable[Probe]]
Use = Literal["narrowed", "preferred", "dropped"]


@dataclass(frozen=True, slots=True)
class PersonRead:
    """Somebody whom `text` of the question names; not sure where it is a word, too."""

    text: str
    people: Sequence[Person]
    is_sure: bool


@dataclass(slots=True)
class Reading:
    """What a question says about when and with whom. `used` says of each text what was done about it."""

    times: Sequence[TimeRead]
    people: Sequence[PersonRead]
    anchor: AnchorRead | None = None
    anchored: TimeRead | None = None

    @property
    def sure_times(self) -> Sequence[TimeRead]:
        known = [time for time in self.times if time.is_sure]
        return [*known, self.anchored] if self.anchored else known


@dataclass(frozen=True, slots=True)
class Recalled:
    """The best passages of memories, what the question was read as, and what is added to the score of a memory that
    fits something that may be meant.
    """

    ranking: Ranking
    readings: Sequence[ReadingRead]
    bonus: Mapping[UUID, float]


class RecallService:
    """`ask` makes a text into what the legs of a search take; a question without its time is asked once more."""

    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def search(
        self,
        user_id: UUID,
        question: str,
        given: MemoryFilter,
        probe: Probe,
        ask: Ask,
        *,
        project_ids: Sequence[UUID] | None = None,
        limit: int,
    ) -> Recalled:
        """The best memories that `user_id` may see; the question's times and people narrow what is looked at.

        `given` is what the caller asks for by name, `project_ids` where these memories have to lie.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        reading = await self._read(user_id, question, ask, project_ids)
        bare = _without_times(question, reading)
        timeless = probe if bare == question else await ask(bare)
        async with self._uow() as uow:
            for used in _attempts(reading):
                filters = _narrowed(given, reading, used)
                scope = MemoryScope(user_id, filters if filters != MemoryFilter() else None, project_ids)
                asked = timeless if "time" in used else probe
                ranking = await uow.recall.search(scope, asked, limit=limit, rarity=rarity)
                if ranking.matches:
                    break
            ranking = replace(ranking, matches=[replace(one, met=_met(reading, used)) for one in ranking.matches])
            bonus = await _bonus(uow, user_id, reading, ranking.matches)
        return Recalled(ranking, list(_told(reading, used)), bonus)

    async def _read(self, user_id: UUID, question: str, ask: Ask, project_ids: Sequence[UUID] | None) -> Reading:
        async with self._uow() as uow:
            user = await uow.users.get(user_id)
            settings = user.settings if user else {}
            people = await people_named(uow, user_id, question)
        now = _wall_clock(zone_of(settings.get("timezone")))
        language = settings.get("language")
        times = await asyncio.to_thread(read_times, question, now, [language] if language else [])
        reading = Reading(times, [one for one in people if not any(one.text in time.text for time in times)])
        reading.anchor = read_anchor(question, times)
        if reading.anchor is not None:
            reading.anchored = await self._date_of(user_id, reading.anchor, ask, project_ids)
        return reading

    async def _date_of(
        self, user_id: UUID, anchor: AnchorRead, ask: Ask, project_ids: Sequence[UUID] | None
    ) -> TimeRead | None:
        """When the event was, if a memory speaks of it."""
        asked = await ask(anchor.event)
        async with self._uow() as uow:
            scope = MemoryScope(user_id, None, project_ids)
            found = await uow.recall.search(scope, asked, limit=ANCHORS, rarity=rarity)
            best = _fitting(anchor, found.matches)
            if best is None:
                return None
            memory = (await uow.memories.get_many_visible(user_id, [best.document_id])).get(best.document_id)
        return None if memory is None else _span_of(anchor, memory)


def given_by(filters: SearchFilters) -> MemoryFilter:
    """What the caller asks for by name."""
    asked = MemoryFilter(
        created_from=filters.created_from,
        created_before=filters.created_before,
        person_ids=tuple(filters.person_ids or ()),
        location_id=filters.location_id,
        tags=tuple(filters.tags or ()),
        memory_ids=filters.memory_ids,
    )
    return narrowed_by(asked, filters.occurred_from, filters.occurred_before)


def _attempts(reading: Reading) -> Sequence[frozenset[str]]:
    """What narrows: first everything that is sure, then less, where nothing was found that way."""
    known = frozenset(
        kind
        for kind, is_there in (
            ("time", bool(reading.sure_times)),
            ("person", any(one.is_sure for one in reading.people)),
        )
        if is_there
    )
    return list(dict.fromkeys([known, known - {"person"}, known - {"time"}, frozenset[str]()]))


def _narrowed(given: MemoryFilter, reading: Reading, kinds: frozenset[str]) -> MemoryFilter:
    """Within what the caller asks for by name."""
    if "time" in kinds:
        start = max(given.wall_from or EVER, min(time.start for time in reading.sure_times))
        end = min(given.wall_before or NEVER, max(time.end for time in reading.sure_times))
        given = replace(given, wall_from=start, wall_before=end)
    if "person" in kinds:
        given = replace(given, mentions=tuple(_mention(one) for one in reading.people if one.is_sure))
    return given


def _without_times(question: str, reading: Reading) -> str:
    """What is asked besides when: else what repeats its date would come before what answers."""
    bare = question
    for time in reading.sure_times:
        bare = re.sub(
            rf"(?:\b(?:on|in|at|during|of|from)\s+)?{re.escape(time.text)}", " ", bare, count=1, flags=re.IGNORECASE
        )
    return " ".join(bare.split()) if question_terms(bare) else question


def _met(reading: Reading, kinds: frozenset[str]) -> frozenset[str]:
    """Words of the question that whatever was found meets by when it was, and with whom."""
    times = [time.text for time in reading.sure_times] if "time" in kinds else []
    people = [one.text for one in reading.people if one.is_sure] if "person" in kinds else []
    return frozenset(term for text in (*times, *people) for term in terms(text))


def _mention(read: PersonRead) -> Mention:
    names = {tuple(question_terms(name)) for person in read.people for name in (person.name, *person.aliases)}
    return Mention(tuple(person.id for person in read.people), tuple(sorted(name for name in names if name)))


async def _bonus(uow: UnitOfWork, user_id: UUID, reading: Reading, matches: Sequence[Match]) -> Mapping[UUID, float]:
    wanted = [MemoryFilter(wall_from=time.start, wall_before=time.end) for time in reading.times if not time.is_sure]
    wanted += [MemoryFilter(mentions=(_mention(one),)) for one in reading.people if not one.is_sure]
    ids = [match.document_id for match in matches]
    bonus: dict[UUID, float] = {}
    for filters in wanted if ids else ():
        for memory_id in await uow.recall.list_narrowed(user_id, replace(filters, memory_ids=ids)):
            bonus[memory_id] = bonus.get(memory_id, 0.0) + PREFERENCE
    return bonus


async def people_named(uow: UnitOfWork, user_id: UUID, question: str) -> Sequence[PersonRead]:
    """Whom the question names, by the longest names first."""
    runs = list(_runs(question))
    if not runs:
        return []
    known = await uow.people.find_named(user_id, list({folded(run) for _, run in runs}))
    found: list[PersonRead] = []
    taken: set[int] = set()
    for (start, end), run in sorted(runs, key=lambda one: one[0][0] - one[0][1]):
        people = known.get(folded(run), [])
        if people and not taken & set(range(start, end)):
            taken |= set(range(start, end))
            found.append(PersonRead(run, people, _is_name(run, question)))
    return found


def _runs(question: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Up to so many words that stand beside each other, without what makes a name a possessive."""
    words = list(_WORD.finditer(question))
    count = 0
    for length in range(LONGEST_NAME, 0, -1):
        for index in range(len(words) - length + 1):
            start, end = words[index].start(), words[index + length - 1].end()
            count += 1
            if count > MOST_NAMES:
                return
            yield (start, end), re.sub(r"['\u2019]s$", "", question[start:end])


def _is_name(text: str, question: str) -> bool:
    if folded(text) not in WORDS_TOO:
        return True
    return text[:1].isupper() and not question.lstrip().startswith(text)


def _fitting(anchor: AnchorRead, matches: Sequence[Match]) -> Match | None:
    """The first that bears on the event."""
    wanted = terms(anchor.event)
    return next((match for match in matches if wanted and relevance(wanted, match) >= FLOOR), None)


def _span_of(anchor: AnchorRead, memory: Memory) -> TimeRead:
    match anchor.relation:
        case "before":
            return TimeRead(anchor.text, EVER, memory.begins)
        case "after":
            return TimeRead(anchor.text, memory.ends, NEVER)
        case _:
            day = timedelta(days=1)
            first = memory.begins.replace(hour=0, minute=0, second=0, microsecond=0)
            return TimeRead(anchor.text, first, max(memory.ends, first + day))


def _told(reading: Reading, used: frozenset[str]) -> Iterator[ReadingRead]:
    def use(kind: str, *, is_sure: bool) -> Use:
        if not is_sure:
            return "preferred"
        return "narrowed" if kind in used else "dropped"

    for time in reading.times:
        yield _time_told("time", time, use("time", is_sure=time.is_sure))
    if reading.anchored is not None:
        yield _time_told("event", reading.anchored, use("time", is_sure=True))
    elif reading.anchor is not None:
        yield ReadingRead(
            kind="event", text=reading.anchor.text, use="dropped", occurred_from=None, occurred_before=None, names=[]
        )
    for one in reading.people:
        yield ReadingRead(
            kind="person",
            text=one.text,
            use=use("person", is_sure=one.is_sure),
            occurred_from=None,
            occurred_before=None,
            names=[person.name for person in one.people],
        )


def _time_told(kind: Literal["time", "event"], time: TimeRead, use: Use) -> ReadingRead:
    return ReadingRead(
        kind=kind,
        text=time.text,
        use=use,
        occurred_from=None if time.start == EVER else time.start.isoformat(),
        occurred_before=None if time.end == NEVER else time.end.isoformat(),
        names=[],
    )


def _wall_clock(zone: tzinfo) -> datetime:
    return utc_now().astimezone(zone).replace(tzinfo=None)
