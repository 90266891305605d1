"""Weighs what passages say: does one bear on a question at all, and which of its sentences say it best.

The measures were set on questions about encyclopedia articles: of 300 answerable ones the floor refuses 4 %, of the
same with their article taken away it lets 10 % through, and of 255 from quite other fields none
(`benchmarks/answer_quality.py`).
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder
from app.repositories.retrieval import Match
from app.services.sentences import find_sentences
from app.services.terms import terms

FLOOR = 0.62  # relevance that the best passage needs, or the question is not answered
COMPANION_FLOOR = 0.4  # relevance that the passages beside it need
SHORTLIST = 8  # sentences whose meaning is compared; the others share too few words with the question
MOST_SENTENCES = 3  # that are quoted when there is no language model
NEARLY_AS_GOOD = 0.85  # of the best sentence's score: then it is quoted too
LONGEST_QUOTATION = 800  # code points
PASSAGE_SHARE = 0.15  # of a sentence's score that its passage's rank adds


@dataclass(frozen=True, slots=True)
class Passage:
    """A match that may be cited as `[marker]`."""

    marker: int
    match: Match


@dataclass(frozen=True, slots=True)
class Quotation:
    """A sentence of a passage: `text` stands at `char_start`:`char_end` of the document's text."""

    passage: Passage
    char_start: int
    char_end: int
    text: str
    score: float


def relevance(question_terms: Set[str], match: Match) -> float:
    """How much `match` bears on a question, 0 to 1.5: likeness in meaning, and half the share of its words found.

    A passage whose embedding cannot be compared is judged by its words alone.
    """
    found = question_terms & terms(f"{match.heading or ''} {match.text}")
    share = len(found) / len(question_terms) if question_terms else 0.0
    return (share / 2 if match.dense is None else match.dense) + share / 2


def choose_passages(question: str, matches: Sequence[Match], *, most_characters: int) -> Sequence[Passage]:
    """Those to answer from, numbered from 1, best first; none when nothing bears on the question."""
    question_terms = terms(question)
    weighed = [(relevance(question_terms, match), match) for match in matches]
    if max((weight for weight, _ in weighed), default=0.0) < FLOOR:
        return []
    chosen: list[Passage] = []
    for weight, match in weighed:
        most_characters -= len(match.text)
        if weight >= COMPANION_FLOOR and (most_characters >= 0 or not chosen):
            chosen.append(Passage(len(chosen) + 1, match))
    return chosen


class Evidence:
    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def rank_sentences(
        self, question: str, passages: Sequence[Passage], *, vector: FloatArray | None = None
    ) -> Sequence[Quotation]:
        """The sentences of `passages` that say most about `question`, best first; `vector` is its embedding, if known.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        shortlist = _shortlist(question, passages)
        asked = [] if vector is not None else [question]
        texts = [*(quotation.text for quotation in shortlist), *asked]
        vectors = await asyncio.gather(*(self._embedder.embed_query(text) for text in texts))
        meaning = vectors.pop() if vector is None else vector
        scored = [
            replace(quotation, score=(quotation.score + float(np.dot(meaning, own))) / 2)
            for quotation, own in zip(shortlist, vectors, strict=True)
        ]
        return sorted(scored, key=lambda quotation: -quotation.score)


def choose_quotations(ranked: Sequence[Quotation]) -> Sequence[Quotation]:
    """The best sentence first, then those that are nearly as good; one stretch of text for each passage."""
    chosen: dict[int, Quotation] = {}
    for quotation in ranked[:MOST_SENTENCES]:
        marker = quotation.passage.marker
        if quotation.score < NEARLY_AS_GOOD * ranked[0].score or _is_quoted(quotation, chosen.values()):
            continue
        chosen[marker] = _joined(chosen[marker], quotation) if marker in chosen else quotation
    return list(chosen.values())


def _is_quoted(quotation: Quotation, chosen: Iterable[Quotation]) -> bool:
    """Neighbouring passages share sentences."""
    return any(
        quotation.passage.match.document_id == other.passage.match.document_id
        and quotation.char_start < other.char_end
        and other.char_start < quotation.char_end
        for other in chosen
    )


def _joined(one: Quotation, other: Quotation) -> Quotation:
    """From the first of two sentences of a passage to the second, if they are near to each other."""
    start, end = min(one.char_start, other.char_start), max(one.char_end, other.char_end)
    if end - start > LONGEST_QUOTATION:
        return one
    match = one.passage.match
    return replace(
        one, char_start=start, char_end=end, text=match.text[start - match.char_start : end - match.char_start]
    )


def _shortlist(question: str, passages: Sequence[Passage]) -> Sequence[Quotation]:
    """The sentences with most of the question's words; `score` is their share, plus what their passage adds."""
    quotations: list[Quotation] = []
    weights = _weights(terms(question), [terms(passage.match.text) for passage in passages])
    for passage in passages:
        match = passage.match
        for span in find_sentences(match.text):
            text = match.text[span.start : span.end]
            score = _share(terms(text), weights) + 2 * PASSAGE_SHARE * match.score
            start, end = match.char_start + span.start, match.char_start + span.end
            quotations.append(Quotation(passage, start, end, text, score))
    return sorted(quotations, key=lambda quotation: -quotation.score)[:SHORTLIST]


def _weights(question_terms: Set[str], passages: Sequence[Set[str]]) -> Mapping[str, float]:
    """A word that all passages have tells little about one of their sentences."""
    having = Counter(term for passage in passages for term in passage & question_terms)
    count = len(passages)
    return {term: math.log(1 + (count - having[term] + 0.5) / (having[term] + 0.5)) for term in question_terms}


def _share(found: Set[str], weights: Mapping[str, float]) -> float:
    """Weight of the terms in `found`, of the weight of all."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in found) / total if total else 0.0
