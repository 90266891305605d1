"""Weighs what passages say: does one bear on a question at all, and which of its sentences say it best.

The measures were set on questions about encyclopedia articles: of 300 answerable ones the floor refuses 4 %, of the
same with their article taken away it lets 10 % through, and of 255 from quite other fields none
(`benchmarks/answer_quality.py`).
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from uuid import UUID

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
NEIGHBOUR_SHARE = 0.2  # of the scores of a page's other passages that counts for the page
MOST_NEIGHBOURS = 3  # passages of a page that count
LONGEST_QUOTATION = 800  # code points
LEAST_SHARE = 0.5  # of a statement's words that a passage must have to bear it out
LEAST_SUPPORT = 1.0  # that share, and the likeness in meaning of the passage's best sentence
PASSAGE_SHARE = 0.15  # of a sentence's score that its passage's rank adds


@dataclass(frozen=True, slots=True)
class Passage:
    """A match that may be cited as `[marker]`."""

    marker: int
    match: Match


@dataclass(frozen=True, slots=True)
class Quotation:
    """A sentence of a passage: `text` stands at `char_start`:`char_end` of the document's text.

    `likeness` is that of its meaning to what was asked, -1 to 1; `score` takes words and the passage into account, too.
    """

    passage: Passage
    char_start: int
    char_end: int
    text: str
    score: float
    likeness: float = 0.0


@dataclass(frozen=True, slots=True)
class Support:
    """How much a quotation bears out a statement, and whether that is enough to say so."""

    quotation: Quotation
    suffices: bool


def relevance(question_terms: Set[str], match: Match) -> float:
    """How much `match` bears on a question, 0 to 1.5: likeness in meaning, and half the share of its words found.

    A passage whose embedding cannot be compared is judged by its words alone.
    """
    found = question_terms & (terms(f"{match.heading or ''} {match.text}") | match.met)
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
            replace(quotation, score=(quotation.score + likeness) / 2, likeness=likeness)
            for quotation, likeness in zip(shortlist, (float(np.dot(meaning, own)) for own in vectors), strict=True)
        ]
        return sorted(scored, key=lambda quotation: -quotation.score)

    async def weigh(self, question: str, statement: str, passages: Sequence[Passage]) -> Sequence[Support]:
        """For each passage its sentence that says best what `statement` says; the passage that says most comes first.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        weighed = await asyncio.gather(*(self._weigh_one(question, statement, passage) for passage in passages))
        ordered = sorted((found for found in weighed if found is not None), key=lambda found: -found[0])
        return [support for _, support in ordered]

    async def _weigh_one(self, question: str, statement: str, passage: Passage) -> tuple[float, Support] | None:
        ranked = await self.rank_sentences(f"{statement} {question}", [passage])
        if not ranked:
            return None
        match, claimed = passage.match, terms(statement)
        found = claimed & terms(f"{match.title} {match.heading or ''} {match.text}")
        share = len(found) / len(claimed) if claimed else 0.0
        weight = share + ranked[0].likeness
        says_numbers = _numbers(statement) <= _numbers(match.text)
        suffices = says_numbers and share >= LEAST_SHARE and weight >= LEAST_SUPPORT
        return weight, Support(ranked[0], suffices)


def choose_quotations(ranked: Sequence[Quotation]) -> Sequence[Quotation]:
    """The best sentence first, then those that are nearly as good; one stretch of text for each passage."""
    chosen: dict[int, Quotation] = {}
    for quotation in ranked[:MOST_SENTENCES]:
        marker = quotation.passage.marker
        if quotation.score < NEARLY_AS_GOOD * ranked[0].score or _is_quoted(quotation, chosen.values()):
            continue
        chosen[marker] = joined(chosen[marker], quotation) if marker in chosen else quotation
    return list(chosen.values())


def choose_further(
    question: str, passages: Sequence[Passage], quoted: Sequence[Quotation], *, most: int
) -> Sequence[Quotation]:
    """A sentence of each of the best pages that nothing is quoted from: a page is as good as all its passages."""
    pages: dict[tuple[UUID, int], list[Passage]] = {}
    for passage in passages:
        pages.setdefault(_page(passage), []).append(passage)
    for quotation in quoted:
        pages.pop(_page(quotation.passage), None)
    best = sorted(pages.values(), key=lambda found: -_worth([passage.match.score for passage in found]))
    found = (_shortlist(question, [page[0]])[:1] for page in best[: max(0, most)])
    return [quotation for sentences in found for quotation in sentences]


def _worth(scores: Sequence[float]) -> float:
    """Of a page, by the scores of its passages, best first."""
    return scores[0] + NEIGHBOUR_SHARE * sum(scores[1:MOST_NEIGHBOURS])


def _page(passage: Passage) -> tuple[UUID, int]:
    """Where there are no pages, each passage is one."""
    return passage.match.document_id, -passage.marker if passage.match.page is None else passage.match.page


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in re.findall(r"\d+(?:[.,]\d+)*", text)}


def _is_quoted(quotation: Quotation, chosen: Iterable[Quotation]) -> bool:
    """Neighbouring passages share sentences."""
    return any(
        quotation.passage.match.document_id == other.passage.match.document_id
        and quotation.char_start < other.char_end
        and other.char_start < quotation.char_end
        for other in chosen
    )


def joined(one: Quotation, other: Quotation) -> Quotation:
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
