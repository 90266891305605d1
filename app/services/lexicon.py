"""The words of a passage as numbers, for BM25: a passage carries how much it speaks of each of its words, a question
how rare each of its words is, and the inner product of both is the score.

The average length of a passage is a constant, so that what is stored never goes out of date; measured on question
sets with passages of 40 to 200 words, that costs nothing. What is rare is counted anew by every search.
"""

import functools
import math
import re
import threading
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import Stemmer

from app.services.terms import SPACELESS, STOP_WORDS

TERM_IDS: Final = 1_000_000_000  # a word is known by a hash of 1 to this, the most dimensions a sparsevec has
SATURATION, LENGTH_SHARE = 1.2, 0.75  # k1 and b of BM25
USUAL_LENGTH = 80  # terms
MOST_QUESTION_TERMS = 64
REMEMBERED_STEMS = 65_536


def _marks() -> str:
    """Signs that belong to the letter before them; without these, Hindi falls apart into consonants."""
    codes = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    return "".join(re.escape(chr(code)) for code in codes)


_WORD = re.compile(rf"[{SPACELESS}]+|[^\W_{SPACELESS}](?:[^\W_{SPACELESS}]|[{_marks()}])*")
_SPACELESS_WORD = re.compile(rf"[{SPACELESS}]")
_POSSESSIVE = re.compile("['\u2019]s(?!\\w)")
_LATIN_ACCENTS = re.compile("[\u0300-\u036f]")
# A script has one stemmer, that of its most frequent language: which language a text is in need not be known.
_STEMMERS: Final = (
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
)


@dataclass(frozen=True, slots=True)
class PassageTerms:
    """`ids`, ascending, and what each weighs in the passage."""

    ids: Sequence[int]
    weights: Sequence[float]


def passage_terms(text: str) -> PassageTerms:
    counts = Counter(term_id(term) for term in words(text))
    norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * counts.total() / USUAL_LENGTH)
    ids = sorted(counts)
    return PassageTerms(ids, [counts[one] * (SATURATION + 1) / (counts[one] + norm) for one in ids])


def question_terms(text: str) -> Mapping[int, str]:
    """Its first terms by their ids."""
    found: dict[int, str] = {}
    for term in words(text):
        found.setdefault(term_id(term), term)
        if len(found) == MOST_QUESTION_TERMS:
            break
    return found


def rarity(passages: int, having: int) -> float:
    """What a term weighs in a question when `having` of `passages` have it, above 0."""
    having = min(having, passages)
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def term_id(term: str) -> int:
    return 1 + zlib.crc32(term.encode(errors="replace")) % (TERM_IDS - 1)


def words(text: str) -> Iterator[str]:
    """Stems of the words, folded; of scripts without spaces, pairs of neighbouring signs."""
    for match in _WORD.finditer(_folded(text)):
        word = match.group()
        if _SPACELESS_WORD.match(word):
            yield from (word[index : index + 2] for index in range(max(1, len(word) - 1)))
        elif word not in STOP_WORDS:
            yield _stem(word)


def latin_share(text: str) -> float:
    """Of the letters of `text`, how many are Latin; 1 where there are none."""
    letters = [sign for sign in text if sign.isalpha()]
    return sum(sign < "\u0250" or "\u1e00" <= sign <= "\u1eff" for sign in letters) / len(letters) if letters else 1.0


def _folded(text: str) -> str:
    folded = _POSSESSIVE.sub("", text.casefold())
    if folded.isascii():
        return folded
    return unicodedata.normalize("NFC", _LATIN_ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))


@functools.lru_cache(REMEMBERED_STEMS)
def _stem(word: str) -> str:
    name = "english"
    if not word.isascii():
        name = next((stemmer for first, last, stemmer in _STEMMERS if first <= word[0] <= last), name)
    return str(_stemmer(name).stemWord(word))


_of_thread = threading.local()  # a stemmer has one word in hand


def _stemmer(name: str) -> Stemmer.Stemmer:
    stemmers: dict[str, Stemmer.Stemmer] = _of_thread.__dict__.setdefault("stemmers", {})
    if name not in stemmers:
        stemmers[name] = Stemmer.Stemmer(name, 0)  # 0: nothing is remembered here, since it is above
    return stemmers[name]
