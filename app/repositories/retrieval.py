"""The hybrid search over what the caller may see; its statements are in `ranking.py`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector import SparseVector
from sqlalchemy.ext.asyncio import AsyncSession

from app.repositories.ranking import (
    EXCERPTS,
    IN_FEW_DOCUMENTS,
    IN_MANY_DOCUMENTS,
    IN_PROJECTS,
    MIRRORED_SCAN,
    MIRRORED_WALK,
    REACH,
    SCAN,
    WALK,
    hybrid,
    prepared,
)

LARGEST_SCAN = 40_000  # passages that are compared one by one; above, the vector index is walked
MOST_LISTED = 5_000  # documents of a narrow scope that are named one by one
WIDEST_WALK = 1000  # neighbours that it keeps in sight, the most that pgvector allows
LONGEST_WALK = 40_000  # passages the walk may visit before it gives up on a narrow scope
POOL = 8  # times as many passages as they name themselves, the other legs offer to the sparse one
MOST_NAMED = 15_000  # passages that the words of a question may name, where not all are compared
MOST_IMPLIED = 10_000  # passages that words may name beside these which the question only implies
TERM_IDS = 1_000_000_000  # dimensions of `terms`, the most that a sparsevec has; ids begin at 1
MOST_WAITING = 500  # documents that another store has not been told of; with more, it is not asked
EXPANSION_SIZE = 30_522  # dimensions of `expansion`
ALL_PASSAGES = 0  # the term that every passage has


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: what `user_id` is a member of, further narrowed by whatever is not None.

    `metadata` holds keys that a document's metadata must have with equal values; `condition` is a predicate on the
    metadata in SQL's JSON path language, with variables whose values are in `operands`.
    """

    user_id: UUID
    project_ids: Sequence[UUID] | None = None
    document_ids: Sequence[UUID] | None = None
    media_type: str | None = None
    metadata: Mapping[str, Any] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    condition: str | None = None
    operands: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_narrowed(self) -> bool:
        """Whether it tells documents of one project apart."""
        apart = (self.document_ids, self.media_type, self.metadata, self.created_from, self.created_before)
        return self.condition is not None or any(one is not None for one in apart)


@dataclass(frozen=True, slots=True)
class Weights:
    """What each leg counts in the score; a leg of 0 is left out."""

    dense: float = 1.0
    text: float = 1.0
    sparse: float = 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What to search for: a normalised vector by `model`, the ids of the question's words, and the weights of the word
    pieces that it speaks of by their ids, from 0; `candidates` is how deep each leg goes. `implied_ids` are words among
    these pieces, the strongest first: they help to find what speaks of the same.
    """

    vector: Sequence[float]
    model: str
    candidates: int
    term_ids: Sequence[int] = ()
    expansion: Mapping[int, float] = field(default_factory=dict)
    weights: Weights = Weights()
    implied_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found, with its `score` of 0 to 1 within this search.

    `dense` (cosine), `rank` (BM25) and `sparse` (inner product) are raw, None where a leg has nothing to say. `places`
    is its rank in each leg that named it. Where the `source` is memories, `document_id` and `title` are a memory's, and
    `heading` says when it was; `met` are words of the question that it meets by when it was, and with whom.
    """

    id: UUID
    document_id: UUID
    title: str
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    score: float
    dense: float | None
    rank: float | None
    sparse: float | None = None
    places: Mapping[str, int] = field(default_factory=dict)
    rerank: float | None = None
    source: str = "documents"
    met: frozenset[str] = frozenset()

    @property
    def memory_id(self) -> UUID | None:
        return self.document_id if self.source == "memories" else None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a document's text, in code points."""

    document_id: UUID
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What an excerpt says, and the page that it begins on, where there are pages."""

    text: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Reach:
    """What a search looks at; beyond LARGEST_SCAN, `passages` are not counted to the end.

    `state` and `counts` are the same as long as nothing changes there; `state` is None where there is too much. A
    narrow scope of few documents `is_listed`: it names them.
    """

    scope: Scope
    passages: int
    counts: Mapping[int, int]
    state: int | None = None
    is_listed: bool = False

    @property
    def is_scanned(self) -> bool:
        return self.passages <= LARGEST_SCAN


@dataclass(frozen=True, slots=True)
class Proposal:
    """Passages that another store names, and the documents that it had to be told of when it was asked."""

    ids: Sequence[UUID]
    untold_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best `matches`, best first, out of so many `passages` (see `Reach`).

    `counts` is how many passages have each of the words looked for, and `named` how many each leg named of `matches`.
    `is_mirrored`: another store named the nearest; `fallback` says why one that there is did not.
    """

    matches: Sequence[Match]
    passages: int
    counts: Mapping[int, int]
    is_mirrored: bool = False
    fallback: str | None = None

    @property
    def named(self) -> Mapping[str, int]:
        return Counter(leg for match in self.matches for leg in match.places)


class RetrievalRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def search(self, scope: Scope, probe: Probe, *, limit: int, rarity: Callable[[int, int], float]) -> Ranking:
        """`reach` and `rank` at once."""
        return await self.rank(await self.reach(scope, probe), probe, limit=limit, rarity=rarity)

    async def rank(
        self,
        reach: Reach,
        probe: Probe,
        *,
        limit: int,
        rarity: Callable[[int, int], float],
        proposal: Proposal | None = None,
    ) -> Ranking:
        """The best passages within `reach`, best first; in the transaction that `reach` comes from.

        `rarity` weighs a word by how many passages there are and how many have it. Of a `proposal` only what
        is within `reach` counts; without one the vectors of all are compared here.
        """
        if reach.passages == 0:
            return Ranking([], 0, reach.counts)
        many = IN_MANY_DOCUMENTS if reach.scope.is_narrowed else IN_PROJECTS
        scan, walk = (SCAN, WALK) if proposal is None else (MIRRORED_SCAN, MIRRORED_WALK)
        statement = hybrid(
            scan if reach.is_scanned else walk,
            IN_FEW_DOCUMENTS if reach.is_listed else many,
            probe.model,
            len(probe.vector),
        )
        parameters = dict(parameters_of(reach, probe, limit, rarity))
        if proposal is not None:
            named = {"nearest_ids": proposal.ids, "untold_ids": proposal.untold_ids}
            parameters |= {**named, "most_waiting": MOST_WAITING}
        rows = await self._session.execute(statement, parameters)
        return Ranking([Match(*row) for row in rows], reach.passages, reach.counts, is_mirrored=proposal is not None)

    async def reach(self, scope: Scope, probe: Probe) -> Reach:
        """What of `scope` there is for `user_id`. Sets planner options for the rest of the transaction."""
        asked = {
            "enough": LARGEST_SCAN + 1,
            "few": MOST_LISTED,
            "longest_walk": str(LONGEST_WALK),
            "ef_search": str(min(POOL * probe.candidates, WIDEST_WALK)),
            "is_narrowed": scope.is_narrowed,
            "term_ids": [ALL_PASSAGES, *probe.term_ids, *probe.implied_ids],
        }
        *_, visible, passages, document_ids, state, counts = (
            await self._session.execute(prepared(REACH), {**_fields(scope), **asked})
        ).one()
        counted = replace(scope, project_ids=visible if scope.project_ids is None else scope.project_ids)
        is_listed = document_ids is not None and passages <= LARGEST_SCAN
        if is_listed:
            counted = replace(counted, document_ids=document_ids)
        having = {int(term_id): passages for term_id, passages in (counts or {}).items()}
        return Reach(counted, passages, having, state, is_listed)

    async def read_excerpts(self, excerpts: Sequence[Excerpt]) -> Sequence[Reading | None]:
        """What stands there now, in the order asked for; None where the document is gone."""
        parameters = {
            "document_ids": [excerpt.document_id for excerpt in excerpts],
            "starts": [excerpt.char_start for excerpt in excerpts],
            "ends": [excerpt.char_end for excerpt in excerpts],
        }
        rows = await self._session.execute(prepared(EXCERPTS), parameters)
        found = {number: Reading(text, page) for number, text, page in rows}
        return [found.get(number) for number, _ in enumerate(excerpts, start=1)]


def parameters_of(reach: Reach, probe: Probe, limit: int, rarity: Callable[[int, int], float]) -> Mapping[str, Any]:
    return {**_fields(reach.scope), **legs_parameters(probe, reach.counts, limit, rarity)}


def legs_parameters(
    probe: Probe, counts: Mapping[int, int], limit: int, rarity: Callable[[int, int], float]
) -> dict[str, Any]:
    """What the legs are asked with, whatever they look at."""
    passages = counts.get(ALL_PASSAGES, 0)
    weights = {one - 1: rarity(passages, counts.get(one, 0)) for one in probe.term_ids}
    return {
        "vector": probe.vector,
        "terms": SparseVector(weights, TERM_IDS),
        "expansion": SparseVector(dict(probe.expansion), EXPANSION_SIZE),
        "naming_ids": naming(probe, counts),
        "dense_weight": probe.weights.dense,
        "text_weight": probe.weights.text,
        "sparse_weight": probe.weights.sparse,
        "candidates": probe.candidates,
        "pool": POOL * probe.candidates,
        "limit": limit,
    }


def naming(probe: Probe, counts: Mapping[int, int]) -> list[int]:
    """The question's rarest words, and the strongest of those that it implies, as far as they do not name too many."""
    own = _rarest(probe.term_ids, counts)
    implied: list[int] = []
    named = 0
    for term_id in probe.implied_ids:
        if term_id not in own and 0 < counts.get(term_id, 0) <= MOST_IMPLIED - named:
            named += counts[term_id]
            implied.append(term_id)
    return [*own, *implied]


def _rarest(term_ids: Sequence[int], counts: Mapping[int, int]) -> list[int]:
    """The rarest terms that together name no more than MOST_NAMED passages, but at least the rarest that any has."""
    chosen: list[int] = []
    named = 0
    for term_id in sorted((one for one in term_ids if counts.get(one, 0) > 0), key=lambda one: counts[one]):
        named += counts[term_id]
        if chosen and named > MOST_NAMED:
            break
        chosen.append(term_id)
    return chosen


def _fields(scope: Scope) -> dict[str, Any]:
    """As `asdict`, without copies."""
    return {field.name: getattr(scope, field.name) for field in fields(scope)}
