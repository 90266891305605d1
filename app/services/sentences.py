"""Finds sentences, in any script, by rule: their ends are places in the text, so whatever is quoted stands there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 500  # code points; what is longer (tables, lists, text without full stops) is cut at a line or a word

_CLOSING = "\"'\u201d\u2019\xbb)\\]"  # quotation marks and brackets that belong to the sentence they close
_WIDE_CLOSING = "\u300d\u300f\u201d\u2019\uff09\u3011"
_END = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSING}]*(?=\s)"  # Latin, Greek, Cyrillic, Arabic, Urdu, Devanagari
    rf"|[\u3002\uff01\uff1f\uff61]+[{_WIDE_CLOSING}]*"  # Chinese and Japanese, which put no space behind
    r"|\n[^\S\n]*(?=\n)"  # a paragraph
    r"|\n(?=[^\S\n]*(?:[-*\u2022\u2013]|\(?\d{1,3}[.)]|#{1,6})[^\S\n])"  # an item of a list, a heading
)
# A full stop behind these never ends a sentence; behind other abbreviations it does not if a small letter follows.
_TITLES = re.compile(
    r"mr|mrs|ms|dr|prof|st|gen|col|lt|sgt|capt|gov|sen|rep|rev|hon|vs|cf|e\.g|i\.e|viz|resp|approx", re.IGNORECASE
)
_BEFORE_NUMBERS = re.compile(r"nos?|figs?|vols?|pp?|art|sect?|ch|eqs?|refs?|tab|para|nr|ca", re.IGNORECASE)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # J. or U.S
_NUMBER = re.compile(r"\d{1,3}")
_LAST_WORD = re.compile(r"\S+\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """Code points `start` to `end` of a text."""

    start: int
    end: int


def find_sentences(text: str) -> list[Span]:
    """Sentences in order, without the white space around them; nothing of the rest of the text is left out."""
    found: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        if _is_end(text, match):
            found.extend(_pieces(text, start, match.end()))
            start = match.end()
    found.extend(_pieces(text, start, len(text)))
    return found


def _is_end(text: str, match: re.Match[str]) -> bool:
    if match.group()[0] != ".":
        return True
    following = text[match.end() :].lstrip()[:1] if text[match.end() : match.end() + 1].isspace() else ""
    if following.islower():
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - 20), match.start())
    if word is None or match.group()[1:2] == ".":
        return True
    return not _is_abbreviation(word.group().lstrip("(\"'\u201c\u2018["), following, _begins_line(text, word.start()))


def _is_abbreviation(word: str, following: str, begins_line: bool) -> bool:
    if _NUMBER.fullmatch(word):
        return begins_line  # `2.` at the start of a line counts, it does not end
    if _BEFORE_NUMBERS.fullmatch(word):
        return following.isdigit()
    return bool(_TITLES.fullmatch(word) or _INITIALS.fullmatch(word))


def _begins_line(text: str, position: int) -> bool:
    return not text[text.rfind("\n", 0, position) + 1 : position].strip()


def _pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """The stretch, trimmed, and cut where it is too long for a quotation."""
    while end - start > LONGEST:
        limit = start + LONGEST
        cut = max(text.rfind("\n", start + LONGEST // 4, limit), 0) or text.rfind(" ", start + LONGEST // 2, limit)
        cut = cut if cut > start else limit
        yield from _trimmed(text, start, cut)
        start = cut
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    stretch = text[start:end]
    if stretch.strip():
        yield Span(end - len(stretch.lstrip()), start + len(stretch.rstrip()))
