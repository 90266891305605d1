"""Whether the best sentence that was found answers a question, or only looks as if it did.

A question that nothing answers is often close to the text: it asks for another number, place or name, or for the
opposite. What tells the two apart is counted (`signs`), and weighed by a logistic regression whose constants are fitted
on a public set of 6,427 questions about 20 articles (SQuAD). How much it is worth is measured on articles that were
left out of the fitting (`benchmarks/answerability.py`). No model is asked.

Signs of how people put traps for readers (questions that begin with "which", that name nobody) would have been of
use there and nowhere else: all that is counted compares the question with what was found.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.services.evidence import Passage, Quotation
from app.services.lexicon import latin_share, words
from app.services.terms import STOP_WORDS, terms

BIAS: Final = -3.278
WEIGHTS: Final[Mapping[str, float]] = {
    "likeness": 4.197,
    "words": 1.472,
    "words in the sentence": 1.04,
    "names not in the sentence": 0.331,
    "names nowhere": -0.83,
    "names it has besides": 0.809,
    "other word in its place": -0.295,
    "other number in its place": -2.9,
    "kind in the sentence": -0.586,
    "no date": -0.465,
    "other year": -2.455,
    "negation": -1.844,
    "exclusion": -1.206,
    "opposite": -2.615,
}
LEAST_LIKELY: Final = 0.423
LEAST_LATIN: Final = 0.5  # of a question's letters

MOST_NAMES = 5  # more than these tell nothing new
UNKNOWN = 0.5

_WORD_NUMBERS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|half"
)
_NUMBER = re.compile(rf"\d[\d,.]*\d|\d|\b(?:{_WORD_NUMBERS})\b", re.IGNORECASE)
_ORDINALS = frozenset(["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"])
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d|century|january|february|march|april|may|june|july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|without|cannot|least|unlike|except|\w+n['\u2019]t|fail\w*"
    r"|lack\w*|refus\w+|un(?!it|iv|ion|iq|der|til|less)\w{4,}|dis\w{5,})\b",
    re.IGNORECASE,
)
# Weaker than a "not", and oftener said of something else.
_EXCLUSION = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|without|cannot|least|unlike|except|excluding|outside|instead"
    r"|other than|rather than|besides|aside|avoid\w*|lack\w*|absen\w+|refus\w+|reject\w*|fail\w*|prevent\w*"
    r"|den(?:y|ied|ies)|little|few|rarely|seldom|hardly|oppos\w+|stop\w*|prohibit\w*|forbid\w*|ban(?:s|ned)?"
    r"|\w+n['\u2019]t|non\W?\w+|il(?:legal|legitimate)\w*|im(?:possible|proper)\w*"
    r"|in(?:correct|effective|capable|ability)\w*|un(?!it|iv|ion|iq|der|til|less)\w{4,}"
    r"|dis(?!cover|cuss|trict|tance|tribut|ease|play)\w{4,})\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:1\d{3}|20\d\d)\b")
_WHEN = re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|decade|century|day)", re.IGNORECASE)
_ASKED_KIND = re.compile(
    r"\b(?:what|which)\s+(?:[\w'-]+\s+){0,3}?([\w'-]+)\s+"
    r"(?:is|are|was|were|did|do|does|has|have|had|can|could|would|will|of|in|\w+s|\w+ed)\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019.,-][^\W_]+)*")
_FILLERS = STOP_WORDS | frozenset(
    """against another be been being between call called during have having kind known know long many much name named
    not one only other over s than through type under used while within without""".split()  # noqa: SIM905 - as in `terms`
)
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


@dataclass(frozen=True, slots=True)
class _Word:
    """One that carries meaning: its place in the text, and its stems (two and more where it has a hyphen)."""

    text: str
    place: int
    stems: Set[str]

    @property
    def is_name(self) -> bool:
        return self.place > 0 and self.text[0].isupper()

    @property
    def is_number(self) -> bool:
        return bool(_NUMBER.fullmatch(self.text)) or self.text.casefold() in _ORDINALS

    def stands_in(self, stems: Set[str]) -> bool:
        return self.stems <= stems


def likelihood(signs_of_it: Mapping[str, float]) -> float:
    """0 to 1: how sure it is that there is an answer."""
    return 1 / (1 + math.exp(-BIAS - sum(WEIGHTS[name] * value for name, value in signs_of_it.items())))


def answers_question(question: str, ranked: Sequence[Quotation], passages: Sequence[Passage]) -> bool:
    """Whether the best of the `ranked` sentences answers the question, as far as can be told without reading it.

    Signs fitted on English say nothing of a question in another script; there, passing the floor has to do.
    """
    if not ranked or latin_share(question) < LEAST_LATIN:
        return bool(ranked)
    return likelihood(signs(question, ranked, passages)) >= LEAST_LIKELY


def signs(question: str, ranked: Sequence[Quotation], passages: Sequence[Passage]) -> Mapping[str, float]:
    """What speaks for and against an answer in the best sentence, whose passage is one of `passages`."""
    best = ranked[0]
    asked, said = _words(question), _words(best.text)
    stems = _stems(best.text)
    places = [_stems(passage.match.text) for passage in passages]
    names = [word for word in asked if word.is_name]
    swapped = list(_swapped(asked, said, stems))
    years = _dates(question)
    return {
        "likeness": best.likeness,
        "words": len(asked) / 10,
        "words in the sentence": _share([word for word in asked if word.stands_in(stems)], asked, places),
        "names not in the sentence": float(sum(not word.stands_in(stems) for word in names)),
        "names nowhere": float(sum(not any(word.stands_in(place) for place in places) for word in names)),
        "names it has besides": _new_names(said, _stems(question)),
        "other word in its place": float(len({word for word, _ in swapped})),
        "other number in its place": float(sum(one.is_number and other.is_number for one, other in swapped)),
        "kind in the sentence": _has_kind(question, stems),
        "no date": float(bool(_WHEN.search(question)) and not _dates(best.text) - years),
        "other year": float(bool(_YEAR.search(question)) and not years <= _dates(best.passage.match.text)),
        "negation": float(bool(_NEGATION.search(question)) and not _NEGATION.search(best.text)),
        "exclusion": float(bool(_EXCLUSION.search(question)) and not _EXCLUSION.search(best.text)),
        "opposite": float(_says_the_opposite(terms(question), terms(best.text))),
    }


def _words(text: str) -> list[_Word]:
    """Those that carry meaning, with their places among all."""
    found = [match.group() for match in _TOKEN.finditer(text)]
    return [_Word(word, place, _stems(word)) for place, word in enumerate(found) if word.casefold() not in _FILLERS]


def _stems(text: str) -> Set[str]:
    return frozenset(words(text))


def _share(found: Sequence[_Word], asked: Sequence[_Word], places: Sequence[Set[str]]) -> float:
    """Of what the question's words weigh; a word that all passages have tells little about one of their sentences."""
    having = {word: sum(word.stands_in(place) for place in places) for word in asked}
    rarity = {word: math.log(1 + (len(places) - count + 0.5) / (count + 0.5)) for word, count in having.items()}
    total = sum(rarity.values())
    return sum(rarity[word] for word in found) / total if total else 0.0


