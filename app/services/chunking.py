"""Cuts a document's text into passages. Pure; offsets are exact by construction, since a passage is a slice."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.adapters.extraction import Extracted, Heading

HEADING_SEPARATOR = " > "
FULL_ENOUGH = 0.4  # of max_tokens: from here on a heading begins a new passage
LAST_RESORT = 0.5  # of max_tokens: a cut before this wastes too much of the passage
MAX_OVERLAP = 0.25  # of max_tokens: keeps every passage ahead of the one before
LONGEST_WORD = 64  # characters; anything longer is data, of which tokenizers make one unknown token or very many
DATA_CHARACTERS_PER_TOKEN = 3

_CLOSING = r"[\"')\]\u201d\u2019\xbb]{0,3}"  # quotation marks and brackets after the full stop
_WIDE = r"\u3002\uff01\uff1f"  # full stop, exclamation and question mark of Chinese and Japanese
# What a passage may end with, best first; the end of the match is where the next one begins.
_ENDS = (
    re.compile(r"\n[^\S\n]*\n\s*"),  # a paragraph
    re.compile(rf"[.!?\u2026{_WIDE}]{_CLOSING}\n"),  # a sentence that ends a line
    re.compile(rf"[.!?\u2026]{_CLOSING}\s|[{_WIDE}][\u201d\u2019\u300d\u300f\uff09]{{0,2}}"),  # a sentence
    re.compile(r"\n"),
    re.compile(r"\s(?=\S)"),  # a word
)
_LONGEST_END = 8  # characters by which a match may begin before the place it ends at


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text == document.text[char_start:char_end]`, never blank, without white space at its ends.

    `heading` is the path of the headings above its start; `token_count` counts without the model's special tokens.
    """

    ordinal: int
    text: str
    char_start: int
    char_end: int
    page: int | None
    page_end: int | None
    heading: str | None
    token_count: int


def chunk(
    extracted: Extracted, token_spans: Sequence[tuple[int, int]], *, max_tokens: int, overlap: int
) -> list[Chunk]:
    """Passages of at most `max_tokens` tokens that together hold every character that is not white space.

    `token_spans` are the code point ranges of the tokens of the whole text, in order. A passage ends at a heading, a
    paragraph, a sentence, a line or a word, whichever is the best end within its second half, and begins up to
    `overlap` tokens before the last one ended, at the start of a sentence or word; after a heading there is none.
    """
    cutter = _Cutter(extracted, token_spans, max_tokens, overlap)
    outline = _Outline(extracted)
    ranges = (_trim(extracted.text, start, end) for start, end in cutter.ranges())
    return [
        outline.chunk(ordinal, start, end, cutter.count(start, end))
        for ordinal, (start, end) in enumerate(found for found in ranges if found[0] < found[1])
    ]


class _Cutter:
    """Where passages begin and end."""

    def __init__(
        self, extracted: Extracted, token_spans: Sequence[tuple[int, int]], max_tokens: int, overlap: int
    ) -> None:
        if max_tokens < 1 or overlap < 0:
            raise ValueError("max_tokens must be at least 1 and overlap at least 0")
        self._text = extracted.text
        self._length = len(extracted.text.rstrip())
        self._starts = list(_token_starts(extracted.text, token_spans))
        self._headings = sorted({heading.char_start for heading in extracted.headings})
        self._max_tokens = max_tokens
        self._overlap = min(overlap, int(max_tokens * MAX_OVERLAP))

    def ranges(self) -> Iterator[tuple[int, int]]:
        start = done = 0
        while done < self._length:
            end = self._end(start, done)
            yield start, end
            start, done = self._next_start(start, end), end

    def count(self, start: int, end: int) -> int:
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def _end(self, start: int, done: int) -> int:
        """Behind `done`, where the last passage ended, and at most `max_tokens` tokens behind `start`."""
        first = bisect_left(self._starts, start)
        limit = max(self._token_start(first + self._max_tokens), done + 1)
        full = max(self._token_start(first + int(self._max_tokens * FULL_ENOUGH)), done + 1)
        heading = self._heading_between(full, limit + 1)
        if heading is not None or limit >= self._length:
            return limit if heading is None else heading
        half = max(self._token_start(first + int(self._max_tokens * LAST_RESORT)), done + 1)
        for pattern in _ENDS:
            ends = self._ends_between(pattern, half, limit + 1)
            if ends:
                return ends[-1]
        return limit

    def _next_start(self, start: int, end: int) -> int:
        """Up to `overlap` tokens before `end`, where a sentence, line or word begins; a heading begins afresh."""
        if not self._overlap or self._heading_between(end, end + 1) is not None:
            return end
        earliest = max(self._token_start(bisect_left(self._starts, end) - self._overlap), start + 1)
        heading = self._heading_between(earliest, end)
        if heading is not None:
            return heading
        for pattern in _ENDS:
            ends = self._ends_between(pattern, earliest, end)
            if ends:
                return ends[0]
        return min(earliest, end)

    def _token_start(self, index: int) -> int:
        return self._starts[max(index, 0)] if index < len(self._starts) else len(self._text)

    def _heading_between(self, start: int, end: int) -> int | None:
        index = bisect_left(self._headings, start)
        return self._headings[index] if index < len(self._headings) and self._headings[index] < end else None

    def _ends_between(self, pattern: re.Pattern[str], start: int, end: int) -> list[int]:
        """Places from `start` and before `end` that directly follow a match of `pattern`."""
        matches = pattern.finditer(self._text, max(0, start - _LONGEST_END), end)
        return [match.end() for match in matches if start <= match.end() < end]


class _Outline:
    """On which page and under which headings a place is."""

    def __init__(self, extracted: Extracted) -> None:
        self._text = extracted.text
        self._pages = extracted.pages
        self._page_starts = [page.char_start for page in extracted.pages]
        self._headings = list(_heading_paths(extracted.headings))
        self._heading_starts = [char_start for char_start, _ in self._headings]

    def chunk(self, ordinal: int, start: int, end: int, token_count: int) -> Chunk:
        return Chunk(
            ordinal=ordinal,
            text=self._text[start:end],
            char_start=start,
            char_end=end,
            page=self._page(start),
            page_end=self._page(end - 1),
            heading=self._heading(start),
            token_count=token_count,
        )

    def _page(self, position: int) -> int | None:
        index = bisect_right(self._page_starts, position) - 1
        return self._pages[max(index, 0)].number if self._pages else None

    def _heading(self, position: int) -> str | None:
        index = bisect_right(self._heading_starts, position) - 1
        return self._headings[index][1] if index >= 0 else None


def _heading_paths(headings: Sequence[Heading]) -> Iterator[tuple[int, str]]:
    above: list[Heading] = []
    for heading in sorted(headings, key=lambda heading: heading.char_start):
        above = [*(other for other in above if other.level < heading.level), heading]
        yield heading.char_start, HEADING_SEPARATOR.join(other.text for other in above)


def _token_starts(text: str, token_spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Where tokens start. What is no language (a long run that is one token, or none) counts by its length instead."""
    done = 0
    for start, end in (*token_spans, (len(text), len(text))):
        if start - done > LONGEST_WORD and text[done:start].strip():
            yield from range(done, start, DATA_CHARACTERS_PER_TOKEN)
        if end - start > LONGEST_WORD:
            yield from range(start, end, DATA_CHARACTERS_PER_TOKEN)
        elif end > start:
            yield start
        done = max(done, end)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    found = text[start:end]
    return end - len(found.lstrip()), start + len(found.rstrip())
