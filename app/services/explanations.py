"""Says in words and figures how a search came to its result, and why a document did not come up."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from app.models import Document, DocumentStatus
from app.repositories.retrieval import LARGEST_SCAN, Match, Probe, Ranking
from app.schemas.search import (
    CheckLegRead,
    CutRead,
    DocumentCheck,
    Explanation,
    HitRead,
    LegRead,
    PlaceRead,
    ScoresRead,
    SearchFields,
)
from app.services.evidence import COMPANION_FLOOR, FLOOR, Passage, relevance
from app.services.lexicon import question_terms
from app.services.recall import Recalled
from app.services.terms import terms

SHOWN = 10  # passages of a search unless more are asked for
LEGS = ("dense", "text", "sparse")
MOST_WORDS = 5  # that a reason names


@dataclass(frozen=True, slots=True)
class Checked:
    """A document, what a search finds among all and in it alone, and which of the question's words it has (by ids)."""

    document: Document
    question: str
    everywhere: Sequence[Match]
    own: Sequence[Match]
    words: Mapping[int, str]
    present: Set[int]


def scores_of(match: Match) -> ScoresRead:
    return ScoresRead(dense=match.dense, text=match.rank, sparse=match.sparse, rerank=match.rerank)


def explain(question: str, fields: SearchFields, probe: Probe, ranking: Ranking, recalled: Recalled) -> Explanation:
    """`ranking` goes on behind the passages that are shown; its counts are those of documents."""
    words = question_terms(question)
    weights = {"dense": probe.weights.dense, "text": probe.weights.text, "sparse": probe.weights.sparse}
    return Explanation(
        passages=ranking.passages,
        method="scan" if ranking.passages <= LARGEST_SCAN else "index",
        vector_store="chroma" if ranking.is_mirrored else "pgvector",
        fallback=ranking.fallback,
        candidates=probe.candidates,
        words={
            word: ranking.counts.get(term_id, 0) + recalled.ranking.counts.get(term_id, 0)
            for term_id, word in words.items()
        },
        legs=[LegRead(name=name, weight=weights[name], named=ranking.named.get(name, 0)) for name in LEGS],
        filters=fields.filters.model_dump(mode="json", exclude_none=True),
        readings=recalled.readings,
        memories=recalled.ranking.passages,
        hits=[PlaceRead(**_place(match)) for match in ranking.matches[: fields.top_k]],
        cut=[
            CutRead(**_place(match), reason=f"rank {rank}, and top_k is {fields.top_k}")
            for rank, match in enumerate(ranking.matches[fields.top_k :], start=fields.top_k + 1)
        ],
    )


def explain_choice(
    explanation: Explanation | None, question: str, matches: Sequence[Match], chosen: Sequence[Passage]
) -> Explanation | None:
    """The same for an answer, whose hits are the passages that were `chosen` from those found."""
    if explanation is None:
        return None
    used = {passage.match.id for passage in chosen}
    weighed = [(relevance(terms(question), match), match) for match in matches]
    best = max((weight for weight, _ in weighed), default=0.0)
    left = [
        CutRead(**_place(match), reason=_why_left_out(weight, best))
        for weight, match in weighed
        if match.id not in used
    ]
    hits = [hit for hit in explanation.hits if hit.id in used]
    return explanation.model_copy(update={"hits": hits, "cut": [*left, *explanation.cut]})


def _why_left_out(weight: float, best: float) -> str:
    if best < FLOOR:
        return f"relevance {weight:.2f}; an answer needs a passage of {FLOOR}, and the best has {best:.2f}"
    if weight < COMPANION_FLOOR:
        return f"relevance {weight:.2f}, and answers use passages from {COMPANION_FLOOR} on"
    return f"relevance {weight:.2f}, but there was no room for it behind the passages before it"


def check_result(checked: Checked, passages: Sequence[HitRead]) -> DocumentCheck:
    document = checked.document
    rank = next(
        (rank for rank, match in enumerate(checked.everywhere, start=1) if match.document_id == document.id), None
    )
    best = max((relevance(terms(checked.question), match) for match in checked.own), default=None)
    missing = [word for term_id, word in checked.words.items() if term_id not in checked.present]
    return DocumentCheck(
        document_id=document.id,
        status=document.status,
        found=rank is not None and rank <= SHOWN,
        rank=rank,
        looked_at=len(checked.everywhere),
        relevance=best,
        floor=FLOOR,
        legs=[CheckLegRead(name=name, best_score=_best(checked.own, name)) for name in LEGS],
        missing_words=missing,
        passages=passages,
        reasons=list(_reasons(checked, rank, best, missing)),
    )


def _reasons(checked: Checked, rank: int | None, best: float | None, missing: Sequence[str]) -> Sequence[str]:
    document = checked.document
    reasons: list[str] = []
    if document.status == DocumentStatus.FAILED:
        reasons.append(f"It could not be read: {(document.error or {}).get('message', 'no reason is known')}")
    elif document.status != DocumentStatus.READY:
        reasons.append("It is being read; what was read before, if anything, is what searches find.")
    if not document.chunk_count:
        return [*reasons, "It has no passages that could be found."]
    if rank is None:
        reasons.append(f"The first {len(checked.everywhere)} passages of a search are all of other documents.")
    elif rank > SHOWN:
        reasons.append(f"Its best passage is at rank {rank}; a search shows {SHOWN} unless top_k says otherwise.")
    else:
        reasons.append(f"It is found: its best passage is at rank {rank}.")
    if missing:
        named = ", ".join(missing[:MOST_WORDS])
        reasons.append(f"{len(missing)} of the question's {len(checked.words)} words are not in it: {named}.")
    if all(match.dense is None for match in checked.own):
        reasons.append("Its passages were embedded by another model than the current one; only words can find it.")
    if best is not None and best < FLOOR:
        reasons.append(f"Its best passage has a relevance of {best:.2f}; below {FLOOR}, answers do not use it.")
    return reasons


def _best(matches: Sequence[Match], leg: str) -> float | None:
    scores = [getattr(scores_of(match), leg) for match in matches]
    return max((score for score in scores if score is not None), default=None)


def _place(match: Match) -> dict[str, object]:
    return {
        "id": match.id,
        "document_id": None if match.memory_id else match.document_id,
        "memory_id": match.memory_id,
        "title": match.title,
        "page": match.page,
        "score": round(match.score, 6),
        "scores": scores_of(match),
        "places": dict(match.places),
    }
