"""Summaries without a language model: the sentences of a text that say most of what it says, word for word."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.services.lexicon import words
from app.services.sentences import find_sentences

SHORTEST: Final = 25  # characters; what is shorter is rarely a statement
PARAGRAPH_BREAK: Final = "\n"


@dataclass(frozen=True, slots=True)
class Candidate:
    text: str
    terms: frozenset[str]


def extract(text: str, *, most_characters: int) -> str:
    """Sentences of `text` in their order, a line each, `most_characters` together; at least one, if it has any.

    Words that many sentences share count most, and less once a sentence with them was taken (SumBasic). It takes its
    time: for a thread.
    """
    candidates = [Candidate(one, frozenset(words(one))) for one in _sentences(text)]
    shares = _shares(candidates)
    chosen: set[int] = set()
    length = 0
    while len(chosen) < len(candidates):
        left = [index for index in range(len(candidates)) if index not in chosen]
        best = max(left, key=lambda index: _worth(candidates[index], shares))
        length += len(candidates[best].text) + 1
        if chosen and length > most_characters:
            break
        chosen.add(best)
        for term in candidates[best].terms:
            shares[term] **= 2
    return PARAGRAPH_BREAK.join(candidates[index].text for index in sorted(chosen))


def _sentences(text: str) -> Sequence[str]:
    """Each once, white space evened out; short ones only where there are no others."""
    found = list(dict.fromkeys(" ".join(text[span.start : span.end].split()) for span in find_sentences(text)))
    return [one for one in found if len(one) >= SHORTEST] or found


def _shares(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Of the sentences, how many have each word."""
    counts = Counter(term for candidate in candidates for term in candidate.terms)
    return {term: count / (len(candidates) + 1) for term, count in counts.items()}


def _worth(candidate: Candidate, shares: Mapping[str, float]) -> float:
    return sum(shares[term] for term in candidate.terms) / len(candidate.terms) if candidate.terms else 0.0