def _swapped(asked: Sequence[_Word], said: Sequence[_Word], stems: Set[str]) -> Iterator[tuple[_Word, _Word]]:
    """Words of the question that the sentence does not have, and those that it has in their places.

    A place is known by its neighbour: "the Irish title" has another word in its place in "the English title".
    """
    own = frozenset[str]().union(*(word.stems for word in asked))
    pairs = [(one, other) for one, other in pairwise(said) if other.place == one.place + 1]
    for first, second in pairwise(asked):
        if second.place != first.place + 1:
            continue
        for one, other in pairs:
            if second.stems == other.stems and not first.stands_in(stems) and not one.stems & own:
                yield first, one
            if first.stems == one.stems and not second.stands_in(stems) and not other.stems & own:
                yield second, other


def _new_names(said: Sequence[_Word], asked: Set[str]) -> float:
    """Up to 1: names in the sentence that the question does not have, any of which may be the answer."""
    return min(sum(word.is_name and not word.stems & asked for word in said), MOST_NAMES) / MOST_NAMES


def _has_kind(question: str, stems: Set[str]) -> float:
    """Whether the sentence has the noun of "what city", "which team"; UNKNOWN where the question names none."""
    kind = _ASKED_KIND.search(question)
    if kind is None or kind[1].casefold() in _FILLERS:
        return UNKNOWN
    return float(_stems(kind[1]) <= stems)


def _dates(text: str) -> set[str]:
    return {date.casefold() for date in _DATE.findall(text)}


def _says_the_opposite(asked: Set[str], said: Set[str]) -> bool:
    """Whether the question has a word whose opposite, and not itself, stands in the sentence."""
    return any(
        asked & one and not said & one and said & other and not asked & other
        for pair in _OPPOSITES
        for one, other in (pair, pair[::-1])
    )
