"""The words of a text that carry meaning, folded so that they compare."""

import re
from collections.abc import Iterator

# Scripts without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese. Their words are taken as pairs of signs.
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{SPACELESS}]+|[^\W_{SPACELESS}]+(?:['\u2019.,-][^\W_{SPACELESS}]+)*")
_SPACELESS_WORD = re.compile(rf"[{SPACELESS}]+")
_ENDING = re.compile(r"(?<=\w{3})(?:'s|\u2019s|ies|ing|ed|es|s|y)$")

STOP_WORDS = frozenset(
    """a about after all also an and any are as at be been but by can could did do does doing for from give had has have
    he her him his how i if in into is it its me more most my no not of on or our she should so some tell than that the
    their them then there these they this those to was we were what when where which who whom whose why will with would
    you your""".split()  # noqa: SIM905 - a list would take sixty lines
)


def terms(text: str) -> set[str]:
    """Folded words of `text` without those that only hold it together.

    The same word in another form (plural, past tense) mostly folds to the same term; of scripts without spaces, terms
    are pairs of neighbouring signs.
    """
    return set(_terms(text))


def _terms(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text.casefold()):
        word = match.group()
        if _SPACELESS_WORD.match(word):
            yield from (word[index : index + 2] for index in range(max(1, len(word) - 1)))
        elif word not in STOP_WORDS:
            yield _ENDING.sub("", word)
