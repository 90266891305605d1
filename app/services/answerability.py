"""Whether the best sentence that was found answers a question, or only looks as if it did.

A question that nothing answers is often close to the text: it asks for another number, place or name, or for the
opposite. What tells the two apart is counted (`signs`), and weighed by constants that were fitted on one half of a
public set of questions and measured on the other (`benchmarks/answerability.py`). No model is asked.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Final

from app.services.evidence import Passage, Quotation
from app.services.terms import terms

BIAS: Final = -3.359
WEIGHTS: Final[Mapping[str, float]] = {
    "likeness": 3.09,
    "passage likeness": 0.828,
    "words in the sentence": 3.001,
    "words in the passage": -1.824,
    "words not in the sentence": 1.306,
    "words not in the passage": 0.455,
    "words nowhere": -0.415,
    "numbers not in the passage": -1.342,
    "negation": -2.434,
    "opposite": -3.017,
    "no date": -0.377,
    "length": 1.002,
}
LEAST_LIKELY: Final = 0.41

_WORD_NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|half"
)
_NUMBER = re.compile(rf"\d[\d,.]*\d|\d|\b(?:{_WORD_NUMBERS})\b", re.IGNORECASE)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d|century|january|february|march|april|may|june|july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|without|cannot|least|unlike|except|\w+n['\u2019]t|fail\w*"
    r"|lack\w*|refus\w+|un(?!it|iv|ion|iq|der|til|less)\w{4,}|dis\w{5,})\b",
    re.IGNORECASE,
)
_WHEN = re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|decade|century|day)", re.IGNORECASE)
_OPPOSITES: Final = [
    [terms(side) for side in pair.split("/")]
    for pair in (
        "increase rise grow/decrease fall shrink decline",
        "high higher highest/low lower lowest",
        "most more/least fewest less fewer",
        "large larger largest big/small smaller smallest",
        "before/after",
        "first/last",
        "begin start/end stop finish",
        "win/lose",
        "north northern/south southern",
        "east eastern/west western",
        "early earlier earliest/late later latest",
        "same/different",
        "accept agree/reject refuse renounce",
        "allow permit/forbid ban prohibit",
        "support help/oppose",
        "male men/female women",
        "rich/poor",
        "old older/new young younger",
        "long longer/short shorter",
        "strong/weak",
        "ancient/modern",
        "always/never",
        "inside internal/outside external",
        "import/export",
        "major/minor",
        "public/private",
        "legal/illegal",
        "above/below",
        "best/worst",
        "good/bad",
        "positive/negative",
        "maximum/minimum",
        "create build/destroy",
        "join enter/leave exit",
        "open/close",
        "many/few",
        "single/multiple",
        "hot/cold",
        "fast/slow",
        "easy/difficult hard",
        "enemy/ally",
        "peace/war",
        "birth born/death die",
        "buy/sell",
        "left/right",
        "infinite/finite",
        "even/odd",
        "prevent/cause",
        "local/national",
    )
]


def likelihood(signs_of_it: Mapping[str, float]) -> float:
    """0 to 1: how sure it is that there is an answer."""
    return 1 / (1 + math.exp(-BIAS - sum(WEIGHTS[name] * value for name, value in signs_of_it.items())))


def answers_question(question: str, ranked: Sequence[Quotation], passages: Sequence[Passage]) -> bool:
    """Whether the best of the `ranked` sentences answers the question, as far as can be told without reading it."""
    return bool(ranked) and likelihood(signs(question, ranked, passages)) >= LEAST_LIKELY


def signs(question: str, ranked: Sequence[Quotation], passages: Sequence[Passage]) -> Mapping[str, float]:
    """What speaks for and against an answer in the best sentence, whose passage is one of `passages`."""
    best = ranked[0]
    asked, said, around = terms(question), terms(best.text), terms(best.passage.match.text)
    having = Counter(term for passage in passages for term in asked & terms(passage.match.text))
    rarity = {term: math.log(1 + (len(passages) - having[term] + 0.5) / (having[term] + 0.5)) for term in asked}
    return {
        "likeness": best.likeness,
        "passage likeness": best.passage.match.dense or 0.0,
        "words in the sentence": _share(asked & said, rarity),
        "words in the passage": _share(asked & around, rarity),
        "words not in the sentence": len(asked - said) / 5,
        "words not in the passage": len(asked - around) / 5,
        "words nowhere": sum(1 for term in asked if not having[term]) / 5,
        "numbers not in the passage": float(len(_numbers(question) - _numbers(best.passage.match.text))),
        "negation": float(bool(_NEGATION.search(question)) and not _NEGATION.search(best.text)),
        "opposite": float(_says_the_opposite(asked, said)),
        "no date": float(bool(_WHEN.search(question)) and not _dates(best.text) - _dates(question)),
        "length": len(asked) / 10,
    }


def _share(found: Set[str], rarity: Mapping[str, float]) -> float:
    total = sum(rarity.values())
    return sum(rarity[term] for term in found) / total if total else 0.0


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "").rstrip(".").casefold() for number in _NUMBER.findall(text)}


def _dates(text: str) -> set[str]:
    return {date.casefold() for date in _DATE.findall(text)}


def _says_the_opposite(asked: Set[str], said: Set[str]) -> bool:
    """Whether the question has a word whose opposite, and not itself, stands in the sentence."""
    return any(
        asked & one and not said & one and said & other and not asked & other
        for pair in _OPPOSITES
        for one, other in (pair, pair[::-1])
    )
